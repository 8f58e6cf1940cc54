import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from flora import records
from flora.errors import ConfigError, ContractError
from tests.train.squares import TINY, pack
from train import backbones, model
from train.export import Scorer, export


def exported(folder: Path, bottleneck: int, cosine: float = 0.0) -> tuple[Scorer, Path]:
    """Export a model that knows nothing yet; return it, and the folder."""
    shards = pack(folder / "shards", train=4, val=0, test=0)
    species = records.read(shards / "classes.parquet", records.CLASSES)["species_id"].to_pylist()
    settings = replace(TINY, bottleneck=bottleneck, cosine=cosine)
    made = model.create(settings, len(species)).eval()
    torch.nn.init.normal_(made.head.weight)
    if made.head.bias is not None:
        torch.nn.init.normal_(made.head.bias)
    model.save(folder / "model.pt", made.state_dict(), settings, species)
    export(folder, shards, folder / "export")
    return Scorer(made).eval(), folder / "export"


@pytest.mark.parametrize("bottleneck", [0, 5])
def test_plain_timm_gives_the_same_scores(tmp_path: Path, bottleneck: int) -> None:
    scorer, folder = exported(tmp_path, bottleneck)
    timm = backbones.library()
    theirs = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    data = timm.data.resolve_model_data_config(theirs)
    assert data["input_size"] == (3, 32, 32)
    assert data["crop_pct"] == 0.875
    assert theirs.pretrained_cfg["label_names"] == [f"colour-{n}" for n in range(4)]
    pixels = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8)
    mean, std = (torch.tensor(data[name])[:, None, None] for name in ("mean", "std"))
    with torch.no_grad():
        assert torch.allclose(theirs((pixels / 255 - mean) / std), scorer(pixels), atol=1e-4)


def test_the_classes_lie_beside_it_in_order(tmp_path: Path) -> None:
    _, folder = exported(tmp_path, 0)
    rows = json.loads((folder / "classes.json").read_text(encoding="utf-8"))
    assert [(row["label"], row["species_id"]) for row in rows] == [
        (n, f"colour-{n}") for n in range(4)
    ]
    assert records.read(folder / "classes.parquet", records.CLASSES).num_rows == 4


@pytest.mark.parametrize("cosine", [0.0, 16.0])
def test_onnx_gives_the_same_scores_for_any_number_of_pictures(
    tmp_path: Path, cosine: float
) -> None:
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    scorer, folder = exported(tmp_path, 5, cosine)
    assert (folder / "model.safetensors").exists() == (not cosine)
    session = runtime.InferenceSession(str(folder / "model.onnx"))
    for count in (1, 3):
        pixels = torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8)
        (scores,) = session.run(None, {"pixels": pixels.numpy()})
        with torch.no_grad():
            assert np.allclose(scores, scorer(pixels).numpy(), atol=1e-4)


def test_cosines_that_fit_no_form_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("train.export._ONNX", ("a-package-that-is-not-there",))
    with pytest.raises(ConfigError, match="timm has no last layer of cosines"):
        exported(tmp_path, 0, 16.0)


def test_a_cosine_is_scored_as_in_training() -> None:
    made = model.create(replace(TINY, cosine=16.0), 4).eval()
    torch.nn.init.normal_(made.head.weight)
    pixels = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8)
    with torch.no_grad():
        wanted = made.head.scores(made(pixels))
        assert torch.allclose(Scorer(made)(pixels), wanted, atol=1e-5)


def test_a_run_without_a_model_is_told(tmp_path: Path) -> None:
    shards = pack(tmp_path / "shards", train=4, val=0, test=0)
    with pytest.raises(ContractError, match="holds no trained model"):
        export(tmp_path, shards, tmp_path / "export")


def test_the_command_says_where_it_is(tmp_path: Path) -> None:
    _, folder = exported(tmp_path, 0)
    run = tmp_path / "runs" / "main"
    run.mkdir(parents=True)
    (tmp_path / "model.pt").rename(run / "model.pt")
    command = [sys.executable, "-m", "train", "--data", str(tmp_path), "export"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert str(run / "export") in done.stderr
    assert (run / "export" / "model.safetensors").read_bytes() == (
        folder / "model.safetensors"
    ).read_bytes()
