import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from flora.errors import StageError
from tests.train.squares import TINY, job, pack
from train.checkpoint import Checkpoints
from train.config import FullSettings, HeadSettings, TrainSettings
from train.data import Shards
from train.job import Stopped
from train.loop import Trainer
from train.model import restore
from train.recipes import Recipe, recipe
from train.world import World

QUICK = replace(TINY, checkpoint_seconds=60.0)


def trained(folder: Path, settings: TrainSettings = QUICK) -> dict[str, Any]:
    """Train alone, in this process."""
    asked = job(folder, settings)
    return Trainer(asked, Shards(asked.shards), World()).run()


def lines(folder: Path) -> list[dict[str, Any]]:
    text = (folder / "runs" / "main" / "metrics.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_coloured_squares_are_told_apart(tmp_path: Path) -> None:
    pack(tmp_path / "shards")
    full = FullSettings(epochs=8, backbone_lr=0.005, head_lr=0.02, blend=1.0)
    assert trained(tmp_path, replace(QUICK, full=full))["images"] == 30
    told = lines(tmp_path)
    assert [(line["phase"], line["epoch"], line["step"]) for line in told] == [
        ("head", 1, 4),
        *(("full", epoch, 4 * epoch) for epoch in range(1, 9)),
    ]
    assert told[-1]["loss"] < told[0]["loss"]
    assert told[-1]["val_top1"] == 1.0
    assert 0 < told[-1]["data_wait"] < 1
    assert told[-1]["exchange"] == 0  # with nobody


def test_the_epochs_of_step_one_take_the_views_in_turn(tmp_path: Path) -> None:
    pack(tmp_path / "shards")
    head = HeadSettings(epochs=2, views=2, lr=1e-12)  # so the loss tells the view
    full = replace(QUICK.full, epochs=0)
    trained(tmp_path, replace(QUICK, head=head, full=full, dropout=0.0))
    first, second, third, fourth = (line["loss"] for line in lines(tmp_path))
    assert first == pytest.approx(third, abs=2e-6)
    assert second == pytest.approx(fourth, abs=2e-6)
    assert abs(first - second) > 1e-4


def test_a_picture_that_cannot_be_decoded_is_counted_and_bends_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pack(tmp_path / "shards", bad=(3, 17))
    settings = replace(QUICK, full=replace(QUICK.full, epochs=1))
    assert trained(tmp_path, settings)["undecodable"] == 2
    assert all(torch.isfinite(torch.tensor(line["loss"])) for line in lines(tmp_path))
    assert capfd.readouterr().err.count("train0017: cannot be decoded") == 1


def test_a_run_without_val_pictures_has_no_figures_of_val(tmp_path: Path) -> None:
    pack(tmp_path / "shards", val=0)
    trained(tmp_path, replace(QUICK, full=replace(QUICK.full, epochs=0)))
    assert all("val_top1" not in line for line in lines(tmp_path))


def test_a_step_left_out_writes_no_checkpoint_over_that_of_the_step_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, begin = [], Checkpoints.begin

    def count(self: Checkpoints, number: int, *rest: Any) -> None:
        written.append(number)
        begin(self, number, *rest)

    monkeypatch.setattr(Checkpoints, "begin", count)
    pack(tmp_path / "shards")
    trained(tmp_path, replace(QUICK, full=replace(QUICK.full, epochs=0)))
    assert written == [4]
    shutil.rmtree(job(tmp_path).folder)
    trained(tmp_path, replace(QUICK, head=HeadSettings(epochs=0)))
    assert written == [4, 32]


def test_the_backbone_rests_while_the_last_layer_learns(tmp_path: Path) -> None:
    pack(tmp_path / "shards")
    settings = replace(QUICK, full=replace(QUICK.full, epochs=0))
    trained(tmp_path, settings)
    asked = job(tmp_path, settings)
    before = Trainer(asked, Shards(asked.shards), World()).model.backbone.state_dict()
    after, _ = restore(asked.folder / "model.pt")
    assert all(torch.equal(before[k], v) for k, v in after.backbone.state_dict().items())
    assert after.head.weight.abs().max() > 0


def test_a_loss_that_is_no_number_ends_the_run_and_names_the_pictures(tmp_path: Path) -> None:
    pack(tmp_path / "shards")
    settings = replace(QUICK, head=HeadSettings(epochs=1, lr=1e30))
    with pytest.raises(StageError, match=r"not finite at step \d+, made of train00\d\d, "):
        trained(tmp_path, settings)


def test_the_weights_in_the_end_are_between_those_of_the_two_steps(tmp_path: Path) -> None:
    pack(tmp_path / "shards", val=0)
    states = {}
    for blend, epochs in ((1.0, 0), (1.0, 2), (0.25, 2)):
        full = replace(QUICK.full, epochs=epochs, blend=blend)
        trained(tmp_path, replace(QUICK, bottleneck=8, full=full))
        states[blend, epochs] = torch.load(job(tmp_path).folder / "model.pt")["state"]
        shutil.rmtree(job(tmp_path).folder)
    first, second, found = states.values()
    assert not torch.equal(first["head.weight"], second["head.weight"])
    for name in [name for name, tensor in found.items() if tensor.is_floating_point()]:
        between = first[name] + 0.25 * (second[name] - first[name])
        torch.testing.assert_close(found[name], between, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize(
    "settings",
    [
        replace(QUICK, recipe="longtail", bottleneck=8, full=FullSettings(epochs=3, blend=0.5)),
        replace(QUICK, recipe="scratch", micro_batch=3, image_size=64),
    ],
    ids=["between the steps", "batch norm from scratch"],
)
def test_stopped_in_the_middle_it_goes_on_to_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: TrainSettings
) -> None:
    def short(settings: TrainSettings, images: int) -> Recipe:
        found = recipe(settings, images)
        steps = tuple(replace(step, epochs=min(3, step.epochs)) for step in found.steps)
        return replace(found, steps=steps)

    monkeypatch.setattr("train.loop.recipe", short)
    pack(tmp_path / "shards", val=0)
    trained(tmp_path, settings)
    calm = torch.load(job(tmp_path).folder / "model.pt")["state"]
    shutil.rmtree(job(tmp_path).folder)
    left = iter([False] * 9 + [True])
    monkeypatch.setattr("train.loop.is_asked_to_stop", lambda: next(left, False))
    with pytest.raises(Stopped):
        trained(tmp_path, settings)
    trained(tmp_path, settings)
    found = torch.load(job(tmp_path).folder / "model.pt")["state"]
    assert all(torch.equal(calm[name], found[name]) for name in calm)


def test_where_val_is_worse_between_the_steps_all_of_the_second_is_kept(tmp_path: Path) -> None:
    pack(tmp_path / "shards")
    full, states = FullSettings(epochs=8, backbone_lr=0.005, head_lr=0.02), []
    for blend in (1.0, 0.01):
        trained(tmp_path, replace(QUICK, full=replace(full, blend=blend)))
        assert lines(tmp_path)[-1]["val_top1"] == 1.0
        states.append(torch.load(job(tmp_path).folder / "model.pt")["state"])
        shutil.rmtree(job(tmp_path).folder)
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_lines_are_told_every_few_steps_of_a_long_epoch(tmp_path: Path) -> None:
    pack(tmp_path / "shards", train=50)
    trained(tmp_path, replace(QUICK, batch_size=2, full=replace(QUICK.full, epochs=0)))
    assert [line["step"] for line in lines(tmp_path)] == [20, 25]


def test_what_does_not_fit_at_once_is_made_twice_and_comes_to_the_same(
    tmp_path: Path,
) -> None:
    pack(tmp_path / "shards")
    settings = replace(QUICK, bottleneck=8, head=HeadSettings(epochs=0))
    asked = job(tmp_path, settings)
    trained(tmp_path, settings)
    whole = torch.load(asked.folder / "model.pt")["state"]
    shutil.rmtree(asked.folder)
    trained(tmp_path, replace(settings, micro_batch=3))
    parts = torch.load(asked.folder / "model.pt")["state"]
    assert all(torch.allclose(parts[name], whole[name], atol=1e-3) for name in whole)


@pytest.mark.parametrize("change", [{"cosine": 16.0}, {"negatives": 0.5}])
def test_the_last_layer_may_score_cosines_or_a_share_of_the_species(
    tmp_path: Path, change: dict[str, float]
) -> None:
    pack(tmp_path / "shards")
    full = FullSettings(epochs=8, backbone_lr=0.005, head_lr=0.02, blend=1.0)
    trained(tmp_path, replace(QUICK, full=full, **change))
    assert lines(tmp_path)[-1]["val_top1"] == 1.0
    model, _ = restore(job(tmp_path).folder / "model.pt")
    assert (model.head.bias is None) == ("cosine" in change)


@pytest.mark.parametrize(
    ("backbone", "weights"), [("resnet50", "none"), ("tf_efficientnet_lite0", "package")]
)
def test_large_backbones_of_both_families_take_steps(
    tmp_path: Path, backbone: str, weights: str
) -> None:
    pack(tmp_path / "shards", train=8, val=2)
    settings = replace(QUICK, backbone=backbone, weights=weights, image_size=64, bottleneck=8)
    trained(tmp_path, replace(settings, full=replace(QUICK.full, epochs=1)))
    assert [line["phase"] for line in lines(tmp_path)] == ["head", "full"]
    assert all(torch.isfinite(torch.tensor(line["loss"])) for line in lines(tmp_path))
