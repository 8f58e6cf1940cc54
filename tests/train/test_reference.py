"""webdataset in the place of our stream."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.train.squares import COLOURS, TINY, job, pack
from train.data import Shards, load
from train.loop import Trainer
from train.order import Order
from train.reference import Reference
from train.split import Split
from train.world import World

# webdataset 1.0 leaves closing its files to the garbage collector
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

SETTINGS = replace(TINY, reader="webdataset")


def train_of(folder: Path, bad: tuple[int, ...] = ()) -> tuple[Split, Order]:
    split = Shards(pack(folder / "shards", bad=bad)).splits["train"]
    return split, split.order(TINY.batch_size, TINY.seed)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("size", [1, 2])
def test_the_ranks_have_as_many_pictures_a_step_as_with_ours(
    tmp_path: Path, size: int, workers: int
) -> None:
    split, order = train_of(tmp_path)
    settings, steps = replace(SETTINGS, data_workers=workers), range(1, 5)
    counts = []
    for rank in range(size):
        world = World(rank=rank, size=size)
        pictures = Reference(split, order, world, settings, steps)
        counts.append([len(batch.labels) for batch in load(pictures, steps, world, settings)])
    assert [sum(each) for each in zip(*counts, strict=True)] == [8, 8, 6, 8]


def test_a_picture_comes_with_its_own_label(tmp_path: Path) -> None:
    split, order = train_of(tmp_path, bad=(3,))
    pictures = Reference(split, order, World(), SETTINGS, range(12))
    batches = list(load(pictures, range(12), World(), SETTINGS))
    assert {key for batch in batches for key in batch.bad} == {"train0003"}
    pixels, labels = torch.cat([b.pixels for b in batches]), torch.cat([b.labels for b in batches])
    whole = torch.cat([b.weights for b in batches]) > 0
    seen = pixels[whole].float().mean((2, 3)) - pixels[whole].float().mean((0, 2, 3))
    colours = torch.tensor(COLOURS).float()
    nearest = (
        torch.nn.functional.normalize(seen)
        @ torch.nn.functional.normalize(colours - colours.mean(0)).T
    )
    assert (nearest.argmax(1) == labels[whole]).float().mean() > 0.8
    assert set(labels.tolist()) == {0, 1, 2, 3}


def test_a_run_learns_from_it(tmp_path: Path) -> None:
    pack(tmp_path / "shards")
    asked = job(tmp_path, replace(SETTINGS, checkpoint_seconds=60.0))
    assert Trainer(asked, Shards(asked.shards), World()).run()["images"] == 30
    assert (asked.folder / "model.pt").is_file()
