import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import webdataset

from flora import tar
from flora.errors import ContractError
from flora.packs import Packs, Place
from shards import cut, pack
from shards.config import ShardSettings

ROW: dict[str, Any] = dict.fromkeys(pack.ABOUT) | {
    "image_id": "ab" * 32,
    "label": 293_999,
    "species_id": "s1",
    "name": "Genus1 species1",
    "creator": "Jane Ö.",
    "width": 96,
    "height": 72,
}


def sample(format: str, picture: bytes) -> bytes:
    before, after = pack.wrap(ROW, format, len(picture))
    return before + picture + after


@pytest.mark.parametrize("format", ["jpg", "png", "webp", "gif"])
def test_a_sample_has_its_members_as_webdatasets_writer_orders_them(format: str) -> None:
    written = io.BytesIO()
    with webdataset.TarWriter(written) as sink:
        sink.write({"__key__": "k", "cls": 1, "json": {}, format: b"bytes"})
    theirs = [name.partition(".")[2] for name in names(written.getvalue())]
    ours = names(sample(format, b"bytes") + tar.END)
    assert ours == [f"{ROW['image_id']}.{suffix}" for suffix in theirs]


def names(archive: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        return opened.getnames()


@pytest.mark.parametrize("format", ["jpg", "png"])
@pytest.mark.parametrize("length", [0, 1, 511, 512, 4000])
def test_the_index_tells_what_the_sample_has(format: str, length: int) -> None:
    picture = os.urandom(length)
    before, after = pack.wrap(ROW, format, length)
    assert len(before + picture + after) % tar.BLOCK == 0
    told = pack.read(before, after, length)
    assert (told.key, told.format, told.label) == (ROW["image_id"], format, ROW["label"])
    (row,) = pack.index([told]).to_pylist()
    expected = {name: ROW[name] for name in ("image_id", "creator", "width", "source")}
    assert {name: row[name] for name in expected} == expected


def test_json_has_every_field_and_plain_letters() -> None:
    data = sample("jpg", b"")
    text = data[data.index(b"{") : data.rindex(b"}") + 1]
    assert "Jane Ö.".encode() in text
    assert json.loads(text).keys() == set(pack.ABOUT)


def test_json_is_what_the_encoder_makes_of_it() -> None:
    row = ROW | {"creator": 'a "b" \\ \x00\n\x7f % {} é \u2028 😀', "page_url": "", "width": None}
    before, after = pack.wrap(row, "jpg", 0)
    about = {name: row[name] for name in pack.ABOUT}
    expected = json.dumps(about, ensure_ascii=False, sort_keys=True).encode()
    assert pack.read(before, after, 0).json == expected


@pytest.fixture
def sizes() -> "np.ndarray[Any, np.dtype[np.int64]]":
    return np.random.default_rng(1).integers(3, 60, 2000) * tar.BLOCK


def cut_up(sizes: Any, limit: int, least: int) -> list[int]:
    """Return the bytes of each shard, its end included."""
    settings = ShardSettings(stripe_bytes=limit, stripes=1, readers=least)
    ends = cut.bounds(sizes, settings, least)
    assert ends == sorted(set(ends))
    assert ends[-1] == len(sizes)
    return [int(part.sum()) + len(tar.END) for part in np.split(sizes, ends[:-1])]


def test_shards_are_as_full_as_the_next_sample_allows_and_never_over(sizes: Any) -> None:
    shards = cut_up(sizes, 1_000_000, 1)
    assert max(shards) <= 1_000_000
    assert min(shards[:-1]) > 1_000_000 - sizes.max()


def test_there_are_shards_for_all_readers_all_equally_large(sizes: Any) -> None:
    alone = len(cut_up(sizes, 10_000_000, 1))
    shards = cut_up(sizes, 10_000_000, alone + 3)
    assert len(shards) == alone + 3
    assert max(shards) <= 10_000_000
    assert max(shards) - min(shards) < 2 * sizes.max()


def test_shards_for_many_readers_are_not_over_either() -> None:
    # five of three would do, and so would four of four: but not as 3 + 4 + 4 + 4 of 15
    sizes = np.full(15, 1000)
    shards = cut_up(sizes, 4000 + len(tar.END) - 1, 4)
    assert shards == [3000 + len(tar.END)] * 5


def test_there_are_never_more_shards_than_samples() -> None:
    assert len(cut_up(np.full(5, 512), 100_000, 64)) == 5
    assert cut.bounds(np.array([], np.int64), ShardSettings(), 64) == []


def test_a_sample_larger_than_a_shard_has_one_of_its_own() -> None:
    assert len(cut_up(np.array([512, 5000, 512]), 2048, 1)) == 3


def test_pictures_in_their_order_are_read_in_long_stretches(tmp_path: Path) -> None:
    bytes_of = {name: os.urandom(3 << 20) for name in ("a.tar", "b.tar")}
    (tmp_path / "packs").mkdir()
    for name, data in bytes_of.items():
        (tmp_path / "packs" / name).write_bytes(data)
    places = [
        Place(name, offset, length)
        for name in bytes_of
        for offset, length in ((0, 10), (10, 0), (700, 500_000), (2_900_000, 1000))
    ]
    with Packs(tmp_path) as packs:
        found = list(packs.each(places))
        assert found == [packs.read(*place) for place in places]
        with pytest.raises(ContractError, match=r"b\.tar: ends before byte 3,145,729"):
            list(packs.each([Place("b.tar", 3 << 20, 1)]))
