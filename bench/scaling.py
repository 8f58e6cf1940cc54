"""How the trainer scales: measured on 2 and 4 ranks, modelled up to 128 nodes.

    make bench NAME=scaling ARGS="[--plot docs/scaling.png]"

The nodes are those of 2018: 25.6 images a second each, 32 a step, so 1.25 s of work; the backbone
is of 25 M parameters, its gradient summed in buckets while backward goes on (as DDP does); the
head is ours, 512 features in, 294,000 classes. *Measured*: ranks in network namespaces with
capped links, real Gloo, the real head on a few classes; the work of a node is slept. *Modelled*:
a collective takes `hops * alpha + bytes / (eta * rate)`, both numbers fitted to collectives alone
on those links; what whole steps then take is compared with what the model says they should, and
the largest difference is the model's error. Beyond 4 ranks there is nothing but the model; disks,
stragglers and switches are not in it. Efficiency is a node's speed by that of one of two nodes
with the sharded head; hops are those of Gloo's rings, though trees need fewer. Needs root.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench import links

WORK = 32 / 25.6
"""Seconds of a node's own work in a step."""
FORWARD = 1 / 3
"""The share of it before the loss."""
ROWS, FEATURES, CLASSES = 32, 512, 294_000
BACKBONE, BUCKET = 100e6, 25e6
"""Bytes of its gradient, and of a bucket."""
MEASURED = ((2, 1000.0, 1.0), (4, 1000.0, 1.0), (2, 200.0, 0.2), (4, 200.0, 0.2))
"""Ranks, Mbit/s, and what the backbone is multiplied by, so that a slow link is a fair picture."""
WORKS = (WORK, 0.25)
"""The second leaves no time to hide the backbone's traffic in."""
SIZES = (4_000, 64_000, 1_000_000, 8_000_000)
NODES = (2, 4, 8, 16, 32, 64, 128)
STEPS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """What a collective costs on a link."""

    alpha: float
    """Seconds from a rank to the next."""
    eta: float
    """The share of a link's rate that data gets."""

    def collective(self, hops: float, sent: float, mbit: float) -> float:
        """Return the seconds of one in which every rank sends so many bytes."""
        return hops * self.alpha + sent / (self.eta * mbit * 1e6 / 8)

    def reduced(self, ranks: int, size: float, mbit: float) -> float:
        """Return the seconds of a ring all-reduce."""
        return self.collective(2 * (ranks - 1), 2 * (ranks - 1) / ranks * size, mbit)

    def gathered(self, ranks: int, size: float, mbit: float) -> float:
        """Return the seconds of a ring all-gather of *size* bytes from each rank."""
        return self.collective(ranks - 1, (ranks - 1) * size, mbit)

    def head(self, ranks: int, mbit: float) -> float:
        """Return the seconds that the head's collectives take in a step, over Gloo."""
        rows, row = ROWS * ranks, FEATURES * 4
        # Counts; features with label and weight; the gradients of each rank's features.
        gathers = [8, ROWS * (row + 16), ROWS * row]
        reduces = [rows * 4, rows * 24]  # largest; three sums
        return sum(self.gathered(ranks, size, mbit) for size in gathers) + sum(
            self.reduced(ranks, size, mbit) for size in reduces
        )

    def step(
        self, ranks: int, mbit: float, *, work: float, backbone: float, sharded: bool = True
    ) -> float:
        """Return the seconds of a step: buckets leave as they are ready, one after another."""
        count = round(BACKBONE / BUCKET)
        now = ready = work * FORWARD + (self.head(ranks, mbit) if sharded else 0)
        if not sharded:  # the gradient of the dense layer is the first that is ready
            now += self.reduced(ranks, CLASSES * (FEATURES + 1) * 4, mbit)
        for _ in range(count):
            ready += work * (1 - FORWARD) / count
            now = max(now, ready) + self.reduced(ranks, backbone / count, mbit)
        return now


def child(scale: float) -> dict[str, Any]:
    """Measure collectives alone, and whole steps, as one of the ranks; return the seconds."""
    import torch
    import torch.distributed as dist

    from train.head import ShardedHead
    from train.update import SGD
    from train.world import World

    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    world = World(rank=dist.get_rank(), size=dist.get_world_size())

    def clock(work: Callable[[], object], times: int) -> float:
        """Return the median of the seconds of each time but the first."""
        seconds = []
        for _ in range(times):
            dist.barrier()
            began = time.perf_counter()
            work()
            seconds.append(time.perf_counter() - began)
        return statistics.median(seconds[1:])

    collectives = []
    for size in SIZES:
        mine = torch.zeros(size // 4)
        everyone = torch.zeros(world.size * len(mine))
        times = 21 if size < 1e6 else 4
        reduce = clock(lambda: dist.all_reduce(mine), times)  # noqa: B023
        gather = clock(lambda: dist.all_gather_single(everyone, mine), times)  # noqa: B023
        collectives += [("reduced", size, reduce), ("gathered", size, gather)]
    head = ShardedHead(FEATURES, 256 * world.size, world, update=SGD(0.1))
    features = torch.randn(ROWS, FEATURES).requires_grad_()
    labels, weights = torch.randint(256 * world.size, (ROWS,)), torch.ones(ROWS)
    count = round(BACKBONE / BUCKET)
    buckets = [torch.zeros(int(BUCKET * scale / 4)) for _ in range(count)]

    def step(work: float) -> None:
        time.sleep(work * FORWARD)
        head(features, labels, weights).mean.backward()
        waits = []
        for bucket in buckets:
            time.sleep(work * (1 - FORWARD) / count)
            waits.append(dist.all_reduce(bucket, async_op=True))
        for wait in waits:
            wait.wait()

    steps = [clock(lambda: step(work), STEPS) for work in WORKS]  # noqa: B023
    dist.barrier()
    dist.destroy_process_group()
    return {"collectives": collectives, "steps": steps}


def measure(ranks: int, mbit: float, scale: float) -> dict[str, Any]:
    """Return what `child` found; of each time the slowest rank's."""
    command = [sys.executable, "-m", "bench.scaling", "--child", str(scale)]
    with links.Links(ranks, mbit) as net:
        found = net.run(command)
    collectives = [
        (kind, size, max(each["collectives"][i][2] for each in found))
        for i, (kind, size, _) in enumerate(found[0]["collectives"])
    ]
    steps = [max(times) for times in zip(*(each["steps"] for each in found), strict=True)]
    return {"collectives": collectives, "steps": steps}


def fit(found: list[dict[str, Any]]) -> Model:
    """Return the model whose relative errors on the collectives are least (least squares)."""
    lines, ones = [], []
    for (ranks, mbit, _), each in zip(MEASURED, found, strict=True):
        for kind, size, seconds in each["collectives"]:
            unit = Model(alpha=1.0, eta=1e30), Model(alpha=0.0, eta=1.0)
            lines.append([getattr(model, kind)(ranks, size, mbit) / seconds for model in unit])
            ones.append(1.0)
    alpha, inverse = np.linalg.lstsq(np.array(lines), np.array(ones), rcond=None)[0]
    return Model(alpha=float(alpha), eta=float(1 / inverse))


def efficiency(model: Model, nodes: int, gbit: float, *, sharded: bool = True) -> float:
    """Return what a node does, by what one of two does whose head is sharded."""
    few = model.step(2, gbit * 1000, work=WORK, backbone=BACKBONE)
    return few / model.step(nodes, gbit * 1000, work=WORK, backbone=BACKBONE, sharded=sharded)


def plot(path: Path, model: Model, measured: dict[int, float]) -> None:
    """Draw efficiency over nodes; *measured* at 1 Gb/s, by ranks."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.2), layout="constrained")
    for gbit, colour in ((100, "#1b7837"), (10, "#2166ac"), (1, "#b2182b")):
        for sharded, style in ((True, "-"), (False, ":")):
            values = [100 * efficiency(model, n, gbit, sharded=sharded) for n in NODES]
            head = "sharded head" if sharded else "dense head"
            axes.plot(NODES, values, style, color=colour, marker="o", markerfacecolor="white",
                      label=f"modelled: {gbit} Gb/s, {head}")  # fmt: skip
    base = measured[2]
    axes.plot(list(measured), [100 * base / seconds for seconds in measured.values()], "D",
              color="#b2182b", markersize=9, label="measured: 1 Gb/s, sharded head")  # fmt: skip
    axes.plot(128, 86.5, "*", color="black", markersize=11, label="reported in 2018")
    axes.set_xscale("log", base=2)
    axes.set_xticks(NODES, [str(n) for n in NODES])
    axes.set(xlabel="nodes (25.6 images/s each)", ylabel="speed of a node, % of that among two",
             ylim=(0, 105))  # fmt: skip
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)


def main() -> None:
    """Measure, fit, extrapolate; print tables and one JSON object."""
    flags = argparse.ArgumentParser(description="How the trainer scales.")
    flags.add_argument("--plot", type=Path, help="where to draw (docs/scaling.png)")
    flags.add_argument("--child", type=float, help=argparse.SUPPRESS)
    args = flags.parse_args()
    if args.child:
        print(json.dumps(child(args.child)))
        return
    lacking = links.lacking()
    if lacking:
        print(f"left out: {lacking}.")
        print(json.dumps({"efficiency_2_to_128_at_10gb": None, "model_error": None}))
        return
    found = [measure(*each) for each in MEASURED]
    model = fit(found)
    print(f"fitted: alpha {model.alpha * 1e6:.0f} us a hop, eta {model.eta:.3f} of the rate\n")
    print(f"{'ranks':>5} {'Mbit/s':>7} {'work s':>7} {'measured s':>11} {'modelled s':>11}")
    errors, measured = [], {}
    for (ranks, mbit, scale), each in zip(MEASURED, found, strict=True):
        for work, seconds in zip(WORKS, each["steps"], strict=True):
            said = model.step(ranks, mbit, work=work, backbone=BACKBONE * scale)
            errors.append(abs(said / seconds - 1))
            print(f"{ranks:>5} {mbit:>7.0f} {work:>7.2f} {seconds:>11.3f} {said:>11.3f}")
            if (mbit, work) == (1000.0, WORK):
                measured[ranks] = seconds
    print(
        f"\nefficiency, modelled{'10 Gb/s':>12}{'100 Gb/s':>10}{'dense, 10':>11}{'dense, 100':>12}"
    )
    for nodes in NODES:
        values = [efficiency(model, nodes, gbit, sharded=sharded)
                  for sharded in (True, False) for gbit in (10, 100)]  # fmt: skip
        print(f"{nodes:>5} nodes{'':9}" + "".join(f"{100 * value:>11.1f}%" for value in values))
    if args.plot:
        plot(args.plot, model, measured)
    figures = {
        "efficiency_2_to_128_at_10gb": round(efficiency(model, 128, 10), 4),
        "model_error": round(max(errors), 4),
        "efficiency_2_to_128_at_100gb": round(efficiency(model, 128, 100), 4),
        "dense_128_at_10gb": round(efficiency(model, 128, 10, sharded=False), 4),
        "measured_2_to_4_at_1gb": round(measured[2] / measured[4], 4),
        "alpha_us": round(model.alpha * 1e6, 1),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
