"""The trainer's checkpoints beside torch.distributed.checkpoint (DCP).

    make bench NAME=checkpoint ARGS="[--rounds 3] [--classes 294000] [--folder DIR]"

What AdamW has of a last layer, weight, bias and two moments of each, dealt out over two ranks, and
100 MB of a backbone that both hold. Each way, in turn, in fresh processes: a save beside the
training (how long a rank stands still, how long until all is written, what the processors do, the
memory it takes on top), and then its reading by four ranks, as of a run that goes on with more.
Ours are safetensors with a SHA-256 each, which is looked at before they are read. DCP is
`async_save` and `load` of DTensors, without fsync, as ours. It has no digests, and a run would need
them to notice a spoiled file: so it is also measured with SHA-256 of its files at both ends.
"""

import argparse
import hashlib
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

WRITERS, READERS = 2, 4
BACKBONE = 25_000_000
WAYS = ("ours", "dcp", "dcp + sha256")
FIGURES = ("blocked_s", "save_s", "save_cpu_s", "extra_gib", "read_s", "read_cpu_s")


def child(args: argparse.Namespace) -> dict[str, float]:
    """Save or read as one of the ranks; return what that took."""
    import torch
    import torch.distributed as dist

    from train.head import classes_of
    from train.world import World

    torch.set_num_threads(1)
    task, way, rank, folder = args.child[0], args.child[1], int(args.child[2]), args.folder
    world = World(rank=rank, size=WRITERS if task == "save" else READERS)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/{task}", rank=rank, world_size=world.size
    )
    classes = classes_of(rank, world.size, args.classes)
    rows = {
        f"{name}{moment}": torch.full((len(classes), *width), float(classes.start))
        for name, width in (("weight", (args.features,)), ("bias", ()))
        for moment in ("", "_mean", "_square")
    }
    state = {"backbone": torch.ones(BACKBONE)}
    work = {"save": {"ours": save, "dcp": save_dcp}, "read": {"ours": read, "dcp": read_dcp}}
    done = work[task][way.split()[0]](folder / "saved", world, rows, state, args.classes)
    dist.barrier()
    before, began, cpu = _peak(), time.perf_counter(), time.process_time()
    finish = done()
    blocked = time.perf_counter() - began
    finish()
    if "sha256" in way:
        for path in sorted((folder / "saved").glob("__*"))[rank :: world.size]:
            with path.open("rb") as file:
                hashlib.file_digest(file, "sha256")
    found = {f"{task}_s": time.perf_counter() - began, f"{task}_cpu_s": time.process_time() - cpu}
    if task == "save":
        found |= {"blocked_s": blocked, "extra_gib": _peak() - before}
    dist.barrier()
    dist.destroy_process_group()
    return found


Work = Callable[[], Callable[[], object]]
"""Begins, and returns what waits for the end."""


def save(folder: Path, world: Any, rows: Any, state: Any, count: int) -> Work:
    """Save by train/checkpoint.py."""
    from train.checkpoint import Checkpoints
    from train.head import classes_of

    checkpoints = Checkpoints(folder, "bench", world)

    def begin() -> Callable[[], object]:
        checkpoints.begin(1, state, rows, classes_of(world.rank, world.size, count))
        return checkpoints.finish

    return begin


def read(folder: Path, world: Any, rows: Any, state: Any, count: int) -> Work:
    """Read by train/checkpoint.py."""
    from train.checkpoint import Checkpoints
    from train.head import classes_of

    checkpoints, mine = Checkpoints(folder, "bench", world), classes_of(*_of(world), count)

    def begin() -> Callable[[], object]:
        state.update(checkpoints.newest() or {})
        for name, found in checkpoints.rows(mine).items():
            rows[name].copy_(found)
        return lambda: _check(rows, mine, count)

    return begin


def save_dcp(folder: Path, world: Any, rows: Any, state: Any, count: int) -> Work:
    """Save by DCP."""
    import torch.distributed.checkpoint as library

    writer = library.FileSystemWriter(folder, sync_files=False)
    held = {**_dealt(world, rows, count), **state}

    def begin() -> Callable[[], object]:
        saving: Any = library.async_save(held, storage_writer=writer)
        return lambda: saving.result()

    return begin


def read_dcp(folder: Path, world: Any, rows: Any, state: Any, count: int) -> Work:
    """Read by DCP."""
    import torch.distributed.checkpoint as library

    from train.head import classes_of

    held = {**_dealt(world, rows, count), **state}

    def begin() -> Callable[[], object]:
        library.load(held, checkpoint_id=folder)
        return lambda: _check(rows, classes_of(*_of(world), count), count)

    return begin


def _dealt(world: Any, rows: Any, count: int) -> dict[str, Any]:
    """Return *rows* as DTensors, which deal out as we do where *count* is a multiple of ranks."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import DTensor, Shard

    mesh = init_device_mesh("cpu", (world.size,))
    return {
        name: DTensor.from_local(
            each, mesh, [Shard(0)], run_check=False, shape=(count, *each.shape[1:]),
            stride=each.stride(),
        )
        for name, each in rows.items()
    }  # fmt: skip


def _of(world: Any) -> tuple[int, int]:
    return world.rank, world.size


def _check(rows: Any, mine: range, count: int) -> None:
    """See that each row has come from the rank that wrote it."""
    writers = count // WRITERS
    for each in rows.values():
        assert float(each.flatten()[0]) == mine.start // writers * writers


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def run(way: str, args: argparse.Namespace) -> dict[str, float]:
    """Save and read in fresh processes; of each figure return the worst rank's, CPU in sum."""
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        for task, ranks in (("save", WRITERS), ("read", READERS)):
            command = [sys.executable, "-m", "bench.checkpoint", f"--folder={folder}",
                       f"--classes={args.classes}", f"--features={args.features}", "--child",
                       task, way]  # fmt: skip
            started = [
                subprocess.Popen([*command, str(rank)], stdout=subprocess.PIPE)
                for rank in range(ranks)
            ]
            told = [json.loads(each.communicate()[0].splitlines()[-1]) for each in started]
            for name in told[0]:
                together = sum if name.endswith("cpu_s") else max
                found[name] = together(each[name] for each in told)
    return found


def main() -> None:
    """Measure all ways in turn; print a table and one JSON object."""
    flags = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    flags.add_argument("--rounds", type=int, default=3)
    flags.add_argument("--classes", type=int, default=294_000, help="a multiple of 4")
    flags.add_argument("--features", type=int, default=512)
    flags.add_argument("--folder", type=Path, help="a disk to write to (that of temporary files)")
    flags.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    args = flags.parse_args()
    if args.child:
        print(json.dumps(child(args)))
        return
    runs: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for _ in range(args.rounds):
        for way in WAYS:
            runs[way].append(run(way, args))
    medians = {
        way: {name: statistics.median(each[name] for each in runs[way]) for name in FIGURES}
        for way in WAYS
    }
    print(f"{'':<14}" + "".join(f"{name:>12}" for name in FIGURES))
    for way, values in medians.items():
        print(f"{way:<14}" + "".join(f"{values[name]:>12.2f}" for name in FIGURES))
    checked = medians["dcp + sha256"]
    ratios = {f"{name}_ratio": round(checked[name] / medians["ours"][name], 2) for name in FIGURES}
    print(json.dumps(ratios))


if __name__ == "__main__":
    main()
