"""A run killed again and again, and gone on with on other numbers of ranks, beside a calm one.

    make bench NAME=restart ARGS="[--kills 20]"

A small model is trained on drawn squares, with dropout, augmentation and a bottleneck: once on
two ranks undisturbed; then all ranks are killed (SIGKILL) at random steps, and others, 1, 4, 2,
2, 1, ... of them, go on from the last checkpoint. Each rank writes down what it trains on: the
digest of the very bytes, and their place in the batch. Compared are these of every step that was
taken, also of those taken again, and the weights in the end.
"""

import argparse
import hashlib
import itertools
import json
import multiprocessing
import os
import random
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from tests.train import squares
from train import world
from train.config import FullSettings
from train.data import Shards
from train.job import Job
from train.learner import Learner
from train.loop import Trainer
from train.phases import Rows

RANKS = (2, 1, 4, 2)
SETTINGS = replace(
    squares.TINY,
    bottleneck=16,
    checkpoint_seconds=0.2,
    deterministic=True,
    micro_batch=2,
    full=FullSettings(epochs=2),
)
_PATIENCE = 300.0
_FORK = multiprocessing.get_context("forkserver")
_FORK.set_forkserver_preload(["train.loop"])  # torch takes seconds to import


class Witness(Trainer):
    """A trainer that writes down what it trains on."""

    def _step(
        self, learner: Learner, rows: Rows, total: int, *, late: bool
    ) -> tuple[bool, bool, bool]:
        name, number = learner.phase.step.name, self.place.step
        found = super()._step(learner, rows, total, late=late)
        pictures = self.order.places(number)[rows.places].tolist()
        if name == "full":  # the step of the last layer has their features
            pictures = [hashlib.sha256(p.numpy().tobytes()).hexdigest() for p in rows.batch.pixels]
        real = rows.batch.weights.tolist()
        with (self.job.folder / f"seen-{self.world.rank}.jsonl").open("a") as file:
            for place, picture, weight in zip(rows.places.tolist(), pictures, real, strict=True):
                if weight:
                    file.write(json.dumps([name, number, place, picture]) + "\n")
        return found


def main() -> None:
    """Train twice, once in peace, and print what the kills did."""
    flags = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    flags.add_argument("--kills", type=int, default=20)
    flags.add_argument("--pictures", type=int, default=240)
    flags.add_argument("--seed", type=int, default=1)
    args = flags.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        squares.pack(Path(temporary) / "shards", train=args.pictures)
        found = compare(Path(temporary), args.kills, random.Random(args.seed))
    print(f"{found['steps']} steps, {found['again']} of them taken again; "
          f"{found['kills']} kills, on {found['ranks']} ranks")  # fmt: skip
    print(json.dumps({name: found[name] for name in ("kills", "ids_equal", "weight_error")}))
    sys.exit(not found["ids_equal"] or found["weight_error"] > 1e-6)


def compare(data: Path, kills: int, chance: random.Random) -> dict[str, Any]:
    """Train on `<data>/shards` in peace, and with *kills*; return how the two differ."""
    calm, killed = (replace(squares.job(data, SETTINGS), folder=data / n) for n in ("calm", "kill"))
    run(calm, 2, None)
    theirs, used = seen(calm.folder), []
    for number, ranks in zip(range(kills), itertools.cycle(RANKS), strict=False):
        left = len(theirs) - len(seen(killed.folder))
        after = round(2 * chance.random() * left / (kills - number + 1))
        run(killed, ranks, max(1, min(after, left - 4)))  # a kill takes a moment
        used.append(ranks)
    used.append(RANKS[kills % len(RANKS)])
    run(killed, used[-1], None)
    mine = seen(killed.folder)
    states = [torch.load(job.folder / "model.pt")["state"] for job in (calm, killed)]
    return {
        "kills": kills,
        "ids_equal": {k: set(v) for k, v in mine.items()} == {k: set(v) for k, v in theirs.items()},
        "weight_error": max(float((states[0][k] - states[1][k]).abs().max()) for k in states[0]),
        "steps": len(theirs),
        "again": sum(len(rows) > len(theirs[step]) for step, rows in mine.items()),
        "ranks": used,
    }


def run(job: Job, ranks: int, steps: int | None) -> None:
    """Train with so many *ranks*; kill them all once *steps* more were taken, or go to the end."""
    job.folder.mkdir(exist_ok=True)
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    started = [
        _FORK.Process(target=train, args=(job, number, ranks, store.port))
        for number in range(ranks)
    ]
    wanted = None if steps is None else len(seen(job.folder)) + steps
    for process in started:
        process.start()
    try:
        deadline = time.monotonic() + _PATIENCE
        while any(process.is_alive() for process in started):
            if any(process.exitcode for process in started) or time.monotonic() > deadline:
                raise SystemExit("a rank failed, or never came to an end")
            if wanted is not None and len(seen(job.folder)) >= wanted:
                return
            time.sleep(0.02)
        if wanted is not None:
            raise SystemExit("the run ended before it could be killed: take more pictures")
    finally:
        for process in started:
            process.kill()
            process.join()


def train(job: Job, number: int, ranks: int, port: int) -> None:
    """Be a rank."""
    os.environ |= {
        "RANK": str(number), "LOCAL_RANK": str(number), "WORLD_SIZE": str(ranks),
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": "lo",
        "TORCHELASTIC_USE_AGENT_STORE": "True",
    }  # fmt: skip
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    sys.stderr = (job.folder / f"log-{number}.txt").open("a")  # of many a rank that was left alone
    Witness(job, Shards(job.shards), world.join()).run()
    world.leave()


def seen(folder: Path) -> dict[tuple[str, int], list[tuple[int, str]]]:
    """Return what each step was made of, with what ranks saw again after a kill."""
    found = defaultdict(list)
    for path in folder.glob("seen-*.jsonl"):
        for line in path.read_text().splitlines():
            try:
                name, step, place, picture = json.loads(line)
            except ValueError:  # a rank was killed while it wrote
                continue
            found[name, step].append((place, picture))
    return found


if __name__ == "__main__":
    main()
