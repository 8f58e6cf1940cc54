"""The recipes: what is trained in which order, how long, and how fast.

A recipe is a function from settings and the number of training pictures to steps. `train.recipe`
names one.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

from train.config import TrainSettings

_LOOKS = 1_000_000
"""Views of all pictures together in step one, if there is one of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A part of a training, with an optimiser and a schedule of its own: warm-up, then a cosine."""

    name: Literal["head", "full"]
    """`head` leaves the backbone as it is, and trains what follows on its features, which are
    made once. `full` trains all layers, on augmented pictures."""
    epochs: int
    head_lr: float
    """Highest learning rate of the last layer (AdamW)."""
    backbone_lr: float
    """That of the layers below."""
    optimizer: Literal["adamw", "lamb"] = "adamw"
    """Of the layers below."""
    views: int = 0
    """Of `head`: augmented views of each picture, or 0 for its centre."""
    blend: float = 1.0
    """Share of what the step came to in the weights after it; the rest is what it began from. Where
    val says that this is worse, all is of what it came to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What a training consists of."""

    steps: tuple[Step, ...]
    prior: float = 0.0
    """Strength of the logit adjustment by how many training pictures a class has."""


def finetune(settings: TrainSettings, images: int) -> Recipe:
    """Return the two steps of the original: the last layer alone, then all layers.

    The weights in the end are between those that the two came to (Wortsman and others, "Robust
    fine-tuning of zero-shot models", arXiv:2109.01903).
    """
    views = min(settings.head.views, max(1, _LOOKS // images))
    head = Step(
        name="head",
        epochs=settings.head.epochs * max(1, views),
        views=views,
        head_lr=settings.head.lr,
        backbone_lr=settings.head.lr,
    )
    full = Step(
        name="full",
        epochs=settings.full.epochs,
        head_lr=settings.full.head_lr,
        backbone_lr=settings.full.backbone_lr,
        blend=settings.full.blend if head.epochs else 1.0,
    )
    return Recipe(steps=(head, full))


def longtail(settings: TrainSettings, images: int) -> Recipe:
    """Return `finetune` with scores adjusted by the classes' priors, for the good of rare ones.

    Menon and others, "Long-tail learning via logit adjustment", arXiv:2007.07314.
    """
    return Recipe(steps=finetune(settings, images).steps, prior=1.0)


def scratch(settings: TrainSettings, images: int) -> Recipe:
    """Return 100 epochs of all layers from nothing, with batches of any size.

    LAMB (You and others, arXiv:1904.00962), with the rate of "ResNet strikes back"
    (arXiv:2110.00476): 0.005 for 2,048 pictures a step, and with their square root.
    """
    rate = 0.005 * math.sqrt(settings.batch_size / 2048)
    step = Step(name="full", epochs=100, head_lr=rate / 5, backbone_lr=rate, optimizer="lamb")
    return Recipe(steps=(step,))


def smoke(settings: TrainSettings, images: int) -> Recipe:
    """Return `finetune` with one epoch a step: to see that everything works."""
    steps = finetune(settings, images).steps
    return Recipe(steps=tuple(replace(s, epochs=1, views=min(s.views, 1)) for s in steps))


def recipe(settings: TrainSettings, images: int) -> Recipe:
    """Return the recipe that *settings* name, for so many training pictures."""
    known = {each.__name__: each for each in (finetune, longtail, scratch, smoke)}
    return known[settings.recipe](settings, images)
