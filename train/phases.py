"""The two steps of fine-tuning: the last layer alone, then all layers."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import nn

from train.config import TrainSettings
from train.data import Batch, Shards, Stream, load, visit
from train.metrics import truth_ranks
from train.model import Classifier
from train.order import Order
from train.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """What one step trains, on what, and how fast."""

    name: str
    epochs: int
    module: nn.Module
    """What is trained: takes the `pixels` of a batch, gives logits."""
    rates: list[tuple[nn.Module, float]]
    """Its parts, each with its highest learning rate."""
    batches: Callable[[range], Iterator[Batch]]
    """This rank's batches of the steps named."""
    ranks: Callable[[], torch.Tensor]
    """Places of the true species of val, 1 being the best."""


def head(
    model: Classifier, shards: Shards, order: Order, world: World, settings: TrainSettings
) -> Phase:
    """The last layer alone, on features that the frozen backbone gives once."""

    def features(batch: Batch) -> torch.Tensor:
        return model.features(batch.pixels)

    model.eval()
    train, val = shards.splits["train"], shards.splits["val"]
    known, seen = visit(features, train, world, settings)
    tested, valid = visit(features, val, world, settings)
    labels = torch.from_numpy(train.labels).to(world.device)
    answers = torch.from_numpy(val.labels).to(world.device)

    def batches(steps: range) -> Iterator[Batch]:
        for step in steps:
            mine = torch.from_numpy(world.share(order.places(step))).to(world.device)
            yield Batch(known[mine], labels[mine], seen[mine].float(), [])

    return Phase(
        name="head",
        epochs=settings.head.epochs,
        module=model.head,
        rates=[(model.head, settings.head.lr)],
        batches=batches,
        ranks=lambda: truth_ranks(model.head(tested), answers)[valid],
    )


def full(
    model: Classifier, shards: Shards, order: Order, world: World, settings: TrainSettings
) -> Phase:
    """All layers, on augmented pictures."""

    def look(batch: Batch) -> torch.Tensor:
        return truth_ranks(model(batch.pixels), batch.labels)[:, None].float()

    def ranks() -> torch.Tensor:
        places, seen = visit(look, shards.splits["val"], world, settings)
        return places[seen, 0]

    stream = Stream(shards.splits["train"], order, world, settings)
    rates = [(model.backbone, settings.full.backbone_lr), (model.head, settings.full.head_lr)]
    return Phase(
        name="full",
        epochs=settings.full.epochs,
        module=model,
        rates=rates,
        batches=lambda steps: load(stream, steps, world, settings),
        ranks=ranks,
    )


PHASES = (head, full)
