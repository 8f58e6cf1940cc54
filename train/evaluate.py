"""What a trained model guesses: a table for each set of pictures and testing configuration.

All ranks walk through a set together. Each decodes and sees its part of a batch; the features of
all go to every rank, which scores them among its own classes. So no rank ever holds more than
its part of the last layer and of a batch's scores.
"""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from torch.utils.data import DataLoader, Dataset

from flora import predictions, records, regions
from flora.command import end_with_parent
from flora.errors import ContractError
from train import copies, model, testsets
from train.checkpoint import Checkpoints
from train.data import Shards
from train.exchange import Rows
from train.job import Job
from train.model import Classifier
from train.naming import Names
from train.phases import precision
from train.rows import Lineage, Piece, lineage
from train.scores import recording
from train.testsets import PictureSet
from train.trial import Configuration, configurations
from train.views import Views, look
from train.world import World

_GUESSES = 10
"""Guesses that the short table keeps of each picture."""


class Seen(NamedTuple):
    """What a rank decoded of a batch."""

    places: torch.Tensor
    """b places in the set."""
    views: torch.Tensor
    """b x views x 3 x side x side, bytes."""


def evaluate(job: Job, shards: Shards, world: World) -> dict[str, Any]:
    """Write `guesses-<set>[-<configuration>].parquet` of all that `job.trial` asks.

    Returns, for each set, how many pictures there were, and what could not be made use of.
    """
    classifier = _model(job, shards, world).to(world.device)
    data = job.shards.parent
    names = Names(shards.classes, data / "checklist")
    piece = Piece(world=world, first=classifier.head.classes.start)
    genera, families = (shards.classes[name].to_pylist() for name in ("genus", "family"))
    kin = lineage(genera, families, world.device)
    columns = {name: shards.classes[name].to_pylist() for name in regions.COLUMNS}
    asked = job.trial.checklist
    allowed = regions.allowed(asked, columns, names.label) if asked else None
    found: dict[str, Any] = {}
    for source in job.trial.sets:
        pictures = testsets.load(source, data, names, job.limit)
        near = copies.find(pictures, data, world) if job.trial.unseen else None
        if world.rank == 0:
            _clear(job.folder, source.name)
            if near is not None:
                records.write(job.folder / f"copies-{source.name}.parquet", near)
        keys = None if near is None else set(near["key"].to_pylist())
        ways = configurations(job.trial, allowed, keys)
        seen = _guess(classifier, pictures, job, ways, source.name, kin, piece)
        if world.rank == 0:
            _write_first(job.folder, source.name)
        found[source.name] = {
            "pictures": len(pictures),
            "undecodable": len(pictures) - seen,
            "of_no_class": int((pictures.labels < 0).sum()),
            "unknown": dict(list(pictures.unknown.items())[:20]),
            "copies": None if keys is None else len(keys),
            "configurations": len(ways),
        }
    return found


@torch.no_grad()
def _guess(
    classifier: Classifier,
    pictures: PictureSet,
    job: Job,
    ways: list[Configuration],
    name: str,
    kin: Lineage,
    piece: Piece,
) -> int:
    """Record the guesses for *pictures*; return how many could be decoded."""
    world, count = piece.world, job.trial.views
    seen = 0
    with recording(job.folder, name, ways, kin, piece) as consume:
        for mine in _decoded(Album(pictures, job, world)):
            batch = mine.views.to(world.device)
            with precision(world):
                features = classifier(batch.flatten(0, 1)).view(len(batch), -1)
            rows = Rows.of(world, len(batch), world.device)
            places, everyone = rows.gather(mine.places[:, None].to(world.device), features)
            rows_seen = (places[:, 0] >= 0).nonzero()[:, 0]
            at = places[rows_seen, 0].cpu().numpy()
            if not len(at):
                continue
            seen += len(at)
            shown = everyone[rows_seen].view(len(at), count, -1)
            with precision(world):
                scores = [classifier.head.scores(shown[:, view]) for view in range(count)]
            consume(
                scores,
                torch.from_numpy(pictures.labels[at]).to(world.device),
                [pictures.keys[place] for place in at],
                [pictures.observations[place] for place in at],
            )
    return seen


class Album(Dataset[Seen]):
    """A set, batch by batch, as one rank sees it: its part of each, in the set's order.

    A picture that cannot be decoded is left out. A rank that is left without any has a grey one,
    whose place is -1.
    """

    def __init__(self, pictures: PictureSet, job: Job, world: World) -> None:
        self.pictures, self.world, self.settings = pictures, world, job.settings
        self.views = job.trial.views
        self.batch_size = max(world.size, job.settings.batch_size // self.views)

    def __len__(self) -> int:
        return -(-len(self.pictures) // self.batch_size)

    def __getitem__(self, number: int) -> Seen:
        stop = min((number + 1) * self.batch_size, len(self.pictures))
        places, views = [], []
        for place in self.world.share(np.arange(number * self.batch_size, stop)).tolist():
            seen = self._look(place)
            if seen is not None:
                places.append(place)
                views.append(seen)
        if not views:
            side = self.settings.image_size
            places, views = [-1], [np.full((self.views, side, side, 3), 127, np.uint8)]
        pixels = torch.from_numpy(np.stack(views)).permute(0, 1, 4, 2, 3)
        return Seen(torch.tensor(places), pixels)

    def _look(self, place: int) -> Views | None:
        try:
            return look(self.pictures.read(place), self.settings.image_size, self.views)
        except Exception:  # decoders raise all kinds of things
            return None


def _decoded(album: Album) -> Iterator[Seen]:
    """Yield the batches, decoded ahead if there are workers."""
    return iter(
        DataLoader(
            album,
            batch_size=None,
            num_workers=album.settings.data_workers,
            worker_init_fn=_watch_rank,
            pin_memory=album.world.device.type == "cuda",
        )
    )


def _watch_rank(_worker: int) -> None:
    end_with_parent(signal.SIGKILL)


def _model(job: Job, shards: Shards, world: World) -> Classifier:
    """Return the model of the run; of one that is still under way, its newest checkpoint's."""
    known, path = shards.classes["species_id"].to_pylist(), job.folder / "model.pt"
    if path.is_file():
        classifier, species = model.restore(path, world)
        if species != known:
            raise ContractError(f"{path}: knows other species than these shards.")
        return classifier
    checkpoints = Checkpoints(job.folder / "checkpoints", job.recipe, world)
    found = checkpoints.newest()
    if found is None:
        raise ContractError(f"{job.folder}: has neither a model nor a checkpoint. Train first.")
    classifier = model.create(job.settings, len(known), world)
    rows = checkpoints.rows(classifier.head.classes)
    mine = {name: rows[name] for name in classifier.head.state_dict()}
    classifier.load_state_dict(found["model"], strict=False)  # the rest is the head
    classifier.head.load_state_dict(mine)
    return classifier.eval()


def _write_first(folder: Path, name: str) -> None:
    """Write the first guesses alone, as `predictions-<set>.parquet`."""
    rows = predictions.read(folder / f"guesses-{name}.parquet", guesses=_GUESSES)
    there = rows.top_labels >= 0
    table = {
        "key": list(rows.keys),
        "label": rows.labels,
        "truth_rank": rows.ranks,
        "top_labels": [row[mask] for row, mask in zip(rows.top_labels, there, strict=True)],
        "top_probabilities": [np.exp(row[mask]) for row, mask in zip(rows.top, there, strict=True)],
    }
    content = pa.table(table, schema=records.PREDICTIONS)
    records.write(folder / f"predictions-{name}.parquet", content)


def _clear(folder: Path, name: str) -> None:
    """Remove what was guessed of a set before."""
    for pattern in (f"guesses-{name}.parquet", f"guesses-{name}-*.parquet"):
        for path in folder.glob(pattern):
            path.unlink()
