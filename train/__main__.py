"""`python -m train`: trains a run. `python -m train evaluate`: tells what it is worth.

With `--nodes N` on a SLURM cluster; `srun` and `torchrun` may start the same command as ranks.
`python -m train weights NAME` brings the weights of a backbone, for nodes without internet;
`python -m train export` writes a trained model for timm, torch and ONNX.
"""

import argparse
import contextlib
import dataclasses
import hashlib
import json
import os
import re
import shutil
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
from flora.slurm import is_here
from train import hub, launch, slurm, weights
from train.config import RECIPES, TrainSettings
from train.data import Shards
from train.evaluate import SPLITS
from train.export import export
from train.job import STOPPED, Job, Stopped, listen

_MADE = (
    "receipts/*.json",
    "model.pt",
    "metrics.jsonl",
    "events.out.tfevents.*",
    "evaluation.json",
    "predictions-*.parquet",
)
"""What a run's folder holds of one recipe; the receipts go first."""


def train(
    options: Options, run: str = "main", gpus: int | None = None, nodes: int | None = None
) -> None:
    """Train *run*: from its start, from where it was killed, or not at all if it is done.

    With *nodes*, on so many of a SLURM cluster, or of this machine where there is none.
    """
    job = _job("train", options, run)
    if options.dry_run:
        say(config.show(job.settings, "train"))
        state = "is done" if _is_trained(job) else _state(job)
        say(f"train: run {run} {state}; {_where(job, gpus, nodes)}.")
        if nodes:
            show(slurm.script(job, options, gpus, nodes))
        return
    if nodes and is_here() and not _is_trained(job):
        return slurm.submit(job, options, gpus, nodes)
    ledger, first = Ledger(job.folder), launch.is_first()
    with ledger.lock() if first else contextlib.nullcontext():
        if _is_trained(job):
            _tell(f"train: run {run} was trained before.")
            return
        if first:
            _open(job, run)
            slurm.check_progress(job.folder)
        if nodes:
            say(f"train: {_where(job, gpus, nodes)}.")
        ranks, cuda = launch.devices(job.settings, gpus, nodes)
        result = launch.run(job, ranks, cuda=cuda)
        if not first:
            return
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


def evaluate(
    options: Options, run: str = "main", gpus: int | None = None, nodes: int | None = None
) -> None:
    """Evaluate *run* on val and test, unless that was done before, and show the figures."""
    job = _job("evaluate", options, run)
    ledger, first = Ledger(job.folder), launch.is_first()
    if not _is_trained(job):
        raise ContractError(
            f"{job.folder}: holds no finished run of these settings and shards. "
            "Train first, with the same flags."
        )
    receipts = ledger.receipts()
    recipe = digest(job.recipe, receipts["train"].detail["model"])
    path = job.folder / "evaluation.json"
    done = "evaluate" in receipts and receipts["evaluate"].recipe == recipe and path.is_file()
    if options.dry_run:
        say(f"evaluate: run {run} {'is done' if done else 'would be evaluated'}.")
        if nodes:
            show(slurm.script(job, options, gpus, nodes))
        return
    if nodes and is_here() and not done:
        return slurm.submit(job, options, gpus, nodes)
    with ledger.lock() if first else contextlib.nullcontext():
        if done:
            _tell(f"evaluate: run {run} was evaluated before.")
        else:
            ranks, cuda = launch.devices(job.settings, gpus, nodes)
            start = time.monotonic()
            found = launch.run(job, ranks, cuda=cuda)
            if not first:
                return
            receipt = Receipt(
                unit="evaluate",
                recipe=recipe,
                rows=sum(figures["images"] for figures in found.values()),
                seconds=round(time.monotonic() - start, 3),
                finished_at=_now(),
                detail={name: _headline(figures) for name, figures in found.items()},
            )
            ledger.write(receipt)
        if first:
            show(_text(json.loads(path.read_text(encoding="utf-8"))))


def _where(job: Job, gpus: int | None, nodes: int | None) -> str:
    """Say on what a run is trained."""
    if nodes and is_here():
        return f"a SLURM job of {nodes} nodes"
    ranks, cuda = launch.devices(job.settings, gpus, nodes)
    here = f"{ranks} {'GPUs' if cuda else 'processes'}"
    if not nodes:
        return here
    return f"there is no sbatch here, so {nodes} nodes are {here} of this machine, over loopback"


def _tell(text: str) -> None:
    """Say *text* once, not by every rank."""
    if launch.is_first():
        say(text)


def _job(task: Literal["train", "evaluate"], options: Options, run: str) -> Job:
    """Return what is to be done. Raises ConfigError or ContractError where it cannot be."""
    _name(run)
    if options.cluster != "local":
        raise ConfigError(
            f"--cluster {options.cluster}: training does not run on Dask. For the nodes of a "
            "SLURM cluster say --nodes N."
        )
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


def _name(run: str) -> str:
    """Return *run*, a plain word. Raises ConfigError for another."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", run):
        raise ConfigError(f"--run {run}: a run's name is letters, digits and . _ - only.")
    return run


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
        shutil.rmtree(job.folder / "checkpoints", ignore_errors=True)
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
    listen()
    flags = parser("train", "Train a classifier on the shards, or evaluate one.")
    tasks = ("train", "evaluate", "export", "weights")
    flags.add_argument("task", nargs="?", choices=tasks, default="train")
    flags.add_argument("name", nargs="?", help="weights: the backbone, as timm names it")
    flags.add_argument("--run", default="main", metavar="NAME", help="name of the run (main)")
    flags.add_argument("--gpus", type=int, metavar="G", help="GPUs to use (all; 0 for none)")
    flags.add_argument("--nodes", type=int, metavar="N", help="nodes, each with so many GPUs")
    flags.add_argument("--to", type=Path, metavar="PATH", help="weights, export: where to put it")
    flags.add_argument("--recipe", choices=RECIPES, help="how to train; as train.recipe")
    args = flags.parse_args()
    if (args.task == "weights") != (args.name is not None):
        flags.error("the task `weights`, and no other, takes the name of a backbone")
    if args.nodes is not None and args.nodes < 1:
        flags.error(f"--nodes {args.nodes}: there must be one at least")
    code = guard(lambda: _do(args), verbose=args.verbose)
    if code and launch.is_rank():  # the others may wait for this one, and it for them
        sys.stderr.flush()
        os._exit(code)
    return code


def _do(args: argparse.Namespace) -> None:
    shared = options(args)
    if args.recipe:
        shared = dataclasses.replace(shared, sets=(*shared.sets, f"train.recipe={args.recipe}"))
    if args.task == "export":
        run = shared.data / "runs" / _name(args.run)
        say(export(run, shared.data / "shards", args.to or run / "export"))
        return
    if args.task == "weights":
        path = args.to or shared.data / "weights" / f"{args.name}.safetensors"
        hub.fetch(args.name, path)
        say(f"weights: {path} holds them; train.backbone and train.weights may name the two.")
        return
    slurm.adopt()
    task = train if args.task == "train" else evaluate
    try:
        task(shared, args.run, args.gpus, args.nodes)
    except Stopped as stop:
        _tell(f"{args.task}: {stop}; the same command goes on from there.")
        raise SystemExit(STOPPED) from None


if __name__ == "__main__":
    sys.exit(main())
