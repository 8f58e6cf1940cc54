"""`python -m train evaluate`: what a run is asked, what it was asked before, and its guesses."""

import contextlib
import dataclasses
import time
from typing import Any

from flora.command import Options
from flora.config import digest
from flora.console import say, show
from flora.errors import ContractError
from flora.ledger import Ledger, Receipt
from flora.slurm import is_here
from train import launch, runs, slurm
from train.job import Job
from train.trial import Source, Trial


def evaluate(
    options: Options,
    run: str = "main",
    gpus: int | None = None,
    nodes: int | None = None,
    trial: Trial | None = None,
) -> None:
    """Have the model of *run* guess at the sets of *trial* (val and test), unless it did before.

    The figures of these guesses are for `python -m evaluate table` to tell.
    """
    job = runs.to_evaluate(options, run, trial or Trial())
    ledger, first = Ledger(job.folder), launch.is_first()
    made, model = ledger.receipts(), _model_digest(job)
    recipes = {
        each: digest(job.recipe, model, job.limit, job.trial.recipe(each))
        for each in job.trial.sets
    }
    before = {each: made.get(_unit(each)) for each in recipes}
    left = tuple(e for e, recipe in recipes.items() if recipe != getattr(before[e], "recipe", ""))
    trial = dataclasses.replace(job.trial, sets=left or job.trial.sets)
    job = dataclasses.replace(job, trial=trial)
    if options.dry_run:
        say(f"evaluate: run {run} {'would be evaluated' if left else 'is done'}.")
        if nodes:
            show(slurm.script(job, options, gpus, nodes))
        return
    if not left:
        runs.tell(f"evaluate: run {run} was evaluated before.")
        return
    if nodes and is_here():
        return slurm.submit(job, options, gpus, nodes)
    with ledger.lock() if first else contextlib.nullcontext():
        ranks, cuda = launch.devices(job.settings, gpus, nodes)
        start = time.monotonic()
        for source in left if first else ():
            ledger.forget(_unit(source))  # its tables are about to go
        found = launch.run(job, ranks, cuda=cuda)
        for source in left if first else ():
            told = found[source.name]
            receipt = Receipt(
                unit=_unit(source),
                recipe=recipes[source],
                rows=told["pictures"] - told["undecodable"],
                refused={"undecodable": told["undecodable"]} if told["undecodable"] else {},
                seconds=round(time.monotonic() - start, 3),
                finished_at=runs.now(),
                detail=told,
            )
            ledger.write(receipt)
            say(_account(source, told))


def _unit(source: Source) -> str:
    return f"evaluate/{source.name}"


def _account(source: Source, told: dict[str, Any]) -> str:
    """Return what became of the pictures of a set."""
    parts = [f"evaluate: {source.name}: {told['pictures']:,} pictures"]
    if told["undecodable"]:
        parts.append(f"{told['undecodable']:,} cannot be decoded and are left out")
    if told["of_no_class"]:
        names = ", ".join(list(told["unknown"])[:3])
        parts.append(
            f"{told['of_no_class']:,} are of species that the model does not know ({names})"
        )
    if told["copies"] is not None:
        parts.append(f"{told['copies']:,} have a near-duplicate in training")
    return "; ".join(parts) + "."


def _model_digest(job: Job) -> str:
    """Return what tells the run's model, or else its newest checkpoint, from others."""
    receipt = Ledger(job.folder).receipts().get("train")
    if receipt and receipt.recipe == job.recipe and (job.folder / "model.pt").is_file():
        return str(receipt.detail["model"])
    whole = sorted(job.folder.glob("checkpoints/[0-9]*/manifest.json"))
    if not whole:
        raise ContractError(f"{job.folder}: has neither a model nor a checkpoint. Train first.")
    runs.tell(
        f"evaluate: {job.folder.name} is still to be trained on; this is {whole[-1].parent.name}."
    )
    return runs.file_digest(whole[-1])
