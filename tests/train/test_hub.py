"""Weights are brought from a hub: here a small one, on loopback."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from flora.errors import ConfigError
from tests.train.squares import TINY
from train import backbones, model
from train.hub import fetch

MODEL = "resnet10t"


class Hub(BaseHTTPRequestHandler):
    """Has one file, whatever it is asked for."""

    content = b""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()
        self.wfile.write(self.content)

    def _answer(self) -> None:
        self.send_response(200 if self.path.endswith("/model.safetensors") else 404)
        self.send_header("Content-Length", str(len(self.content)))
        self.send_header("ETag", '"0123456789abcdef"')
        self.send_header("X-Repo-Commit", "0" * 40)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Keep the tests' output clean."""


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[tuple[str, dict[str, torch.Tensor]]]:
    """The address of a hub, and the weights that it has."""
    made = backbones.library().create_model(MODEL, pretrained=False)
    save_file(made.state_dict(), tmp_path / "hub.safetensors")
    Hub.content = (tmp_path / "hub.safetensors").read_bytes()
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}", made.state_dict()
        server.shutdown()


def bring(name: str, data: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "train", "--data", str(data), "weights", name]
    env = {**os.environ, "HF_HOME": str(data / "home"), **environment}
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)


def test_weights_come_into_a_file_that_training_takes(
    tmp_path: Path, hub: tuple[str, dict[str, torch.Tensor]]
) -> None:
    address, wanted = hub
    done = bring(MODEL, tmp_path, HF_ENDPOINT=address)
    assert done.returncode == 0, done.stderr
    path = tmp_path / "weights" / f"{MODEL}.safetensors"
    assert str(path) in done.stderr
    found = load_file(path)
    assert found and all(torch.equal(found[name], wanted[name]) for name in found)
    settings = type(TINY)(backbone=MODEL, weights=str(path))
    made = model.create(settings, classes=3).backbone.state_dict()
    assert all(torch.equal(made[name], found[name]) for name in made)


def test_without_internet_there_is_one_message(tmp_path: Path) -> None:
    done = bring(MODEL, tmp_path, HF_ENDPOINT="http://127.0.0.1:9")
    assert done.returncode == 2
    assert done.stderr.startswith("Error: weights: http://127.0.0.1:9 cannot be reached")
    assert done.stderr.count("\n") == 1


def test_a_backbone_that_timm_has_not_is_a_mistake(
    tmp_path: Path, hub: tuple[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub[0])
    with pytest.raises(ConfigError, match="timm has no oak"):
        fetch("oak", tmp_path / "weights.safetensors")
    assert not (tmp_path / "weights.safetensors").exists()
