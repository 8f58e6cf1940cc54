"""The classifier: a timm backbone, and a last layer that tells the species apart.

The last layer's classes lie on all ranks, each a part; all else is the same on each.
"""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from flora.errors import ConfigError, ContractError
from flora.ledger import publish
from train import backbones, weights
from train.config import TrainSettings
from train.head import ShardedHead
from train.norms import norms
from train.update import Update
from train.world import World


class Classifier(nn.Module):
    """Bytes of pictures in, what the last layer sees of them out; `head` is that layer.

    Batch norms keep the statistics of their pretraining: a rank's few pictures are no measure
    of the world, and so the same batch gives the same step on any number of ranks. The recipe
    `scratch` has none to keep, and *learns_norms* (train/norms.py).
    """

    def __init__(
        self,
        backbone: Any,
        head: ShardedHead,
        bottleneck: nn.Module,
        image_size: int,
        *,
        learns_norms: bool = False,
    ) -> None:
        super().__init__()
        self.image_size, self.learns_norms = image_size, learns_norms
        self.backbone = backbone.to(memory_format=torch.channels_last)  # twice as fast on CPUs
        self.bottleneck, self.head = bottleneck, head
        for name in ("mean", "std"):
            values = torch.tensor(backbone.pretrained_cfg[name]) * 255
            self.register_buffer(name, values.view(1, 3, 1, 1), persistent=False)

    def features(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return what the backbone sees in *pixels* (N x 3 x side x side, bytes)."""
        scaled: torch.Tensor = (pixels - self.get_buffer("mean")) / self.get_buffer("std")
        features: torch.Tensor = self.backbone(scaled.to(memory_format=torch.channels_last))
        return features

    def squeeze(self, features: torch.Tensor) -> torch.Tensor:
        """Return what the last layer gets of *features*."""
        squeezed: torch.Tensor = self.bottleneck(features)
        return squeezed

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return what the last layer gets of *pixels*."""
        return self.squeeze(self.features(pixels))

    def train(self, mode: bool = True) -> "Classifier":
        """Switch what differs in training; batch norms that do not learn stay as they are."""
        super().train(mode)
        for layer in norms(self.backbone):
            layer.train(mode and self.learns_norms)
        return self

    def shared(self) -> dict[str, torch.Tensor]:
        """Return the state that all ranks hold alike."""
        return {k: v for k, v in self.state_dict().items() if not k.startswith("head.")}


def create(
    settings: TrainSettings,
    classes: int,
    world: World | None = None,
    *,
    update: Update | None = None,
    offsets: torch.Tensor | None = None,
) -> Classifier:
    """Return an untrained classifier on the weights that *settings* name.

    *update* and *offsets* are the last layer's. Raises ConfigError for a backbone or weights
    that are not there, and for a backbone that the recipe cannot train.
    """
    torch.manual_seed(settings.seed)
    backbone = backbones.create(settings.backbone, hub=settings.start == "hub")
    weights.fill(backbone, settings)
    if learns_norms := settings.recipe == "scratch":
        _try_norms(backbone, settings)
    bottleneck = _bottleneck(backbone.head_hidden_size, settings.bottleneck)
    head = ShardedHead(
        settings.bottleneck or backbone.head_hidden_size,
        classes,
        world,
        label_smoothing=settings.label_smoothing,
        offsets=offsets,
        scale=settings.cosine or None,
        negatives=settings.negatives,
        update=update,
        double_sums=settings.deterministic,
        seed=settings.seed,
    )
    return Classifier(backbone, head, bottleneck, settings.image_size, learns_norms=learns_norms)


def save(
    path: Path, state: dict[str, torch.Tensor], settings: TrainSettings, species: list[str]
) -> None:
    """Publish *state*, a classifier's with all classes, with all that `restore` needs."""
    content = {
        "backbone": settings.backbone,
        "bottleneck": settings.bottleneck,
        "cosine": settings.cosine,
        "image_size": settings.image_size,
        "species": species,
        "state": state,
    }
    with publish(path) as draft:
        torch.save(content, draft)


def restore(path: Path, world: World | None = None) -> tuple[Classifier, list[str]]:
    """Return the classifier that `save` wrote, and the species ids of its classes.

    Of the last layer's classes each rank of *world* reads its part. Raises ContractError for
    another file.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        backbone, width = backbones.create(content["backbone"]), content["bottleneck"]
        bottleneck = _bottleneck(backbone.head_hidden_size, width)
        head = ShardedHead(
            width or backbone.head_hidden_size,
            len(content["species"]),
            world,
            scale=content["cosine"] or None,
        )
        model, mine = Classifier(backbone, head, bottleneck, content["image_size"]), head.classes
        state = content["state"]
        for name in [name for name in state if name.startswith("head.")]:
            state[name] = state[name][mine.start : mine.stop]
        model.load_state_dict(state)
    except Exception as error:  # torch raises all kinds of things
        raise ContractError(f"{path}: holds no trained model ({error}). Train anew.") from error
    return model.eval(), content["species"]


def _try_norms(backbone: nn.Module, settings: TrainSettings) -> None:
    """Raise ConfigError where one picture alone, as a rank may have, is no measure for a norm."""
    try:
        with torch.no_grad():
            backbone.train()(torch.zeros(1, 3, settings.image_size, settings.image_size))
    except ValueError as error:  # of a norm that sees a single number
        raise ConfigError(
            f"train.backbone: {settings.backbone} has batch norm where a picture of "
            f"train.image_size {settings.image_size} is a single pixel, which no rank can learn it "
            "from. Take larger pictures, or another backbone."
        ) from error
    for layer in norms(backbone):
        layer.reset_running_stats()


def _bottleneck(features: int, width: int) -> nn.Module:
    return nn.Linear(features, width) if width else nn.Identity()
