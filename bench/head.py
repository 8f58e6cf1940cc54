"""The class-sharded head of 294,000 classes, beside a dense layer trained with torch alone.

    make bench NAME=head ARGS="[--rounds 3] [--classes 294000] [--features 512] [--batch 32]"

One process: nn.Linear, cross_entropy and fused SGD (momentum, weight decay) against ours, whose
update is part of backward; the same weights, features and labels, a process of its own each time.
Then two ranks in network namespaces, the batch on each: DistributedDataParallel of the dense
layer against ours, at 1 Gb/s, 10 Gb/s and as fast as the kernel passes bytes on (needs root;
left out without). Losses are compared step by step, relative to the dense layer's; bytes are
those of the interface's counter. One thread a process.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from typing import Any

from bench import links

STEPS = 20
DDP_STEPS = 6
"""Enough for a median, at seconds a step."""
WARM = 2
"""Steps that are not timed: memory is taken then."""
RATE, MOMENTUM, DECAY = 0.1, 0.9, 1e-4
KINDS = ("dense", "sharded")
RATES = {"1gb": 1000.0, "10gb": 10_000.0, "uncapped": None}


def child(kind: str, args: argparse.Namespace) -> dict[str, Any]:
    """Train one kind of head, as the rank that the environment tells of, and return its cost."""
    import torch
    import torch.distributed as dist

    from train.world import World

    torch.set_num_threads(1)
    world = World(rank=int(os.environ.get("RANK", 0)), size=int(os.environ.get("WORLD_SIZE", 1)))
    if world.size > 1:
        dist.init_process_group("gloo")
    step = {"dense": dense, "sharded": sharded}[kind](args, world)
    steps = DDP_STEPS if world.size > 1 and kind == "dense" else STEPS
    losses, wall, cpu, sent = [], [], [], 0
    for number in range(steps):
        if number == WARM and world.size > 1:
            sent = links.sent()
        chance = torch.Generator().manual_seed(1 + number * world.size + world.rank)
        features = torch.randn(args.batch, args.features, generator=chance).requires_grad_()
        labels = torch.randint(args.classes, (args.batch,), generator=chance)
        began = time.perf_counter(), time.process_time()
        losses.append(step(features, labels))
        wall.append(time.perf_counter() - began[0])
        cpu.append(time.process_time() - began[1])
        assert features.grad is not None
    if world.size > 1:
        sent = links.sent() - sent
        dist.barrier()
        dist.destroy_process_group()
    return {
        "losses": losses,
        "seconds": statistics.median(wall[WARM:]),
        "cpu_seconds": statistics.median(cpu[WARM:]),
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "bytes": sent / (steps - WARM),
    }


def dense(args: argparse.Namespace, world: Any) -> Any:
    """Return a step of nn.Linear, cross-entropy and fused SGD: among ranks, by DDP."""
    import torch
    from torch import nn
    from torch.nn.parallel import DistributedDataParallel

    from train.head import draw

    layer: nn.Module = nn.Linear(args.features, args.classes, device="meta")
    layer.weight = nn.Parameter(draw(range(args.classes), args.features, 0))
    layer.bias = nn.Parameter(torch.zeros(args.classes))
    groups = [{"params": [layer.weight], "weight_decay": DECAY}, {"params": [layer.bias]}]
    optimizer = torch.optim.SGD(groups, lr=RATE, momentum=MOMENTUM, fused=True)
    if world.size > 1:
        layer = DistributedDataParallel(layer, gradient_as_bucket_view=True)

    def step(features: Any, labels: Any) -> float:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(layer(features), labels)
        loss.backward()
        optimizer.step()
        mean = loss.detach().double()
        return float(world.total(mean)) / world.size

    return step


def sharded(args: argparse.Namespace, world: Any) -> Any:
    """Return a step of ours."""
    import torch

    from train.head import ShardedHead
    from train.update import SGD

    update = SGD(RATE, MOMENTUM, DECAY)
    head = ShardedHead(args.features, args.classes, world, update=update)
    weights, counts = torch.ones(args.batch), (args.batch,) * world.size

    def step(features: Any, labels: Any) -> float:
        loss = head(features, labels, weights, counts)
        loss.mean.backward()
        return float(loss.mean.detach())

    return step


def traffic(args: argparse.Namespace, kind: str, ranks: int) -> float:
    """Return the bytes that a rank sends in a step over Gloo, by the formula."""
    others, row = ranks - 1, args.features * 4
    if kind == "dense":
        return 2 * others / ranks * args.classes * (args.features + 1) * 4
    gathered = row + 2 * 8 + 3 * 8  # features, label, weight; normaliser, loss, hit
    dealt = 4 * 8 + row  # a rank's largest score and sums; its part of the features' gradient
    return others * args.batch * (gathered + dealt)


def alone(args: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """Run both kinds in one process each, in turn."""
    runs: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for number in range(args.rounds):
        for kind in KINDS[:: 1 if number % 2 else -1]:
            command = command_of(kind, args)
            done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
            runs[kind].append(json.loads(done.stdout.splitlines()[-1]))
            tell(f"alone, {kind}", runs[kind][-1])
    return runs


def linked(args: argparse.Namespace, name: str) -> dict[str, list[dict[str, Any]]]:
    """Run both kinds on two ranks, in turn; a run is told by its first rank."""
    runs: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
    with links.Links(2, RATES[name]) as net:
        for number in range(args.rounds):
            for kind in KINDS[:: 1 if number % 2 else -1]:
                runs[kind].append(net.run(command_of(kind, args))[0])
                tell(f"{name}, {kind}", runs[kind][-1])
    return runs


def command_of(kind: str, args: argparse.Namespace) -> list[str]:
    """Return the command that runs `child`."""
    numbers = [f"--{name}={getattr(args, name)}" for name in ("classes", "features", "batch")]
    return [sys.executable, "-m", "bench.head", *numbers, "--child", kind]


def error(runs: dict[str, list[dict[str, Any]]]) -> float:
    """Return the largest relative difference of the losses of a step."""
    return max(
        abs(ours - theirs) / theirs
        for a, b in zip(*(runs[kind] for kind in KINDS), strict=True)
        for theirs, ours in zip(a["losses"], b["losses"], strict=False)  # DDP takes fewer
    )


def ratio(runs: dict[str, list[dict[str, Any]]], what: str) -> float:
    """Return how many times as much the dense layer takes: a median of the rounds."""
    both = zip(*(runs[kind] for kind in KINDS), strict=True)
    return statistics.median(theirs[what] / ours[what] for theirs, ours in both)


def tell(name: str, run: dict[str, Any]) -> None:
    """Print a line of the table."""
    print(
        f"{name:<20} {run['cpu_seconds']:>8.3f} {run['seconds']:>8.3f} {run['peak_gib']:>9.2f} "
        f"{run['bytes'] / 1e6:>10.3f} {run['losses'][-1]:>10.6f}",
        flush=True,
    )


def main() -> None:
    """Run all, and print a table and one JSON object."""
    flags = argparse.ArgumentParser(description="The class-sharded head beside a dense layer.")
    flags.add_argument("--rounds", type=int, default=3)
    flags.add_argument("--classes", type=int, default=294_000)
    flags.add_argument("--features", type=int, default=512)
    flags.add_argument("--batch", type=int, default=32, help="rows of each rank")
    flags.add_argument("--child", choices=KINDS, help=argparse.SUPPRESS)
    args = flags.parse_args()
    if args.child:
        print(json.dumps(child(args.child, args)))
        return
    print(f"{'a step':<20} {'CPU s':>8} {'s':>8} {'peak GiB':>9} {'sent MB':>10} {'loss':>10}")
    runs = alone(args)
    figures: dict[str, float | None] = {
        "cpu_ratio": round(ratio(runs, "cpu_seconds"), 3),
        "memory_ratio": round(ratio(runs, "peak_gib"), 3),
        "loss_error": error(runs),
    }
    lacking = links.lacking()
    if lacking:
        print(f"two ranks over a link: left out, {lacking}.")
    for name in RATES:
        runs = {} if lacking else linked(args, name)
        figures[f"ddp_{name}_ratio"] = round(ratio(runs, "seconds"), 2) if runs else None
        if runs and name == "1gb":
            figures["ddp_loss_error"] = error(runs)
            for kind in KINDS:
                expected = traffic(args, kind, 2)
                sent = statistics.median(run["bytes"] for run in runs[kind])
                figures[f"{kind}_bytes"] = round(sent)
                figures[f"{kind}_bytes_error"] = round(sent / expected - 1, 4)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
