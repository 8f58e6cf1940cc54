"""The stream: which pictures make which step, and their pixels.

What a step is made of depends on (seed, step) alone, never on the number of ranks or of
workers or on what ran before; so a run goes on anywhere, exactly.
"""

import hashlib
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from random import Random
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch.utils.data import DataLoader, Dataset

from flora import records
from flora.command import end_with_parent
from flora.console import say
from flora.errors import ContractError
from train.config import TrainSettings
from train.pixels import CENTRE_SHARE, Pixels, augment, centre, decode
from train.world import World

SPLITS = ("train", "val", "test")
Whole = npt.NDArray[np.int64]
_GREY = 127


class Batch(NamedTuple):
    """What one rank sees at a time."""

    pixels: torch.Tensor
    """N x 3 x side x side, bytes."""
    labels: torch.Tensor
    weights: torch.Tensor
    """1, or 0 for a picture that could not be decoded: it is grey, and counts for nothing."""
    bad: list[str]
    """The keys of those."""


class Split:
    """The pictures of one split, by their place in it."""

    def __init__(self, folder: Path, rows: pa.Table) -> None:
        self.folder = folder
        self.keys: list[str] = rows["key"].to_pylist()
        self.labels: Whole = rows["label"].to_numpy().astype(np.int64)
        self._shards, self._shard = np.unique(np.array(rows["shard"], str), return_inverse=True)
        self._offsets, self._lengths = rows["offset"].to_numpy(), rows["length"].to_numpy()

    def __len__(self) -> int:
        return len(self.keys)

    def read(self, place: int) -> bytes:
        """Return the bytes of a picture."""
        with (self.folder / self._shards[self._shard[place]]).open("rb") as shard:
            shard.seek(self._offsets[place])
            data: bytes = shard.read(self._lengths[place])
        return data

    def check(self) -> None:
        """Raise ContractError for a shard that is absent or too short."""
        for number, name in enumerate(self._shards):
            path, mine = self.folder / name, self._shard == number
            end = (self._offsets[mine] + self._lengths[mine]).max()
            if not path.is_file() or path.stat().st_size < end:
                raise ContractError(
                    f"{path}: is not there, or is shorter than the index says. "
                    "Delete its receipt and run the shards stage again."
                )


class Shards:
    """The index and the classes of a folder of shards."""

    def __init__(self, folder: Path, limit: int | None = None) -> None:
        """Read them, with the first *limit* pictures of each split if given.

        Raises ContractError where they are no ground to train on.
        """
        self._tables = (folder / "index.parquet", folder / "classes.parquet")
        self.classes = records.read(self._tables[1], records.CLASSES)
        columns = ["key", "label", "split", "shard", "offset", "length"]
        index = records.read(self._tables[0], records.INDEX, columns)
        self.splits = {
            name: Split(folder, index.filter(pc.field("split") == name)[:limit]) for name in SPLITS
        }
        self._check()

    @property
    def train_counts(self) -> Whole:
        """How many training pictures each class has, by label."""
        return np.bincount(self.splits["train"].labels, minlength=len(self.classes))

    def digest(self) -> str:
        """Return a name for what the two tables hold."""
        return hashlib.sha256(b"".join(path.read_bytes() for path in self._tables)).hexdigest()

    def _check(self) -> None:
        index, classes = self._tables
        if self.classes["label"].to_pylist() != list(range(len(self.classes))):
            raise ContractError(f"{classes}: the labels are not 0, 1, 2, …: run shards again.")
        if len(self.classes) < 2:
            raise ContractError(
                f"{classes}: holds {len(self.classes)} species, but it takes two to tell apart. "
                "Crawl more species, or lower what the shards stage asks of one."
            )
        if not len(self.splits["train"]):
            raise ContractError(f"{index}: no picture to train on. Crawl more, then run shards.")
        for split in self.splits.values():
            if any(not 0 <= label < len(self.classes) for label in np.unique(split.labels)):
                raise ContractError(f"{index}: has a label that {classes.name} has not.")
            split.check()


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Which pictures make which step: each once an epoch, in another order every epoch."""

    count: int
    batch_size: int
    seed: int

    @property
    def steps(self) -> int:
        """Steps of an epoch; the last may be a small one."""
        return -(-self.count // self.batch_size)

    def places(self, step: int) -> Whole:
        """Return the pictures of global step *step*, counted from the start of training."""
        epoch, step = divmod(step, self.steps)
        order = _permutation(self.seed, epoch, self.count)
        return order[step * self.batch_size : (step + 1) * self.batch_size]


@lru_cache(maxsize=2)  # an epoch, and the next, where workers are ahead
def _permutation(seed: int, epoch: int, count: int) -> Whole:
    return np.random.default_rng([seed, epoch]).permutation(count)


class Stream(Dataset[Batch]):
    """The pictures of each step, augmented: a rank's share of them."""

    def __init__(self, split: Split, order: Order, world: World, settings: TrainSettings) -> None:
        self.split, self.order, self.world, self.settings = split, order, world, settings

    def __getitem__(self, step: int) -> Batch:
        crop, size = self.settings.full.smallest_crop, self.settings.image_size
        epoch = step // self.order.steps

        def view(data: bytes, key: str) -> Pixels:
            chance = Random(f"{self.settings.seed}/{epoch}/{key}")
            return augment(decode(data, round(size / crop**0.5)), size, crop, chance)

        return _batch(self.split, self.world.share(self.order.places(step)), size, view)


class Gallery(Dataset[Batch]):
    """A split as it is, in the order of the index: a rank's share of it."""

    def __init__(self, split: Split, world: World, settings: TrainSettings) -> None:
        self.split, self.size = split, settings.image_size
        self.places = world.share(np.arange(len(split)))
        self.batch_size = max(1, settings.batch_size // world.size)

    def __len__(self) -> int:
        return max(1, -(-len(self.places) // self.batch_size))

    def __getitem__(self, number: int) -> Batch:
        def view(data: bytes, _key: str) -> Pixels:
            return centre(decode(data, round(self.size / CENTRE_SHARE)), self.size)

        places = self.places[number * self.batch_size :][: self.batch_size]
        return _batch(self.split, places, self.size, view)


def load(
    dataset: Dataset[Batch], numbers: range, world: World, settings: TrainSettings
) -> Iterator[Batch]:
    """Yield the batches *numbers* on the rank's device, decoded ahead if there are workers."""
    loader = DataLoader(
        dataset,
        batch_size=None,
        sampler=numbers,
        num_workers=settings.data_workers,
        worker_init_fn=_watch_rank,
        pin_memory=world.device.type == "cuda",
    )
    for pixels, labels, weights, bad in loader:
        for key in bad:
            _tell(key)
        on = world.device
        yield Batch(pixels.to(on), labels.to(on), weights.to(on), bad)


@torch.no_grad()
def visit(
    look: Callable[[Batch], torch.Tensor], split: Split, world: World, settings: TrainSettings
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the row that *look* gives for each picture of *split*, and which were decoded.

    Each rank looks at its share; all return the whole.
    """
    gallery = Gallery(split, world, settings)
    rows = [
        torch.cat([look(batch), batch.weights[:, None]], dim=1)
        for batch in load(gallery, range(len(gallery)), world, settings)
    ]
    mine = torch.cat(rows)
    table = torch.zeros(len(split), mine.shape[1], device=world.device)
    table[gallery.places] = mine[: len(gallery.places)]
    world.total(table)
    return table[:, :-1], table[:, -1] > 0


def _batch(split: Split, places: Whole, size: int, view: Callable[[bytes, str], Pixels]) -> Batch:
    """Return *places* as a batch; never an empty one: a grey picture stands for none."""
    rows = max(len(places), 1)
    pixels = np.full((rows, size, size, 3), _GREY, np.uint8)
    labels, weights, bad = np.zeros(rows, np.int64), np.zeros(rows, np.float32), []
    for row, place in enumerate(places):
        data, key = split.read(place), split.keys[place]
        labels[row] = split.labels[place]
        try:
            pixels[row] = view(data, key)
            weights[row] = 1
        except Exception:  # decoders raise all kinds of things
            bad.append(key)
    return Batch(
        torch.from_numpy(pixels).permute(0, 3, 1, 2),
        torch.from_numpy(labels),
        torch.from_numpy(weights),
        bad,
    )


def _watch_rank(_worker: int) -> None:
    end_with_parent(signal.SIGKILL)


@cache  # once a key, however often the picture comes round
def _tell(key: str) -> None:
    say(f"{key}: cannot be decoded, so it counts for nothing.")
