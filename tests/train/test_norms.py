"""Batch norm that learns: against torch's own, in parts, and over ranks."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from bench import restart
from flora.errors import ConfigError
from tests.train.squares import TINY, job, pack
from train import model, runs
from train.data import Shards
from train.loop import Trainer
from train.norms import Statistics, norms
from train.recipes import Recipe, Step
from train.world import World

SCRATCH = replace(TINY, recipe="scratch", micro_batch=4, image_size=64)


def test_of_one_part_the_running_statistics_are_those_of_torch() -> None:
    torch.manual_seed(0)
    ours = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.BatchNorm2d(4))
    theirs = copy.deepcopy(ours)
    statistics = Statistics(norms(ours), World(), 8)
    for _ in range(3):
        batch = torch.randn(8, 3, 6, 6) * 3 + 1
        ours(batch), theirs(batch)
        statistics.add(torch.ones(8))
        ours(batch)  # as a second look is
        statistics.follow(8)
        for mine, other in zip(norms(ours), norms(theirs), strict=True):
            torch.testing.assert_close(mine.running_mean, other.running_mean)
            torch.testing.assert_close(mine.running_var, other.running_var)


def test_of_several_parts_they_follow_the_mean_by_the_weights_of_pictures() -> None:
    layer = nn.BatchNorm1d(2)
    statistics = Statistics([layer], World(), batch_size=16)
    parts = [torch.randn(6, 2), torch.randn(4, 2), torch.full((3, 2), 1e6)]
    for part, weights in zip(parts, ([1] * 6, [1, 1, 0, 0], [0] * 3), strict=True):
        layer(part)
        statistics.add(torch.tensor(weights, dtype=torch.float32))
    statistics.follow(8)  # half a batch
    assert layer.running_mean is not None
    assert layer.running_var is not None
    mean = (6 * parts[0].mean(0) + 2 * parts[1].mean(0)) / 8
    var = (6 * parts[0].var(0) + 2 * parts[1].var(0)) / 8
    torch.testing.assert_close(layer.running_mean, 0.05 * mean)
    torch.testing.assert_close(layer.running_var, 0.95 + 0.05 * var)
    statistics.follow(0)  # a step without pictures
    torch.testing.assert_close(layer.running_mean, 0.05 * mean)


def test_a_backbone_with_batch_norm_learns_from_scratch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Step(name="full", epochs=8, head_lr=0.01, backbone_lr=0.02, optimizer="lamb")
    monkeypatch.setattr("train.loop.recipe", lambda *_: Recipe(steps=(step,)))
    pack(tmp_path / "shards", train=40, val=12)
    asked = job(tmp_path, replace(SCRATCH, checkpoint_seconds=60))
    Trainer(asked, Shards(asked.shards), World()).run()
    trained, _ = model.restore(asked.folder / "model.pt")
    layers = norms(trained.backbone)
    assert all(layer.running_mean is not None and layer.running_mean.any() for layer in layers)
    told = (asked.folder / "metrics.jsonl").read_text()
    assert '"val_top1": 1.0' in told.splitlines()[-1]


def test_from_scratch_one_rank_and_two_come_to_the_same_weights(tmp_path: Path) -> None:
    pack(tmp_path / "shards", train=8, val=0, bad=(3,))
    asked = job(tmp_path, replace(SCRATCH, deterministic=True, checkpoint_seconds=60))
    states = []
    for ranks in (1, 2):
        mine = replace(asked, folder=tmp_path / f"on-{ranks}")
        restart.run(mine, ranks, None)
        states.append(torch.load(mine.folder / "model.pt")["state"])
    one, two = states
    assert one["backbone.bn1.running_mean"].any()
    assert max(float((one[name] - two[name]).abs().max()) for name in one) <= 1e-6


@pytest.mark.parametrize(
    "change", [{"image_size": 32}, {"backbone": "mobilenetv4_conv_small", "image_size": 96}]
)
def test_a_norm_of_a_single_pixel_is_told_before_it_is_met(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="single pixel"):
        model.create(replace(SCRATCH, **change), 3)


def test_another_micro_batch_is_another_training_from_scratch_only(tmp_path: Path) -> None:
    shards = pack(tmp_path / "shards")
    assert runs.recipe(SCRATCH, shards, None) != runs.recipe(
        replace(SCRATCH, micro_batch=8), shards, None
    )
    assert runs.recipe(TINY, shards, None) == runs.recipe(
        replace(TINY, micro_batch=8), shards, None
    )
