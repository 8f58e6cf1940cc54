"""The folder of a run: what it is made from, whether it is done, and what may go."""

import dataclasses
import hashlib
import json
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path

from flora.command import Options
from flora.config import digest
from flora.console import say
from flora.errors import ConfigError, ContractError
from flora.ledger import Ledger, publish, sweep
from train import launch, weights
from train.config import FullSettings, HeadSettings, TrainSettings
from train.data import Shards
from train.job import Job
from train.trial import Trial

_MADE = (
    "receipts/*.json",
    "model.pt",
    "metrics.jsonl",
    "events.out.tfevents.*",
    "evaluation.*",
    "guesses-*.parquet",
    "predictions-*.parquet",
    "copies-*.parquet",
)
"""What a run's folder holds of one recipe; the receipts go first."""


def to_train(options: Options, run: str) -> Job:
    """Return the job of training *run* as *options* say.

    Raises ConfigError or ContractError where it cannot be.
    """
    name(run)
    if options.cluster != "local":
        raise ConfigError(
            f"--cluster {options.cluster}: training does not run on Dask. For the nodes of a "
            "SLURM cluster say --nodes N."
        )
    settings = options.settings("train", TrainSettings)
    shards = options.data / "shards"
    return Job(
        task="train",
        shards=shards,
        folder=options.data / "runs" / run,
        settings=settings,
        recipe=recipe(settings, shards, options.limit),
        limit=options.limit,
    )


def to_evaluate(options: Options, run: str, trial: Trial) -> Job:
    """Return the job of evaluating *run*, with the settings that it was trained with.

    Raises ContractError where it was not trained, or on other shards than those that are there.
    """
    folder, path = options.data / "runs" / name(run), options.data / "runs" / run / "run.json"
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        values = known["settings"]
        parts = {"head": HeadSettings(**values["head"]), "full": FullSettings(**values["full"])}
        settings = TrainSettings(**{**values, **parts})
        made, limit = known["recipe"], known["limit"]
    except FileNotFoundError:
        raise ContractError(f"{folder}: holds no run. Train first, under the same name.") from None
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ContractError(f"{path}: is not this version's ({error}). Train anew.") from error
    shards = options.data / "shards"
    if made != recipe(settings, shards, limit):
        raise ContractError(
            f"{folder}: was trained on other shards or weights than are there now, so it may have "
            "learnt from what it would be tested on. Train anew."
        )
    here = options.settings("train", TrainSettings)
    settings = dataclasses.replace(settings, ranks=here.ranks, data_workers=here.data_workers)
    return Job(task="evaluate", shards=shards, folder=folder, settings=settings, recipe=made,
               limit=options.limit or limit, trial=trial)  # fmt: skip


def recipe(settings: TrainSettings, shards: Path, limit: int | None) -> str:
    """Return a digest of all that a run is made from."""
    normed = settings.micro_batch if settings.recipe == "scratch" else None  # see train/norms.py
    start = weights.fingerprint(settings)
    return digest(settings, start, Shards(shards, limit).digest(), limit, normed)


def name(run: str) -> str:
    """Return *run*, a plain word. Raises ConfigError for another."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", run):
        raise ConfigError(f"--run {run}: a run's name is letters, digits and . _ - only.")
    return run


def is_trained(job: Job) -> bool:
    """Tell whether the run is done, and made as *job* would have it."""
    receipt = Ledger(job.folder).receipts().get("train")
    model = job.folder / "model.pt"
    return receipt is not None and receipt.recipe == job.recipe and model.is_file()


def state(job: Job) -> str:
    """Say how far a run is that is not done."""
    recipe = _recipe_there(job)
    if recipe is None:
        return "would start"
    return "would go on" if recipe == job.recipe else "would start anew: its recipe changed"


def _recipe_there(job: Job) -> str | None:
    path = job.folder / "run.json"
    return json.loads(path.read_text(encoding="utf-8"))["recipe"] if path.is_file() else None


def prepare(job: Job, run: str) -> None:
    """Make the folder ready: what another recipe left there goes, as the person is told."""
    sweep(job.folder)
    sweep(job.folder / "checkpoints")
    if _recipe_there(job) not in (None, job.recipe):
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


def tell(text: str) -> None:
    """Say *text* once, not by every rank."""
    if launch.is_first():
        say(text)


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def now() -> str:
    """Return the time for a receipt."""
    return datetime.now(UTC).isoformat(timespec="seconds")
