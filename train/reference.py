"""webdataset's own pipeline in the place of our stream: `train.reader = "webdataset"`.

A reference, to compare with, and for shards that something else is to be tried on. Tars are drawn
with replacement, as its author advises for many ranks, and samples are shuffled in a buffer. So
steps and batches have the sizes that they have with ours; but in an epoch some pictures come
twice and others not at all, a run that goes on draws anew, and another number of ranks or workers
sees other batches. With LIMIT= whole tars are taken.
"""

from collections.abc import Iterator
from itertools import islice
from random import Random
from typing import Any

import numpy as np
import torch
import webdataset
from torch.utils.data import IterableDataset

from train.config import TrainSettings
from train.data import Batch, make, part_of, parts
from train.order import Order
from train.pixels import Pixels, augment
from train.split import Split
from train.world import World

_BUFFER = 1000
"""Samples that are shuffled together."""
_SUFFIXES = ("jpg", "png", "webp", "gif")


class Reference(IterableDataset[Batch]):
    """The pictures of some steps, augmented as ours are: what a worker of a rank draws of them."""

    def __init__(
        self, split: Split, order: Order, world: World, settings: TrainSettings, steps: range
    ) -> None:
        self.split, self.order, self.world, self.settings = split, order, world, settings
        self.unit, self.steps = settings.unit(world.device.type), steps
        self.parts = parts(settings)

    def __iter__(self) -> Iterator[Batch]:
        worker = torch.utils.data.get_worker_info()
        part = worker.id if worker else 0
        settings, crop = self.settings, self.settings.full.smallest_crop
        chance = Random(f"{settings.seed}/{self.steps.start}/{self.world.rank}/{part}")
        samples = iter(self._samples(chance))

        def view(data: bytes, _key: str) -> Pixels:
            return augment(data, settings.image_size, crop, chance)

        for step in self.steps:
            rows = self.world.share(np.arange(self.order.rows(step)), self.unit)
            found = list(islice(samples, len(part_of(rows, part, self.parts))))
            labels = np.array([int(sample["cls"]) for sample in found], np.int64)
            keys, pictures = [each["__key__"] for each in found], [_picture(each) for each in found]
            yield make(keys, labels, pictures, settings.image_size, view)

    def _samples(self, chance: Random) -> Any:
        """Return samples without end, in webdataset's form."""
        tars = [str(path) for path in self.split.tars()]
        return webdataset.DataPipeline(
            webdataset.ResampledShards(
                tars, seed=chance.random(), deterministic=True, worker_seed=lambda: 0
            ),
            webdataset.tarfile_to_samples(),
            webdataset.shuffle(_BUFFER, rng=chance),
        )


def _picture(sample: dict[str, Any]) -> bytes:
    return next((sample[suffix] for suffix in _SUFFIXES if suffix in sample), b"")
