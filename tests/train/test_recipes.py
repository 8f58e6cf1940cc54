from dataclasses import replace
from pathlib import Path

import pytest
import torch

from flora.errors import ConfigError
from tests.train.squares import TINY, job, pack
from train import model, recipes, weights
from train.config import HeadSettings, TrainSettings
from train.data import Shards
from train.head import log_prior
from train.loop import Trainer
from train.recipes import Recipe, recipe
from train.world import World


def test_a_recipe_is_named_by_the_settings() -> None:
    steps = {name: recipe(replace(TINY, recipe=name), 30).steps for name in ("finetune", "smoke")}
    assert [(step.name, step.epochs) for step in steps["finetune"]] == [("head", 1), ("full", 8)]
    assert [(step.name, step.epochs) for step in steps["smoke"]] == [("head", 1), ("full", 1)]
    with pytest.raises(ConfigError, match=r"train\.recipe"):
        TrainSettings(recipe="bake")


def test_many_pictures_are_looked_at_in_fewer_views() -> None:
    def head(images: int, views: int) -> tuple[int, int]:
        settings = TrainSettings(head=HeadSettings(views=views))
        step = recipe(settings, images).steps[0]
        return step.views, step.epochs

    assert head(565, 16) == (16, 48)
    assert head(100_000, 16) == (10, 30)
    assert head(12_000_000, 16) == (1, 3)
    assert head(565, 0) == (0, 3)


def test_from_scratch_the_rate_goes_with_the_root_of_the_batch() -> None:
    (small,), (large,) = (
        recipe(replace(TINY, recipe="scratch", batch_size=size), 30).steps for size in (512, 2048)
    )
    assert large.backbone_lr == pytest.approx(0.005)
    assert small.backbone_lr == pytest.approx(0.0025)
    assert (large.epochs, large.optimizer) == (100, "lamb")


def test_from_scratch_a_backbone_has_nobodys_weights() -> None:
    packaged = TrainSettings(weights="package", recipe="scratch")
    assert weights.fingerprint(packaged) == "none"
    taught, fresh = (
        model.create(replace(packaged, recipe=name), 3).shared() for name in ("finetune", "scratch")
    )
    assert not torch.equal(taught["backbone.conv_stem.weight"], fresh["backbone.conv_stem.weight"])


def test_lamb_trains_a_backbone_without_batch_norm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def short(settings: TrainSettings, images: int) -> Recipe:
        steps = recipes.scratch(settings, images).steps
        return Recipe(steps=tuple(replace(step, epochs=2, backbone_lr=0.01) for step in steps))

    monkeypatch.setattr("train.loop.recipe", short)
    pack(tmp_path / "shards")
    settings = replace(TINY, recipe="scratch", backbone="test_vit", checkpoint_seconds=0.0)
    asked = job(tmp_path, replace(settings, image_size=160))
    trainer = Trainer(asked, Shards(asked.shards), World())
    before = {name: tensor.clone() for name, tensor in trainer.model.shared().items()}
    assert trainer.run()["images"] == 30
    after = trainer.model.shared()
    assert any(not torch.equal(before[name], after[name]) for name in before)
    assert all(tensor.isfinite().all() for tensor in after.values())


def test_the_long_tail_has_its_scores_shifted_by_what_is_common(tmp_path: Path) -> None:
    pack(tmp_path / "shards", train=6)  # two of the first two colours, one of the others
    asked = job(tmp_path, replace(TINY, recipe="longtail"))
    offsets = Trainer(asked, Shards(asked.shards), World()).model.head.offsets
    assert offsets is not None
    assert torch.equal(offsets, log_prior(torch.tensor([2, 2, 1, 1])))
    assert offsets[0] > offsets[2]
    plain = Trainer(job(tmp_path), Shards(asked.shards), World())
    assert plain.model.head.offsets is None
