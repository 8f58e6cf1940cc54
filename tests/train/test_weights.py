from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from flora.errors import ConfigError, ContractError
from tests.train.squares import TINY
from train import model, weights
from train.config import TrainSettings
from train.world import World


def test_the_packaged_weights_fill_the_backbone_they_are_of() -> None:
    settings = TrainSettings()
    full = model.create(settings, 3)
    assert weights.fingerprint(settings) == "package"
    stem = full.backbone.state_dict()["conv_stem.weight"]
    assert stem.shape == (32, 3, 3, 3)
    theirs = next(iter(weights._packaged().values()))
    assert torch.equal(stem.contiguous(), theirs)
    assert full(torch.zeros(1, 3, 64, 64, dtype=torch.uint8)).shape == (1, 1280)


def test_the_packaged_weights_are_of_no_other_backbone() -> None:
    with pytest.raises(ConfigError, match="tf_efficientnet_lite0 only"):
        weights.fingerprint(replace(TINY, weights="package"))


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_a_file_of_weights_is_loaded_by_name_whatever_its_last_layer(
    tmp_path: Path, suffix: str
) -> None:
    source = model.create(replace(TINY, seed=7), 2).backbone.state_dict()
    path = tmp_path / f"resnet.{suffix}"
    write = torch.save if suffix == "pth" else save_file
    whole = {**source, "fc.weight": torch.zeros(1000, 512)}
    write({name: tensor.contiguous() for name, tensor in whole.items()}, path)
    settings = replace(TINY, weights=str(path))
    loaded = model.create(settings, 2).backbone.state_dict()
    assert all(torch.equal(loaded[name], source[name]) for name in source)
    assert weights.fingerprint(settings) != weights.fingerprint(replace(TINY, weights="none"))


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    state = model.create(TINY, 2).backbone.state_dict()
    state["conv1.0.weight"] = torch.zeros(1)
    torch.save(state, tmp_path / "other.pth")
    with pytest.raises(ConfigError, match=r"conv1\.0\.weight"):
        model.create(replace(TINY, weights=str(tmp_path / "other.pth")), 2)


def test_a_file_that_is_not_there_or_holds_no_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        weights.fingerprint(replace(TINY, weights=str(tmp_path / "none.pth")))
    (tmp_path / "text.pth").write_text("oak")
    with pytest.raises(ConfigError, match="holds no weights"):
        model.create(replace(TINY, weights=str(tmp_path / "text.pth")), 2)


def test_an_unknown_backbone_is_named() -> None:
    with pytest.raises(ConfigError, match="timm has no resnet10x"):
        model.create(replace(TINY, backbone="resnet10x"), 2)


@pytest.mark.parametrize("bottleneck", [0, 5])
def test_a_saved_model_comes_back_whole_or_in_parts(tmp_path: Path, bottleneck: int) -> None:
    settings = replace(TINY, bottleneck=bottleneck)
    before = model.create(settings, 3).eval()
    names = ["oak", "elm", "ash"]
    model.save(tmp_path / "model.pt", before.state_dict(), settings, names)
    after, species = model.restore(tmp_path / "model.pt")
    pixels = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    assert species == names
    assert torch.equal(before(pixels), after(pixels))
    assert torch.equal(before.head.weight, after.head.weight)
    second, _ = model.restore(tmp_path / "model.pt", World(rank=1, size=2))
    assert torch.equal(before.head.weight[2:], second.head.weight)


def test_a_file_that_is_no_model_is_a_broken_promise(tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(b"oak")
    with pytest.raises(ContractError, match="no trained model"):
        model.restore(tmp_path / "model.pt")
