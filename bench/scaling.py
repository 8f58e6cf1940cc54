"""How the trainer scales: measured on 2 and 4 ranks, modelled up to 128 nodes.

    make bench NAME=scaling ARGS="[--plot docs/scaling.png]"

The nodes are those of 2018: 25.6 images a second each, 32 a step, so 1.25 s of work, a third of it
before the loss. The backbone is ResNet-50: its gradients are summed in the trainer's own buckets,
each when it is ready in a backward that is timed here. The head is ours, 512 features in, 294,000
classes. *Measured*: ranks in network namespaces with capped links, real Gloo, the real head on a
few classes; the work of a node is slept. *Modelled*: see `Model`. Its numbers are fitted to single
collectives, those of time to two ranks alone: four share two cores here, and wait for these. What
whole steps of two and of four then take is compared with what the model says they should, and the
largest difference is the model's error. Beyond 4 ranks there is nothing but the model; disks,
stragglers and switches are not in it. Efficiency is a node's speed by that of one of two nodes
with the sharded head. Needs root.
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

from bench import links

WORK = 32 / 25.6
"""Seconds of a node's own work in a step."""
FORWARD = 1 / 3
"""The share of it before the loss."""
ROWS, FEATURES, CLASSES = 32, 512, 294_000
MEASURED = ((2, 1000.0, 1.0), (4, 1000.0, 1.0), (2, 200.0, 0.2), (4, 200.0, 0.2))
"""Ranks, Mbit/s, and what the backbone is multiplied by, so that a slow link is a fair picture."""
WORKS = (WORK, 0.25)
"""The second leaves no time to hide the backbone's traffic in."""
SMALL, LARGE = 1024, 4_000_000
"""Bytes of the collectives that tell of time, and of the rate."""
MESSAGES = 17
NODES = (2, 4, 8, 16, 32, 64, 128)
STEPS = 6


Buckets = list[tuple[float, float]]
"""Bytes of each bucket, and the share of the backward after which it is ready."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """What collectives cost: seconds for their messages, and the bytes by a link's rate."""

    alpha: float
    """Of a hop from rank to rank, in a ring."""
    beta: float
    """Of an all-to-all, where all messages are under way at once."""
    gamma: float
    """Of each message in it."""
    eta: float
    """The share of a link's rate that data gets."""

    def sent(self, size: float, mbit: float) -> float:
        """Return the seconds in which every rank sends so many bytes."""
        return size / (self.eta * mbit * 1e6 / 8)

    def reduced(self, ranks: int, size: float, mbit: float) -> float:
        """Return the seconds of a ring all-reduce."""
        hops = 2 * (ranks - 1)
        return hops * self.alpha + self.sent(hops / ranks * size, mbit)

    def dealt(self, ranks: int, size: float, mbit: float) -> float:
        """Return the seconds of an all-to-all of *size* bytes from each rank to each."""
        return self.beta + (ranks - 1) * self.gamma + self.sent((ranks - 1) * size, mbit)

    def head(self, ranks: int, mbit: float) -> float:
        """Return the seconds that the head's collectives take in a step, over Gloo."""
        row = FEATURES * 4
        # Features, label, weight; largest score and sums; normaliser, loss, hit; and the gradient.
        dealt = [row + 16, 32, 24, row]
        return sum(self.dealt(ranks, ROWS * size, mbit) for size in dealt)

    def step(
        self, ranks: int, mbit: float, buckets: Buckets, *, work: float = WORK, sharded: bool = True
    ) -> float:
        """Return the seconds of a step: buckets leave as they are ready, one after another."""
        before = now = work * FORWARD + (self.head(ranks, mbit) if sharded else 0)
        if not sharded:  # the gradient of the dense layer is the first that is ready
            now += self.reduced(ranks, CLASSES * (FEATURES + 1) * 4, mbit)
        for size, share in buckets:
            ready = before + share * work * (1 - FORWARD)
            now = max(now, ready) + self.reduced(ranks, size, mbit)
        return max(now, before + work * (1 - FORWARD))


def profile() -> Buckets:
    """Return the buckets of ResNet-50, ready as in a backward of a few pictures."""
    import torch

    from train import backbones
    from train.gradients import Gradients
    from train.world import World

    torch.set_num_threads(1)
    backbone: Any = backbones.create("resnet50").to(memory_format=torch.channels_last)
    held = Gradients(list(backbone.parameters()), World())
    ready: dict[int, float] = {}
    for number, bucket in enumerate(held.buckets):
        for parameter in bucket.parameters:
            parameter.register_post_accumulate_grad_hook(
                lambda _, number=number: ready.update({number: time.perf_counter()})
            )
    for _ in range(2):  # the first is slow
        loss = backbone(torch.randn(8, 3, 224, 224)).sum()
        began = time.perf_counter()
        loss.backward()
    whole = time.perf_counter() - began
    sizes = [bucket.flat.nbytes for bucket in held.buckets]
    return [(size, (ready[n] - began) / whole) for n, size in enumerate(sizes)]


def child(buckets: Buckets) -> dict[str, Any]:
    """Measure collectives alone, and whole steps, as one of the ranks; return the seconds."""
    import torch
    import torch.distributed as dist

    from train.head import ShardedHead
    from train.update import SGD
    from train.world import World

    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    world = World(rank=dist.get_rank(), size=dist.get_world_size())

    def clock(work: Callable[[], object], times: int) -> list[float]:
        """Return the seconds of each time but the first, in order of length."""
        seconds = []
        for _ in range(times):
            dist.barrier()
            began = time.perf_counter()
            work()
            seconds.append(time.perf_counter() - began)
        return sorted(seconds[1:])

    def messages(count: int) -> None:
        """Send and receive so many at once, to and from the next rank."""
        other = (world.rank + 1) % 2
        works = [dist.irecv(theirs[i], other, tag=i) for i in range(count)]
        works += [dist.isend(mine[i], other, tag=i) for i in range(count)]
        for work in works:
            if work:
                work.wait()

    mine, theirs = torch.zeros(2, MESSAGES, SMALL // 4)
    small, large = torch.zeros(SMALL // 4), torch.zeros(LARGE // 4)
    found = {"large": statistics.median(clock(lambda: dist.all_reduce(large), 6))}
    if world.size == 2:  # a rank has a core then, but its network's thread wants one too
        for name, work in (("ring", lambda: dist.all_reduce(small)),
                           ("one", lambda: messages(1)),
                           ("many", lambda: messages(MESSAGES))):  # fmt: skip
            times = clock(work, 81)
            found[name] = times[len(times) // 4]
    head = ShardedHead(FEATURES, 256 * world.size, world, update=SGD(0.1))
    features = torch.randn(ROWS, FEATURES).requires_grad_()
    labels, weights = torch.randint(256 * world.size, (ROWS,)), torch.ones(ROWS)
    counts = (ROWS,) * world.size
    tensors = [torch.zeros(int(size / 4)) for size, _ in buckets]

    def step(work: float) -> None:
        time.sleep(work * FORWARD)
        head(features, labels, weights, counts).mean.backward()
        began, waits = time.perf_counter(), []
        for tensor, (_, share) in zip(tensors, buckets, strict=True):
            _sleep_until(began + share * work * (1 - FORWARD))
            waits.append(dist.all_reduce(tensor, async_op=True))
        _sleep_until(began + work * (1 - FORWARD))
        for wait in waits:
            wait.wait()

    steps = [statistics.median(clock(lambda: step(work), STEPS)) for work in WORKS]  # noqa: B023
    dist.barrier()
    dist.destroy_process_group()
    return {"collectives": found, "steps": steps}


def _sleep_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.perf_counter()))


def measure(ranks: int, mbit: float, buckets: Buckets) -> dict[str, Any]:
    """Return what `child` found; of each time the slowest rank's."""
    command = [sys.executable, "-m", "bench.scaling", "--child", json.dumps(buckets)]
    with links.Links(ranks, mbit) as net:
        found = net.run(command)
    names = found[0]["collectives"]
    return {
        "collectives": {name: max(each["collectives"][name] for each in found) for name in names},
        "steps": [max(times) for times in zip(*(each["steps"] for each in found), strict=True)],
    }


def fit(found: list[dict[str, Any]]) -> Model:
    """Return the model of single collectives: the median over the links of each number."""
    rates, hops, singles, more = [], [], [], []
    for (ranks, mbit, _), each in zip(MEASURED, found, strict=True):
        told = each["collectives"]
        rates.append(2 * (ranks - 1) / ranks * LARGE / told["large"] / (mbit * 1e6 / 8))
        if ranks == 2:
            hops.append(told["ring"] / 2)
            more.append((told["many"] - told["one"]) / (MESSAGES - 1))
            singles.append(told["one"] - more[-1])
    alpha, beta, gamma, eta = (statistics.median(each) for each in (hops, singles, more, rates))
    return Model(alpha=alpha, beta=beta, gamma=gamma, eta=eta)


def efficiency(
    model: Model, nodes: int, gbit: float, buckets: Buckets, *, sharded: bool = True
) -> float:
    """Return what a node does, by what one of two does whose head is sharded."""
    few = model.step(2, gbit * 1000, buckets)
    return few / model.step(nodes, gbit * 1000, buckets, sharded=sharded)


def plot(path: Path, model: Model, buckets: Buckets, measured: dict[int, float]) -> None:
    """Draw efficiency over nodes; *measured* at 1 Gb/s, by ranks."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.2), layout="constrained")
    for gbit, colour in ((100, "#1b7837"), (10, "#2166ac"), (1, "#b2182b")):
        for sharded, style in ((True, "-"), (False, ":")):
            values = [100 * efficiency(model, n, gbit, buckets, sharded=sharded) for n in NODES]
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
    flags.add_argument("--child", type=json.loads, help=argparse.SUPPRESS)
    args = flags.parse_args()
    if args.child:
        print(json.dumps(child(args.child)))
        return
    lacking = links.lacking()
    if lacking:
        print(f"left out: {lacking}.")
        print(json.dumps({"efficiency_2_to_128_at_10gb": None, "model_error": None}))
        return
    buckets = profile()
    shown = ", ".join(f"{size / 1e6:.1f} MB at {share:.0%}" for size, share in buckets)
    print(f"ResNet-50's gradients are ready, by the backward: {shown}")
    found = [
        measure(ranks, mbit, [(size * scale, share) for size, share in buckets])
        for ranks, mbit, scale in MEASURED
    ]
    model = fit(found)
    times = ", ".join(f"{name} {getattr(model, name) * 1e6:.0f} us"
                      for name in ("alpha", "beta", "gamma"))  # fmt: skip
    print(f"fitted: {times}, eta {model.eta:.3f}\n")
    print(f"{'ranks':>5} {'Mbit/s':>7} {'work s':>7} {'measured s':>11} {'modelled s':>11}")
    errors, measured = [], {}
    for (ranks, mbit, scale), each in zip(MEASURED, found, strict=True):
        for work, seconds in zip(WORKS, each["steps"], strict=True):
            scaled = [(size * scale, share) for size, share in buckets]
            said = model.step(ranks, mbit, scaled, work=work)
            errors.append(abs(said / seconds - 1))
            print(f"{ranks:>5} {mbit:>7.0f} {work:>7.2f} {seconds:>11.3f} {said:>11.3f}")
            if (mbit, work) == (1000.0, WORK):
                measured[ranks] = seconds
    print(
        f"\nefficiency, modelled{'10 Gb/s':>12}{'100 Gb/s':>10}{'dense, 10':>11}{'dense, 100':>12}"
    )
    for nodes in NODES:
        values = [efficiency(model, nodes, gbit, buckets, sharded=sharded)
                  for sharded in (True, False) for gbit in (10, 100)]  # fmt: skip
        print(f"{nodes:>5} nodes{'':9}" + "".join(f"{100 * value:>11.1f}%" for value in values))
    if args.plot:
        plot(args.plot, model, buckets, measured)
    figures = {
        "efficiency_2_to_128_at_10gb": efficiency(model, 128, 10, buckets),
        "model_error": max(errors),
        "efficiency_2_to_128_at_100gb": efficiency(model, 128, 100, buckets),
        "dense_128_at_10gb": efficiency(model, 128, 10, buckets, sharded=False),
        "measured_2_to_4_at_1gb": measured[2] / measured[4],
        "alpha_us": model.alpha * 1e6,
        "gamma_us": model.gamma * 1e6,
    }
    print(json.dumps({name: round(value, 4) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
