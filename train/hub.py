"""Weights from timm's hub, brought once to a file: the nodes of a cluster have no internet."""

from pathlib import Path

import requests
from huggingface_hub import constants
from safetensors.torch import save_file

from flora.errors import ConfigError
from flora.ledger import publish
from train import model
from train.config import TrainSettings

_PATIENCE = 10


def fetch(name: str, path: Path) -> None:
    """Write the weights that timm's hub has of backbone *name* to *path*, a .safetensors.

    Raises ConfigError for a backbone that is not timm's, and where the hub cannot be reached.
    """
    try:  # the hub's own client would try for a minute, and say so each time
        requests.head(constants.ENDPOINT, timeout=_PATIENCE)
    except requests.RequestException as error:
        raise ConfigError(
            f"weights: {constants.ENDPOINT} cannot be reached ({type(error).__name__}). Bring the "
            "weights where there is internet, and copy the file to this machine."
        ) from error
    made = model.create(TrainSettings(backbone=name, weights="hub"), classes=2)
    state = {key: tensor.contiguous() for key, tensor in made.backbone.state_dict().items()}
    with publish(path) as draft:
        save_file(state, draft, metadata={"backbone": name})
