"""The stream: the pictures of each step, from the shards to a rank's device.

What a step is made of depends on (seed, step) alone, never on the number of ranks or of
workers or on what ran before; so a run goes on anywhere, exactly. A rank's workers share the
rows of every batch, so that each reads runs of its own (see train/order.py) and keeps no more.

A picture that cannot be decoded stays where it is, grey, and weighs nothing. Another in its
place would be seen twice in an epoch, and whether that one is any better is known only when it
is decoded; so every rank goes on with what it has, and loss and gradient are divided by the
pictures that count.
"""

import hashlib
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from random import Random
from typing import NamedTuple

import numpy as np
import pyarrow.compute as pc
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset

from flora import records
from flora.command import end_with_parent
from flora.console import say
from flora.errors import ContractError
from train.config import TrainSettings
from train.order import Order, Whole
from train.pixels import Pixels, augment, centre
from train.split import Split
from train.world import World

SPLITS = ("train", "val", "test")
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


class Stream(Dataset[Batch]):
    """The pictures of each step, augmented: what a worker of a rank decodes of them.

    Item n is part n % `parts` of step n // `parts`, as a DataLoader deals items out to workers.
    """

    def __init__(self, split: Split, order: Order, world: World, settings: TrainSettings) -> None:
        self.split, self.order, self.world, self.settings = split, order, world, settings
        self.unit = settings.unit(world.device.type)
        self.parts = parts(settings)
        self._held: dict[int, dict[int, bytes]] = {}
        """Of each row, what was read of its run and not yet taken."""

    def __getitem__(self, number: int) -> Batch:
        crop, size = self.settings.full.smallest_crop, self.settings.image_size
        epoch = number // self.parts // self.order.steps
        places, pictures = self.read(number)

        def view(data: bytes, key: str) -> Pixels:
            return augment(data, size, crop, Random(f"{self.settings.seed}/{epoch}/{key}"))

        return make(self.split.keys[places], self.split.labels[places], pictures, size, view)

    def read(self, number: int) -> tuple[Whole, list[bytes]]:
        """Return the places and the bytes of the pictures of an item."""
        step, part = divmod(number, self.parts)
        rows = self.world.share(np.arange(self.order.rows(step)), self.unit)
        found = [self._take(step, row) for row in part_of(rows, part, self.parts).tolist()]
        return np.array([place for place, _ in found], np.int64), [data for _, data in found]

    def _take(self, step: int, row: int) -> tuple[int, bytes]:
        """Return the place and the bytes of a picture; its run is read if it is not held."""
        left = self.order.left(step, row)
        place = int(left[0])
        if place not in self._held.get(row, ()):
            first, stop, wanted = int(left.min()), int(left.max()) + 1, set(left.tolist())
            pictures = zip(range(first, stop), self.split.read(first, stop), strict=True)
            self._held[row] = {at: data for at, data in pictures if at in wanted}
        return place, self._held[row].pop(place)


class Gallery(Dataset[Batch]):
    """A split in the order of the index: what a worker of a rank decodes of it.

    Of each picture the centre, or its augmented view of that number.
    """

    def __init__(
        self, split: Split, world: World, settings: TrainSettings, number: int | None = None
    ) -> None:
        self.split, self.world, self.settings, self.number = split, world, settings, number
        self.parts = parts(settings)
        unit = settings.unit(world.device.type)
        self.cuts = world.cuts(len(split), unit)
        self.places = world.share(np.arange(len(split)), unit)
        self.batch_size = unit * max(1, settings.batch_size // world.size // unit)

    def __len__(self) -> int:
        """Return how many batches each rank has, so that all may do together what they do."""
        longest = int(np.diff(self.cuts).max())
        return max(1, -(-longest // self.batch_size))

    def __getitem__(self, number: int) -> Batch:
        batch, part = divmod(number, self.parts)
        places = self.places[batch * self.batch_size :][: self.batch_size]
        places = part_of(places, part, self.parts)
        pictures = self.split.read(int(places[0]), int(places[-1]) + 1) if len(places) else ()
        keys, labels = self.split.keys[places], self.split.labels[places]
        return make(keys, labels, pictures, self.settings.image_size, self._view)

    def _view(self, data: bytes, key: str) -> Pixels:
        settings = self.settings
        if self.number is None:
            return centre(data, settings.image_size)
        chance = Random(f"{settings.seed}/view {self.number}/{key}")
        return augment(data, settings.image_size, settings.head.smallest_crop, chance)


def load(
    dataset: Dataset[Batch], numbers: range, world: World, settings: TrainSettings
) -> Iterator[Batch]:
    """Yield the batches *numbers* on the rank's device, decoded ahead if there are workers.

    An iterable *dataset* has these numbers and no others. Never an empty batch: a grey picture that
    weighs nothing stands for none.
    """
    count = parts(settings)
    items = range(numbers.start * count, numbers.stop * count)
    loader = DataLoader(
        dataset,
        batch_size=None,
        sampler=None if isinstance(dataset, IterableDataset) else items,
        num_workers=settings.data_workers,
        worker_init_fn=_watch_rank,
        pin_memory=world.device.type == "cuda",
    )
    pieces = iter(loader)
    for _ in numbers:
        batch = _join([next(pieces) for _ in range(count)], world.device)
        for key in batch.bad:
            _tell(key)
        yield batch if len(batch.labels) else _none(settings.image_size, world.device)


def parts(settings: TrainSettings) -> int:
    """Return how many workers share a batch."""
    return max(1, settings.data_workers)


def part_of(items: Whole, part: int, parts: int) -> Whole:
    """Return what one of *parts* workers has of *items*."""
    return np.array_split(items, parts)[part]


def make(
    keys: Sequence[str],
    labels: Whole,
    pictures: Iterable[bytes],
    size: int,
    view: Callable[[bytes, str], Pixels],
) -> Batch:
    """Return a batch of the *pictures*, each as *view* shows it."""
    rows, bad = len(labels), []
    pixels, weights = np.full((rows, size, size, 3), _GREY, np.uint8), np.zeros(rows, np.float32)
    for row, (key, data) in enumerate(zip(keys, pictures, strict=True)):
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


def _join(parts: list[Batch], device: torch.device) -> Batch:
    """Return *parts* as one batch on *device*."""

    def whole(tensors: Iterable[torch.Tensor]) -> torch.Tensor:
        return torch.cat([tensor.to(device, non_blocking=True) for tensor in tensors])

    return Batch(
        whole(part.pixels for part in parts),
        whole(part.labels for part in parts),
        whole(part.weights for part in parts),
        [key for part in parts for key in part.bad],
    )


def _none(size: int, device: torch.device) -> Batch:
    pixels = torch.full((1, 3, size, size), _GREY, dtype=torch.uint8)
    return Batch(
        pixels.to(device),
        torch.zeros(1, dtype=torch.int64, device=device),
        torch.zeros(1, device=device),
        [],
    )


def _watch_rank(_worker: int) -> None:
    end_with_parent(signal.SIGKILL)


@cache  # once a key, however often the picture comes round
def _tell(key: str) -> None:
    say(f"{key}: cannot be decoded, so it counts for nothing.")
