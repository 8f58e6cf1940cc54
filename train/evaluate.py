"""What a trained model is worth: its guesses for val and test, and figures of them."""

import json
from typing import Any

import numpy as np
import torch

from flora import records
from flora.errors import ContractError
from flora.ledger import publish
from train import metrics, model
from train.data import Batch, Shards, visit
from train.job import Job
from train.phases import precision
from train.split import Split
from train.world import World

SPLITS = ("val", "test")
_GUESSES = 10
"""Guesses that the table of predictions keeps of each picture."""


def evaluate(job: Job, shards: Shards, world: World) -> dict[str, Any]:
    """Write `predictions-<split>.parquet` and evaluation.json; return the latter's content."""
    classifier, species = model.restore(job.folder / "model.pt", world)
    if species != shards.classes["species_id"].to_pylist():
        raise ContractError(f"{job.folder / 'model.pt'}: knows other species than these shards.")
    classifier.to(world.device)
    found = {}
    for name in SPLITS:
        guesses, seen = _guess(classifier, shards.splits[name], job, world)
        if world.rank == 0:
            predictions = _table(shards.splits[name], guesses, seen)
            records.write(job.folder / f"predictions-{name}.parquet", predictions)
            ranks = guesses[seen, 0].astype(np.int64)
            labels = shards.splits[name].labels[seen]
            figures = metrics.summary(ranks, labels, shards.train_counts)
            found[name] = {**figures, "undecodable": int((~seen).sum())}
    if world.rank == 0:
        with publish(job.folder / "evaluation.json") as draft:
            draft.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return found


def _guess(classifier: model.Classifier, split: Split, job: Job, world: World) -> tuple[Any, Any]:
    """Return a row a picture: place of the truth, best labels, their probabilities."""

    def look(batch: Batch) -> torch.Tensor:
        with precision(world):
            inputs = classifier(batch.pixels)
            found = classifier.head.topk(inputs, batch.labels, _GUESSES)
        return torch.cat([found.places[:, None], found.classes, found.scores.exp()], dim=1)

    guesses, seen = visit(look, split, world, job.settings)
    return guesses.cpu().numpy(), seen.cpu().numpy()


def _table(split: Split, guesses: Any, seen: Any) -> Any:
    half = (guesses.shape[1] - 1) // 2
    return records.table(
        records.PREDICTIONS,
        (
            {
                "key": split.keys[place],
                "label": int(split.labels[place]),
                "truth_rank": int(guesses[place, 0]),
                "top_labels": guesses[place, 1 : half + 1].astype(int).tolist(),
                "top_probabilities": guesses[place, half + 1 :].tolist(),
            }
            for place in np.flatnonzero(seen)
        ),
    )
