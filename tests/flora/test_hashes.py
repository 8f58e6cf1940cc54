from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pdqhash
import pyarrow as pa
import pytest

from demo.plants import draw
from demo.species import FLORA
from flora import hashes, records
from flora.errors import ContractError
from flora.hashes import Grey, mirror_pdq, mirror_phash, pdq, phash, words
from tests.conftest import pixels
from tests.hostile import files

SIZES = [(64, 64), (97, 129), (320, 240), (240, 320), (513, 340), (33, 300), (650, 90), (20, 15)]


def greys(each: int) -> Iterator[Grey]:
    """Yield blobs, photographs and noise, *each* of every size, as grey pixels."""
    for seed, size in product(range(each), SIZES):
        yield np.asarray(pixels(seed, size).convert("L"))
        yield np.asarray(files.photograph(seed, size).convert("L"))
        yield np.random.default_rng(seed).integers(0, 256, size[::-1], dtype=np.uint8)


def apart(a: bytes, b: bytes) -> int:
    return (int.from_bytes(a, "big") ^ int.from_bytes(b, "big")).bit_count()


def reference(grey: Grey) -> tuple[bytes, int]:
    bits, quality = pdqhash.compute(np.dstack([grey] * 3))
    return np.packbits(bits).tobytes(), quality


def test_pdq_is_the_one_of_pdqhash_bit_for_bit() -> None:
    pictures = list(greys(9))
    assert len(pictures) >= 200
    for grey in pictures:
        assert pdq(grey) == reference(grey), grey.shape


def test_pdq_is_so_where_only_rounding_tells_frequencies_apart() -> None:
    for height, width in product((5, 60, 128, 300), repeat=2):
        far = np.hypot(*np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j])
        disc = ((far < 0.5) * 255).astype(np.uint8)
        half = np.zeros((height, width), np.uint8)
        half[:, : width // 3] = 200
        slope = np.add.outer(np.arange(height), np.arange(width) // 2).astype(np.uint8)
        for grey in (disc, half, slope):
            assert pdq(grey) == reference(grey), grey.shape


@pytest.mark.parametrize("shade", [0, 131, 255])
@pytest.mark.parametrize("shape", [(300, 400), (5, 700), (4, 300), (64, 64)])
def test_a_blank_picture_has_a_hash_of_no_quality(shade: int, shape: tuple[int, int]) -> None:
    blank = np.full(shape, shade, np.uint8)
    bits, quality = pdq(blank)
    assert (bits, quality) == reference(blank)
    assert (len(bits), quality) == (32, 0)
    assert 0 <= phash(blank) < 2**64


def test_quality_tells_something_from_nothing() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (64, 64), dtype=np.uint8)
    faint = np.asarray(pixels(1, (320, 240)).convert("L")) // 64
    assert pdq(noise)[1] == 100
    assert pdq(np.asarray(files.photograph().convert("L")))[1] > 50
    assert pdq(faint)[1] < 10


def test_the_hash_of_a_mirrored_picture_is_a_flip_of_signs() -> None:
    pictures = [np.asarray(draw(species, 1).convert("L")) for species in FLORA[:30]]
    pictures += [np.asarray(files.photograph(seed, (320, 240)).convert("L")) for seed in range(70)]
    small = np.array([phash(grey) for grey in pictures], np.uint64)
    large = words(pa.chunked_array([[pdq(grey)[0] for grey in pictures]], pa.binary(32)))
    small_too = np.array([phash(grey[:, ::-1]) for grey in pictures], np.uint64)
    mirrored = [pdq(grey[:, ::-1])[0] for grey in pictures]
    large_too = words(pa.chunked_array([mirrored], pa.binary(32)))
    few = np.bitwise_count(mirror_phash(small) ^ small_too)
    many = np.bitwise_count(mirror_pdq(large) ^ large_too).sum(axis=1)
    assert np.median(few) <= 4
    assert np.median(many) <= 16
    assert ((few <= 8) | (many <= 31)).mean() >= 0.95
    assert np.bitwise_count(small ^ small_too).min() > 8  # without the flip, none is found
    assert (mirror_phash(mirror_phash(small)) == small).all()
    assert (mirror_pdq(mirror_pdq(large)) == large).all()


def test_words_keep_distances_whatever_the_chunks() -> None:
    rng = np.random.default_rng(3)
    of = [rng.bytes(32) for _ in range(9)]
    column = pa.chunked_array([of[:4], [], of[4:]], pa.binary(32))
    for got, want in ((words(column), of), (words(column.slice(2, 5)), of[2:7])):
        assert got.shape == (len(want), 4)
        assert [row.tobytes() for row in got] == want
    assert words(pa.chunked_array([], pa.binary(32))).shape == (0, 4)
    with pytest.raises(ValueError, match="1 of 2"):
        words(pa.chunked_array([[of[0], None]], pa.binary(32)))


def test_what_is_kept_of_sizes_stays_small() -> None:
    widest = hashes._side(hashes._LONGEST)
    held = widest.low.nbytes + sum(weights.nbytes for _, weights in widest.bands)
    assert held * hashes._REMEMBERED < 40_000_000
    kept = hashes._remembered.cache_info().currsize
    pdq(np.zeros((5, 9_000), np.uint8))
    assert hashes._remembered.cache_info().currsize <= kept + 1  # of 5


def test_hashes_of_another_pipeline_are_not_read(tmp_path: Path) -> None:
    row = dict.fromkeys(records.IMAGES.names) | {"phash": 1}
    table = records.table(records.IMAGES, [row])
    path = tmp_path / "a.parquet"
    records.write(path, table)
    assert records.read(path, records.IMAGES) == table
    records.write(path, table.replace_schema_metadata({"hashes": "0"}))
    assert records.read(path, records.IMAGES, ["url"]).num_rows == 1
    with pytest.raises(ContractError, match="pipeline 0, not 1"):
        records.read(path, records.IMAGES, ["phash"])
