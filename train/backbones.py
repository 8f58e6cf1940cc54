"""timm's models, by name."""

import sys
from typing import Any

import torch

from flora.errors import ConfigError
from train.weights import PACKAGED


def create(name: str, *, hub: bool = False) -> Any:
    """Return timm's model *name* without its last layer, on the weights of its hub if asked.

    Raises ConfigError where timm has no such model, or the hub no weights.
    """
    timm = library()
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
            f'give a file, or take {PACKAGED} with "package".'
        ) from error


def library() -> Any:
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
