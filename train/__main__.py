"""`python -m train`: trains a run. `python -m train evaluate`: tells what it is worth."""

import dataclasses
import hashlib
import json
import re
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from flora import config
from flora.command import Options, guard, options, parser
from flora.config import digest
from flora.console import say, show
from flora.errors import ConfigError, ContractError
from flora.ledger import Ledger, Receipt, publish, sweep
from train import launch, weights
from train.config import TrainSettings
from train.data import Shards
from train.evaluate import SPLITS
from train.job import Job

_MADE = (
    "receipts/*.json",
    "model.pt",
    "checkpoints/*.pt",
    "metrics.jsonl",
    "evaluation.json",
    "predictions-*.parquet",
)
"""What a run's folder holds of one recipe; the receipts go first."""


def train(options: Options, run: str = "main", gpus: int | None = None) -> None:
    """Train *run*: from its start, from where it was killed, or not at all if it is done."""
    job = _job("train", options, run)
    ranks, cuda = launch.devices(job.settings, gpus)
    ledger = Ledger(job.folder)
    if options.dry_run:
        say(config.show(job.settings, "train"))
        state = "is done" if _is_trained(job) else _state(job)
        say(f"train: run {run} {state}; {ranks} {'GPUs' if cuda else 'processes'}.")
        return
    with ledger.lock():
        if _is_trained(job):
            say(f"train: run {run} was trained before.")
            return
        _open(job, run)
        result = launch.run(job, ranks, cuda=cuda)
        receipt = Receipt(
            unit="train",
            recipe=job.recipe,
            rows=result["images"],
            refused={"undecodable": result["undecodable"]} if result["undecodable"] else {},
            seconds=result["seconds"],
            finished_at=_now(),
            detail={
                "model": _file_digest(job.folder / "model.pt"),
                "ranks": ranks,
                "device": "cuda" if cuda else "cpu",
            },
        )
        ledger.write(receipt)


def evaluate(options: Options, run: str = "main", gpus: int | None = None) -> None:
    """Evaluate *run* on val and test, unless that was done before, and show the figures."""
    job = _job("evaluate", options, run)
    ledger = Ledger(job.folder)
    if not _is_trained(job):
        raise ContractError(
            f"{job.folder}: holds no finished run of these settings and shards. "
            "Train first, with the same flags."
        )
    receipts = ledger.receipts()
    recipe = digest(job.recipe, receipts["train"].detail["model"])
    done = "evaluate" in receipts and receipts["evaluate"].recipe == recipe
    if options.dry_run:
        say(f"evaluate: run {run} {'is done' if done else 'would be evaluated'}.")
        return
    path = job.folder / "evaluation.json"
    with ledger.lock():
        if done and path.is_file():
            say(f"evaluate: run {run} was evaluated before.")
        else:
            ranks, cuda = launch.devices(job.settings, gpus)
            start = time.monotonic()
            found = launch.run(job, ranks, cuda=cuda)
            receipt = Receipt(
                unit="evaluate",
                recipe=recipe,
                rows=sum(figures["images"] for figures in found.values()),
                seconds=round(time.monotonic() - start, 3),
                finished_at=_now(),
                detail={name: _headline(figures) for name, figures in found.items()},
            )
            ledger.write(receipt)
        show(_text(json.loads(path.read_text(encoding="utf-8"))))


def _job(task: Literal["train", "evaluate"], options: Options, run: str) -> Job:
    """Return what is to be done. Raises ConfigError or ContractError where it cannot be."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", run):
        raise ConfigError(f"--run {run}: a run's name is letters, digits and . _ - only.")
    if options.cluster != "local":
        raise ConfigError(f"--cluster {options.cluster}: training does not run on Dask.")
    settings = options.settings("train", TrainSettings)
    start = weights.fingerprint(settings)
    shards = options.data / "shards"
    content = Shards(shards, options.limit).digest()
    return Job(
        task=task,
        shards=shards,
        folder=options.data / "runs" / run,
        settings=settings,
        recipe=digest(settings, start, content, options.limit),
        limit=options.limit,
    )


def _is_trained(job: Job) -> bool:
    receipt = Ledger(job.folder).receipts().get("train")
    model = job.folder / "model.pt"
    return receipt is not None and receipt.recipe == job.recipe and model.is_file()


def _state(job: Job) -> str:
    """Say how far a run is that is not done."""
    recipe = _recipe(job)
    if recipe is None:
        return "would start"
    return "would go on" if recipe == job.recipe else "would start anew: its recipe changed"


def _recipe(job: Job) -> str | None:
    path = job.folder / "run.json"
    return json.loads(path.read_text(encoding="utf-8"))["recipe"] if path.is_file() else None


def _open(job: Job, run: str) -> None:
    """Make the folder ready: what another recipe left there goes, as the person is told."""
    sweep(job.folder)
    sweep(job.folder / "checkpoints")
    if _recipe(job) not in (None, job.recipe):
        say(
            f"train: the settings or shards of run {run} changed, so it is trained anew, and what "
            "it had is removed. To keep both, name another with --run."
        )
        for pattern in _MADE:
            for path in job.folder.glob(pattern):
                path.unlink()
    content = {
        "run": run,
        "recipe": job.recipe,
        "limit": job.limit,
        "settings": dataclasses.asdict(job.settings),
    }
    with publish(job.folder / "run.json") as draft:
        draft.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _headline(figures: dict[str, Any]) -> dict[str, float | None]:
    return {name: figures[name] for name in ("top1", "top5", "mrr", "macro_top1")}


def _text(found: dict[str, Any]) -> str:
    """Return the figures as a small table."""
    rows: list[tuple[str, ...]] = [("", "images", "top-1", "top-5", "MRR", "per species")]
    for name in SPLITS:
        rows.append((name, f"{found[name]['images']:,}", *_cells(found[name])))
    rows.append(("chance", "", *_cells(found["test"]["random"])))
    lines = [f"{row[0]:<8}" + "".join(f"{cell:>13}" for cell in row[1:]) for row in rows]
    return "\n".join(lines)


def _cells(figures: dict[str, Any]) -> list[str]:
    return ["-" if value is None else f"{value:.3f}" for value in _headline(figures).values()]


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def main() -> int:
    """Read the flags and do what they say."""
    flags = parser("train", "Train a classifier on the shards, or evaluate one.")
    flags.add_argument("task", nargs="?", choices=("train", "evaluate"), default="train")
    flags.add_argument("--run", default="main", metavar="NAME", help="name of the run (main)")
    flags.add_argument("--gpus", type=int, metavar="G", help="GPUs to use (all; 0 for none)")
    args = flags.parse_args()
    task = train if args.task == "train" else evaluate
    return guard(lambda: task(options(args), args.run, args.gpus), verbose=args.verbose)


if __name__ == "__main__":
    sys.exit(main())
