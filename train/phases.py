"""A step of a recipe on this rank: what it looks at, and what it trains.

The last layer alone is trained on features that the frozen backbone gives once: of some augmented
views of each picture, which the epochs take in turn. They stay where they were made: each rank
keeps those of its share of the pictures, and gives to a step those of its rows that it has.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset

from flora.console import say
from train import exchange
from train.config import TrainSettings
from train.data import Batch, Gallery, Shards, Stream, load
from train.model import Classifier
from train.order import Order, Whole
from train.recipes import Step
from train.split import Split
from train.world import World


class Rows(NamedTuple):
    """Of a step's batch, the rows of this rank."""

    batch: Batch
    """In the step of the last layer its `pixels` are features."""
    places: Whole
    """Where they are in the whole batch."""
    counts: tuple[int, ...]
    """How many rows each rank has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """What is trained, and on what."""

    step: Step
    trained: list[tuple[nn.Module, float]]
    """The parts below the last layer, each with its highest learning rate."""
    look: Callable[[torch.Tensor], torch.Tensor]
    """What the last layer gets of pixels, or of features."""
    at_once: int
    """Rows that go through `look` together."""
    rows: Callable[[range], Iterator[Rows]]
    """This rank's part of the steps named."""
    ranks: Callable[[], torch.Tensor]
    """Places of the true species of this rank's share of val, 1 being the best. All ranks call
    it together."""


def phase(
    step: Step,
    model: Classifier,
    shards: Shards,
    order: Order,
    world: World,
    settings: TrainSettings,
) -> Phase:
    """Return what *step* is here. For the last layer alone that takes a look at all pictures."""
    make = _head if step.name == "head" else _full
    return make(step, model, shards, order, world, settings)


def precision(world: World) -> torch.autocast:
    """Return the context of a model's work: on a GPU, products are of bfloat16."""
    kind = world.device.type
    return torch.autocast(kind, torch.bfloat16, enabled=kind == "cuda")


def _head(
    step: Step,
    model: Classifier,
    shards: Shards,
    order: Order,
    world: World,
    settings: TrainSettings,
) -> Phase:
    train, val = shards.splits["train"], shards.splits["val"]
    model.eval()
    views = range(step.views) or [None]
    known = [_know(model, train, world, settings, view) for view in views]
    tested = _know(model, val, world, settings, None)
    unit = settings.unit(world.device.type)
    cuts = world.cuts(len(train), unit)

    def rows(steps: range) -> Iterator[Rows]:
        for number in steps:
            places = order.places(number)
            holders = np.searchsorted(cuts, places, side="right") - 1
            mine = np.flatnonzero(holders == world.rank)
            held = torch.from_numpy(places[mine] - cuts[world.rank])
            counts = np.bincount(holders, minlength=world.size)
            seen = known[number // order.steps % len(known)]
            found = Rows(_part(seen, held.to(world.device)), mine, tuple(counts.tolist()))
            yield _deal(found, world, unit) if settings.deterministic else found

    def ranks() -> torch.Tensor:
        size = max(1, settings.batch_size // world.size)
        count = -(-_longest(len(val), world) // size)
        parts = (
            _part(tested, slice(start, start + size)) for start in range(0, count * size, size)
        )
        return _ranks(model, lambda batch: model.squeeze(batch.pixels), parts, world)

    return Phase(
        step=step,
        trained=[(model.bottleneck, step.backbone_lr)],
        look=model.squeeze,
        at_once=unit if settings.deterministic else settings.batch_size,
        rows=rows,
        ranks=ranks,
    )


def _full(
    step: Step,
    model: Classifier,
    shards: Shards,
    order: Order,
    world: World,
    settings: TrainSettings,
) -> Phase:
    unit = settings.unit(world.device.type)

    def rows(steps: range) -> Iterator[Rows]:
        pictures = _pictures(shards.splits["train"], order, world, settings, steps)
        for number, batch in zip(steps, load(pictures, steps, world, settings), strict=True):
            cuts = world.cuts(order.rows(number), unit)
            places = np.arange(*cuts[world.rank : world.rank + 2])
            counts = np.diff(cuts).clip(1)  # a rank without a picture has a grey one
            yield Rows(batch, places if len(places) else np.zeros(1, np.int64), tuple(counts))

    def ranks() -> torch.Tensor:
        gallery = Gallery(shards.splits["val"], world, settings)
        numbers = range(len(gallery) if len(gallery.split) else 0)
        return _ranks(
            model, lambda batch: model(batch.pixels), load(gallery, numbers, world, settings), world
        )

    return Phase(
        step=step,
        trained=[(model.backbone, step.backbone_lr), (model.bottleneck, step.backbone_lr)],
        look=model,
        at_once=settings.at_once(world.device.type),
        rows=rows,
        ranks=ranks,
    )


def _pictures(
    split: Split, order: Order, world: World, settings: TrainSettings, steps: range
) -> Dataset[Batch]:
    """Return the pictures of these *steps*, by the reader that the settings name."""
    if settings.reader == "shards":
        return Stream(split, order, world, settings)
    from train.reference import Reference  # imports webdataset, which takes a moment

    return Reference(split, order, world, settings, steps)


def _deal(rows: Rows, world: World, unit: int) -> Rows:
    """Return this rank's share of a batch whose rows lie anywhere, in whole *unit*s."""
    batch, whole = rows.batch, exchange.Rows(world=world, counts=rows.counts)
    columns = batch.labels[:, None], batch.weights[:, None], torch.from_numpy(rows.places)[:, None]
    features, labels, weights, places = whole.gather(
        batch.pixels, *(column.to(world.device) for column in columns)
    )
    order = places[:, 0].argsort()
    mine = world.share(np.arange(len(order)), unit)
    held = order[torch.from_numpy(mine).to(world.device)]
    counts = np.diff(world.cuts(len(order), unit))
    part = Batch(features[held], labels[held, 0], weights[held, 0], [])
    return Rows(part, mine, tuple(counts.tolist()))


@torch.no_grad()
def _know(
    model: Classifier, split: Split, world: World, settings: TrainSettings, view: int | None
) -> Batch:
    """Return the features of this rank's share of *split*: of that *view*, or of the centre."""
    if view is not None and world.rank == 0:
        say(f"train head: looking at view {view + 1} of every picture.")
    gallery = Gallery(split, world, settings, view)
    features: list[torch.Tensor] = []
    count, weights = len(gallery.places), []
    size = settings.at_once(world.device.type)
    for batch in load(gallery, range(len(gallery)), world, settings):
        with precision(world):
            features.extend(model.features(part) for part in torch.split(batch.pixels, size))
        weights.append(batch.weights)
    labels = torch.from_numpy(split.labels[gallery.places]).to(world.device)
    return Batch(torch.cat(features)[:count], labels, torch.cat(weights)[:count], [])


def _part(batch: Batch, rows: slice | torch.Tensor) -> Batch:
    return Batch(batch.pixels[rows], batch.labels[rows], batch.weights[rows], [])


@torch.no_grad()
def _ranks(
    model: Classifier,
    look: Callable[[Batch], torch.Tensor],
    batches: Iterator[Batch],
    world: World,
) -> torch.Tensor:
    """Return the places of the true species among all, for what can be decoded of *batches*."""
    found = [torch.zeros(0, dtype=torch.int64, device=world.device)]
    for batch in batches:
        with precision(world):
            places = model.head.topk(look(batch), batch.labels, 1).places
        found.append(places[batch.weights > 0])
    return torch.cat(found)


def _longest(count: int, world: World) -> int:
    """Return how many of *count* the rank has that has most of them."""
    return -(-count // world.size)
