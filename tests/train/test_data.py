from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from flora import records
from flora.errors import ContractError
from tests.train.squares import TINY, edit, pack
from train.data import Order, Shards, Stream, visit
from train.world import World

ORDER = Order(count=30, batch_size=8, seed=0)


def worlds(size: int) -> list[World]:
    return [World(rank=rank, size=size) for rank in range(size)]


def test_an_epoch_takes_every_picture_once_in_its_own_order() -> None:
    epochs = [
        np.concatenate([ORDER.places(epoch * ORDER.steps + step) for step in range(ORDER.steps)])
        for epoch in range(3)
    ]
    assert all(sorted(epoch) == list(range(30)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3


@pytest.mark.parametrize("size", [1, 2, 3, 7, 40])
def test_the_shares_of_any_number_of_ranks_make_up_the_same_batch(size: int) -> None:
    for step in range(2 * ORDER.steps):
        shares = [world.share(ORDER.places(step)) for world in worlds(size)]
        assert (np.concatenate(shares) == ORDER.places(step)).all()
        assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_any_number_of_ranks_sees_the_same_pixels(tmp_path: Path) -> None:
    train = Shards(pack(tmp_path / "shards")).splits["train"]
    (alone,) = (Stream(train, ORDER, world, TINY)[5] for world in worlds(1))
    shared = [Stream(train, ORDER, world, TINY)[5] for world in worlds(3)]
    assert torch.equal(torch.cat([batch.pixels for batch in shared]), alone.pixels)
    assert torch.equal(torch.cat([batch.labels for batch in shared]), alone.labels)


def test_a_rank_without_pictures_gets_a_grey_one_that_weighs_nothing(tmp_path: Path) -> None:
    train = Shards(pack(tmp_path / "shards")).splits["train"]
    batch = Stream(train, ORDER, World(rank=6, size=7), TINY)[3]  # the last step has six
    assert batch.weights.tolist() == [0]
    assert batch.bad == []
    assert (batch.pixels == 127).all()


def test_a_picture_that_cannot_be_decoded_weighs_nothing_and_is_named(tmp_path: Path) -> None:
    train = Shards(pack(tmp_path / "shards", bad=(11,))).splits["train"]
    found: Counter[str] = Counter()
    for step in range(ORDER.steps):
        batch = Stream(train, ORDER, World(), TINY)[step]
        assert (batch.weights == 0).sum() == len(batch.bad)
        found.update(batch.bad)
    assert found == {"train0011": 1}


def test_a_visit_brings_a_row_of_every_picture_in_order(tmp_path: Path) -> None:
    train = Shards(pack(tmp_path / "shards", bad=(2,))).splits["train"]
    rows, seen = visit(lambda batch: batch.labels[:, None].float(), train, World(), TINY)
    assert rows[:, 0].tolist() == train.labels.tolist()
    assert torch.nonzero(~seen).flatten().tolist() == [2]


def test_workers_that_decode_ahead_change_nothing(tmp_path: Path) -> None:
    val = Shards(pack(tmp_path / "shards")).splits["val"]
    look = lambda batch: batch.pixels.flatten(1).float()  # noqa: E731
    alone, _ = visit(look, val, World(), TINY)
    ahead, _ = visit(look, val, World(), replace(TINY, data_workers=1))
    assert torch.equal(alone, ahead)


def test_a_limit_takes_the_first_of_each_split(tmp_path: Path) -> None:
    shards = Shards(pack(tmp_path / "shards"), limit=5)
    assert {name: len(split) for name, split in shards.splits.items()} == {
        "train": 5,
        "val": 5,
        "test": 5,
    }
    assert shards.train_counts.tolist() == [2, 1, 1, 1]


def test_shards_that_are_not_there_are_a_broken_promise(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="no table here"):
        Shards(tmp_path / "shards")


def test_shards_without_training_pictures_are_refused(tmp_path: Path) -> None:
    folder = pack(tmp_path / "shards", train=0)
    with pytest.raises(ContractError, match="no picture to train on"):
        Shards(folder)


def test_a_single_species_is_refused(tmp_path: Path) -> None:
    folder = pack(tmp_path / "shards")
    table = Shards(folder).classes
    records.write(folder / "classes.parquet", table[:1])
    with pytest.raises(ContractError, match="takes two"):
        Shards(folder)


def test_a_label_without_a_class_is_refused(tmp_path: Path) -> None:
    folder = pack(tmp_path / "shards")
    edit(folder / "index.parquet", "label", [99] * 42)
    with pytest.raises(ContractError, match="has a label"):
        Shards(folder)


def test_a_shard_that_was_cut_off_is_noticed_before_training(tmp_path: Path) -> None:
    folder = pack(tmp_path / "shards")
    shard = folder / "train-000000.tar"
    shard.write_bytes(shard.read_bytes()[:20_000])
    with pytest.raises(ContractError, match="shorter than the index says"):
        Shards(folder)
