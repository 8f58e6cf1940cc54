"""Near-duplicates, against a look at all pairs."""

from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image

from flora import records
from flora.hashes import distance, mirror_pdq
from flora.pictures import inspect
from tests.conftest import encode
from train.copies import MIN_QUALITY, RADIUS, find, nearest
from train.testsets import PictureSet
from train.world import World

RNG = np.random.default_rng(7)


def test_the_nearest_is_found_exactly() -> None:
    known = RNG.integers(0, 2**64, (3000, 4), dtype=np.uint64)
    queries = known[RNG.integers(0, 3000, 400)]
    for number, row in enumerate(queries):  # 0 to 79 bits away
        for bit in RNG.choice(256, number % 80, replace=False):
            row[bit // 64] ^= np.uint64(1) << np.uint64(bit % 64)
    queries[::3] = mirror_pdq(queries[::3])
    apart = np.minimum(
        *(
            distance(q[:, None], known).sum(2, dtype=np.int64)
            for q in (queries, mirror_pdq(queries))
        )
    )
    row, bits = nearest(queries, known)
    near = apart.min(1) <= RADIUS
    assert 100 < near.sum() < 300
    assert (row >= 0).tolist() == near.tolist()
    assert row[near].tolist() == apart.argmin(1)[near].tolist()
    assert bits[near].tolist() == apart.min(1)[near].tolist()
    assert not bits[~near].any()


def test_nothing_is_near_where_there_is_nothing() -> None:
    some = RNG.integers(0, 2**64, (3, 4), dtype=np.uint64)
    nothing = some[:0]
    assert nearest(some, nothing)[0].tolist() == [-1] * 3
    assert nearest(nothing, some)[0].tolist() == []


def test_copies_of_training_pictures_are_told_whatever_was_done_to_them(tmp_path: Path) -> None:
    known = [encode(scene(seed), "JPEG", quality=90) for seed in (1, 2, 3)]
    table(tmp_path, known, ["train", "train", "test"])
    shown = [
        known[0],
        encode(scene(2).transpose(Image.Transpose.FLIP_LEFT_RIGHT), "PNG"),
        encode(scene(1).resize((320, 240)), "JPEG", quality=85),
        known[2],  # known, but of test
        encode(scene(4), "JPEG"),
        encode(Image.new("RGB", (300, 200)), "PNG"),  # blank
        b"no picture",
    ]
    names = [f"k{number}" for number in range(len(shown))]
    for name, data in zip(names, shown, strict=True):
        (tmp_path / name).write_bytes(data)
    pictures = PictureSet(
        keys=names,
        observations=names,
        labels=np.zeros(len(names), np.int64),
        places=[(str(tmp_path / name), 0, -1) for name in names],
    )
    found = find(pictures, tmp_path, World())
    assert found["key"].to_pylist() == ["k0", "k1", "k2"]
    assert found["image_id"].to_pylist() == ["i0", "i1", "i0"]
    assert max(found["distance"].to_pylist()) <= RADIUS


def scene(seed: int) -> Image.Image:
    """Return a picture with detail enough for a hash of good quality, and no more."""
    noise = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((512, 384), Image.Resampling.BICUBIC)


def table(data: Path, known: list[bytes], splits: list[str]) -> None:
    """Write the tables of images and of the shards, as far as they are looked at."""
    images, index = [], []
    for number, (content, split) in enumerate(zip(known, splits, strict=True)):
        seen = inspect(content, max_pixels=10**6, min_side=1)
        assert seen.quality >= MIN_QUALITY
        images.append({"image_id": f"i{number}", "pdq": seen.pdq, "quality": seen.quality})
        index.append({"image_id": f"i{number}", "split": split})
    for path, schema, rows in (
        (data / "images" / "tables" / "a.parquet", records.IMAGES, images),
        (data / "shards" / "index.parquet", records.INDEX, index),
    ):
        records.write(path, pa.Table.from_pylist(rows, schema=schema))
