from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from flora import records
from flora.errors import ContractError
from tests.train.squares import TINY, edit, pack
from train.config import TrainSettings
from train.data import Batch, Gallery, Shards, Stream, load
from train.order import Order
from train.split import Split
from train.world import World

CHUNKS = np.array([0, 9, 10, 17, 30])
"""Places where the chunks of 30 pictures begin, and the end."""


def order() -> Order:
    return Order(CHUNKS, batch_size=8, seed=0)


def worlds(size: int) -> list[World]:
    return [World(rank=rank, size=size) for rank in range(size)]


def together(batches: list[Batch]) -> list[torch.Tensor]:
    return [torch.cat(tensors) for tensors in list(zip(*batches, strict=True))[:3]]


def seen(split: Split, settings: TrainSettings = TINY) -> list[torch.Tensor]:
    """Return pixels, labels and weights of all of *split*, as it is."""
    gallery = Gallery(split, World(), settings)
    return together(list(load(gallery, range(len(gallery)), World(), settings)))


def test_a_numbered_view_is_the_same_on_any_number_of_ranks_and_differs_from_the_next(
    tmp_path: Path,
) -> None:
    split = Shards(pack(tmp_path / "shards")).splits["train"]

    def view(number: int | None, ranks: int) -> torch.Tensor:
        parts = []
        for world in worlds(ranks):
            gallery = Gallery(split, world, TINY, number)
            batches = [gallery[n] for n in range(len(gallery) * gallery.parts)]
            parts += [batch.pixels for batch in batches]
        return torch.cat(parts)

    assert view(0, 1).equal(view(0, 3))
    assert not view(0, 1).equal(view(1, 1))
    assert not view(0, 1).equal(view(None, 1))


class Watched(Split):
    """A split that knows what was read of it."""

    def read(self, first: int, stop: int) -> Iterator[bytes]:
        reads.append(range(first, stop))
        return super().read(first, stop)


reads: list[range] = []


def test_an_epoch_takes_every_picture_once_in_its_own_order() -> None:
    asked = order()
    epochs = [
        np.concatenate([asked.places(epoch * asked.steps + step) for step in range(asked.steps)])
        for epoch in range(3)
    ]
    assert all(sorted(epoch) == list(range(30)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_the_order_is_the_same_from_whichever_step_it_is_asked() -> None:
    asked = order()
    steps = range(3 * asked.steps)
    forth = {step: tuple(asked.places(step)) for step in steps}
    assert forth == {step: tuple(asked.places(step)) for step in reversed(steps)}
    assert forth == {step: tuple(order().places(step)) for step in steps}


@pytest.mark.parametrize("count", [1, 7, 8, 9, 1000])
@pytest.mark.parametrize("batch_size", [1, 8, 2000])
def test_any_number_of_pictures_makes_up_batches_of_any_size(count: int, batch_size: int) -> None:
    chunks = np.unique([0, count // 3, count // 2, count])
    asked = Order(chunks, batch_size=batch_size, seed=1)
    found = [asked.places(step) for step in range(asked.steps)]
    assert sorted(np.concatenate(found)) == list(range(count))
    assert {len(batch) for batch in found[:-1]} <= {batch_size}


def test_a_batch_is_drawn_from_many_chunks() -> None:
    asked = Order(np.arange(0, 100_001, 100), batch_size=50, seed=0)
    spread = [len(set(asked.places(step) // 100)) for step in range(0, asked.steps, 100)]
    assert min(spread) >= 48


@pytest.mark.parametrize("size", [1, 2, 3, 7, 40])
def test_the_shares_of_any_number_of_ranks_make_up_the_same_batch(size: int) -> None:
    asked = order()
    for step in range(2 * asked.steps):
        shares = [world.share(asked.places(step)) for world in worlds(size)]
        assert (np.concatenate(shares) == asked.places(step)).all()
        assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize("workers", [0, 1, 3, 20])
def test_any_number_of_ranks_and_workers_sees_the_same_pixels(tmp_path: Path, workers: int) -> None:
    train = Shards(pack(tmp_path / "shards", bad=(3,))).splits["train"]
    settings = replace(TINY, data_workers=workers)
    parts = max(1, workers)
    alone = Stream(train, order(), World(), TINY)
    for size in (1, 2, 4):
        streams = [Stream(train, order(), world, settings) for world in worlds(size)]
        for step in (0, 1, 2, 3, 4, 7):
            items = range(step * parts, (step + 1) * parts)
            shared = together([stream[item] for stream in streams for item in items])
            assert all(map(torch.equal, shared, together([alone[step]])))


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("size", [1, 2, 4])
def test_an_epoch_reads_every_picture_once_in_few_pieces(
    tmp_path: Path, size: int, workers: int
) -> None:
    folder = pack(tmp_path / "shards")
    train = Watched(folder, records.read(folder / "index.parquet", records.INDEX)[:30])
    settings = replace(TINY, data_workers=workers)
    asked = Order(np.array([0, 15, 30]), batch_size=8, seed=0)
    reads.clear()
    for world in worlds(size):
        stream = Stream(train, asked, world, settings)
        for number in range(stream.parts * asked.steps):
            stream.read(number)
    assert max(Counter(place for each in reads for place in each).values()) <= 2
    assert sum(map(len, reads)) <= 30 + 6  # the last step is a small one, shared out anew
    assert len(reads) <= 8 + 1 + 6


def test_a_stream_that_goes_on_elsewhere_goes_on_the_same(tmp_path: Path) -> None:
    train = Shards(pack(tmp_path / "shards")).splits["train"]
    before = Stream(train, order(), World(), TINY)
    steps = [together([before[step]]) for step in range(10)]
    after = [Stream(train, order(), world, TINY) for world in worlds(2)]
    for step in range(5, 10):
        assert all(map(torch.equal, together([stream[step] for stream in after]), steps[step]))


def test_chunks_are_neighbours_in_one_shard_of_a_few_mebibytes() -> None:
    lengths = np.random.default_rng(0).integers(20_000, 100_000, 400_000)
    shards = np.repeat(["train-000000.tar", "train-000001.tar"], [150_000, 250_000])
    ends = np.concatenate([np.cumsum(lengths[:150_000]), np.cumsum(lengths[150_000:])])
    rows = {"key": [""] * 400_000, "label": [0] * 400_000, "shard": shards,
            "offset": ends - lengths, "length": lengths}  # fmt: skip
    split = Split(Path(), pa.table(rows))
    chunks = split.chunks(256)
    assert chunks[0] == 0
    assert chunks[-1] == 400_000
    assert 150_000 in chunks
    sizes = np.add.reduceat(lengths, chunks[:-1])
    assert sizes.max() < (4 << 20) + 100_000
    assert np.median(sizes) > 4_000_000
    assert len(split.chunks(10_000)) > 16 * 10_000  # a large batch wants smaller ones


def test_the_chunks_of_a_little_data_are_single_pictures(tmp_path: Path) -> None:
    train = Shards(pack(tmp_path / "shards")).splits["train"]
    assert train.chunks(8).tolist() == list(range(31))


def test_a_rank_without_pictures_gets_a_grey_one_that_weighs_nothing(tmp_path: Path) -> None:
    train = Shards(pack(tmp_path / "shards")).splits["train"]
    world = World(rank=6, size=7)
    stream = Stream(train, order(), world, TINY)
    (batch,) = load(stream, range(3, 4), world, TINY)  # the last step has six
    assert batch.weights.tolist() == [0]
    assert batch.bad == []
    assert (batch.pixels == 127).all()


def test_a_picture_that_cannot_be_decoded_weighs_nothing_and_is_named(tmp_path: Path) -> None:
    train = Shards(pack(tmp_path / "shards", bad=(11,))).splits["train"]
    found: Counter[str] = Counter()
    stream = Stream(train, order(), World(), TINY)
    for step in range(order().steps):
        batch = stream[step]
        assert (batch.weights == 0).sum() == len(batch.bad)
        found.update(batch.bad)
    assert found == {"train0011": 1}


def test_workers_that_share_a_batch_change_nothing(tmp_path: Path) -> None:
    train = Shards(pack(tmp_path / "shards", bad=(11,))).splits["train"]
    asked, ahead = order(), replace(TINY, data_workers=2)
    streams = [Stream(train, asked, World(), settings) for settings in (TINY, ahead)]
    alone = list(load(streams[0], range(2, 7), World(), TINY))
    shared = list(load(streams[1], range(2, 7), World(), ahead))
    for one, other in zip(alone, shared, strict=True):
        assert all(map(torch.equal, together([one]), together([other])))
        assert one.bad == other.bad


def test_a_gallery_has_every_picture_in_order(tmp_path: Path) -> None:
    train = Shards(pack(tmp_path / "shards", bad=(2,))).splits["train"]
    _, labels, weights = seen(train)
    assert labels.tolist() == train.labels.tolist()
    assert torch.nonzero(weights == 0).flatten().tolist() == [2]


def test_workers_that_decode_ahead_change_nothing(tmp_path: Path) -> None:
    val = Shards(pack(tmp_path / "shards")).splits["val"]
    alone, ahead = seen(val), seen(val, replace(TINY, data_workers=1))
    assert all(map(torch.equal, alone, ahead))


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


def test_a_shard_that_is_cut_off_later_ends_the_run(tmp_path: Path) -> None:
    folder = pack(tmp_path / "shards")
    train = Shards(folder).splits["train"]
    shard = folder / "train-000000.tar"
    shard.write_bytes(shard.read_bytes()[:20_000])
    with pytest.raises(ContractError, match="shorter than the index says"):
        seen(train)


def test_an_index_in_another_order_than_its_tars_is_refused(tmp_path: Path) -> None:
    folder = pack(tmp_path / "shards")
    index = records.read(folder / "index.parquet", records.INDEX)
    records.write(folder / "index.parquet", index.take(list(range(42))[::-1]))
    with pytest.raises(ContractError, match="not in the order of the tars"):
        Shards(folder)
