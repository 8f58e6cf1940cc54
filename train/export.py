"""A trained model as others use it: one folder.

    model.safetensors, config.json  for timm: create_model("local-dir:FOLDER", pretrained=True)
    classes.parquet, classes.json   the species of each score, in order
    model.onnx                      pictures in (N x 3 x side x side, bytes), scores out

A bottleneck is multiplied into the last layer: plain timm has no place for it.
"""

import importlib.util
import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from flora import records
from flora.errors import ConfigError, ContractError
from train import backbones, model
from train.pixels import CENTRE_SHARE

_ONNX = ("onnx", "onnxscript")


class Scorer(nn.Module):
    """Bytes of pictures in, a score (logit) a class out."""

    def __init__(self, classifier: model.Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return N x classes scores of *pixels*, N x 3 x side x side bytes."""
        head, features = self.classifier.head, self.classifier(pixels.float())
        if head.scale is None:
            assert head.bias is not None
            scores: torch.Tensor = features @ head.weight.T + head.bias
        else:
            features = functional.normalize(features) * head.scale
            scores = features @ functional.normalize(head.weight).T
        return scores


def export(run: Path, shards: Path, folder: Path) -> str:
    """Write *folder* from the model of *run*; say what is there.

    For model.onnx that takes the packages onnx and onnxscript; cosines go there alone. Raises
    ContractError where *run* has no model, and ConfigError where it fits no form: for a backbone
    that timm gives no last layer of this shape, for one.
    """
    classifier, species = model.restore(run / "model.pt")
    classes = records.read(shards / "classes.parquet", records.CLASSES)
    if classes["species_id"].to_pylist() != species:
        raise ContractError(f"{run / 'model.pt'}: knows other species than {shards}.")
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(shards / "classes.parquet", folder / "classes.parquet")
    rows = classes.select(["label", "species_id", "name", "genus", "family"]).to_pylist()
    text = json.dumps(rows, ensure_ascii=False, indent=1) + "\n"
    (folder / "classes.json").write_text(text, encoding="utf-8")
    install = f"For model.onnx install the packages {' and '.join(_ONNX)}."
    forms = []
    if classifier.head.scale is None:
        _write_timm(classifier, species, folder)
        forms.append("timm")
    if _write_onnx(Scorer(classifier).eval(), folder / "model.onnx"):
        forms.append("ONNX")
    if not forms:
        raise ConfigError(f"train.cosine: timm has no last layer of cosines. {install}")
    more = "" if "ONNX" in forms else f" {install}"
    return f"export: {folder} holds the model, for {' and '.join(forms)}.{more}"


@torch.no_grad()
def _write_timm(classifier: model.Classifier, species: list[str], folder: Path) -> None:
    """Write the model as timm builds it, by timm's own hand."""
    timm, name = backbones.library(), classifier.backbone.pretrained_cfg["architecture"]
    whole: Any = timm.create_model(name, num_classes=len(species))
    last = whole.get_classifier()
    weight, bias = _one_layer(classifier)
    if not isinstance(last, nn.Linear) or last.weight.shape != weight.shape:
        raise ConfigError(
            f"train.backbone: timm's {name} ends in another layer than ours, so it cannot be "
            "exported to timm."
        )
    whole.load_state_dict(classifier.backbone.state_dict(), strict=False)
    last.weight.copy_(weight)
    last.bias.copy_(bias)
    side = classifier.image_size
    timm.models.save_for_hf(
        whole.to(memory_format=torch.contiguous_format),
        folder,
        model_config={"label_names": species},
        data_config={
            "input_size": (3, side, side),
            "crop_pct": CENTRE_SHARE,
            "crop_mode": "center",
            "interpolation": "bilinear",
        },
        safe_serialization=True,
    )


def _one_layer(classifier: model.Classifier) -> tuple[torch.Tensor, torch.Tensor]:
    """Return weight and bias of bottleneck and last layer in one."""
    weight, bias = classifier.head.weight, classifier.head.bias
    assert bias is not None
    below = classifier.bottleneck
    if isinstance(below, nn.Linear):
        return weight @ below.weight, weight @ below.bias + bias
    return weight, bias


def _write_onnx(scorer: Scorer, path: Path) -> bool:
    """Write *scorer* for any number of pictures, if the packages for it are there."""
    if any(importlib.util.find_spec(name) is None for name in _ONNX):
        return False
    side = scorer.classifier.image_size
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch and onnxscript, about themselves
        torch.onnx.export(
            scorer,
            (torch.zeros(2, 3, side, side, dtype=torch.uint8),),
            path,
            input_names=["pixels"],
            output_names=["scores"],
            dynamic_shapes=({0: torch.export.Dim("pictures")},),
            dynamo=True,
            verbose=False,
        )
    return True
