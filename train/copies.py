"""Test pictures with a near-duplicate in training: what a model knows by heart, it need not know.

Near is a PDQ hash within 31 of 256 bits, as the picture is or mirrored. The training pictures'
hashes are those that the crawler took (images/tables); the test pictures are hashed here, by the
same hand. All pairs are found: hashes that differ in at most 31 bits differ in at most one bit of
one of their sixteen 16-bit words (Norouzi and others, 2014), so for each word the hashes with that
word, or with one bit of it flipped, are looked at.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch

from flora import hashes, records
from flora.compiled import compiled
from flora.hashes import Words
from flora.pictures import FlawedPictureError, inspect
from train.testsets import PictureSet
from train.world import World

RADIUS = 31
MIN_QUALITY = 50
"""A hash of less quality is of a picture that shows next to nothing: no copy of anything."""
_WORDS = 16
_MAX_PIXELS = 200_000_000

SCHEMA = pa.schema(
    {
        "key": pa.string(),
        "image_id": pa.string(),
        "distance": pa.int32(),
    }
)
"""A test picture, the training picture it is nearest to, and the bits between them."""

Whole = npt.NDArray[np.int64]


def find(pictures: PictureSet, data: Path, world: World) -> pa.Table:
    """Return a row (of SCHEMA) for each of *pictures* that training has a near-duplicate of.

    Each rank looks for its share of them; all return the whole. Raises ContractError where
    *data* has no images tables.
    """
    ids, known = _training(data)
    mine = world.share(np.arange(len(pictures)))
    asked = [_hash(pictures, place) for place in mine.tolist()]
    there = np.array([each is not None for each in asked], np.bool_)
    queries = np.frombuffer(b"".join(filter(None, asked)), np.uint64).reshape(-1, 4)
    found = torch.zeros(len(pictures), 2, dtype=torch.int64)
    row, distance = nearest(queries, known)
    found[mine[there]] = torch.from_numpy(np.stack([row + 1, distance], 1))
    row, distance = world.total(found.to(world.device)).cpu().numpy().T
    places = np.flatnonzero(row)
    return pa.table(
        {
            "key": pa.array([pictures.keys[place] for place in places], pa.string()),
            "image_id": ids.take(pa.array(row[places] - 1)),
            "distance": pa.array(distance[places], pa.int32()),
        },
        schema=SCHEMA,
    )


def nearest(queries: Words, known: Words) -> tuple[Whole, Whole]:
    """Return, for each of *queries* (n x 4), the nearest of *known* (m x 4), and how far it is.

    Mirrored or not. The row is -1 where none is within RADIUS; of equals it is the first.
    """
    row = np.full(len(queries), -1)
    distance = np.full(len(queries), RADIUS + 1)
    sides = [np.ascontiguousarray(each) for each in (queries, hashes.mirror_pdq(queries))]
    known = np.ascontiguousarray(known)
    parts = known.view(np.uint16).reshape(-1, _WORDS)
    for word in range(_WORDS):
        order = np.argsort(parts[:, word], kind="stable")
        ends = np.cumsum(np.bincount(parts[:, word], minlength=1 << 16))
        for side in sides:
            keys = side.view(np.uint16).reshape(-1, _WORDS)[:, word].astype(np.int64)
            _probe(side, keys, known, order, ends, row, distance)
    return row, np.where(row < 0, 0, distance)


@compiled
def _probe(
    queries: Words, keys: Whole, known: Words, order: Whole, ends: Whole, row: Whole,
    distance: Whole,
) -> None:  # fmt: skip
    """Look at what has a query's key in a word, or all but one bit of it."""
    for query in range(len(queries)):
        for flip in range(17):
            key = keys[query] ^ ((1 << flip) >> 1)
            begin = ends[key - 1] if key else 0
            for at in range(begin, ends[key]):
                other, apart = order[at], 0
                for word in range(4):
                    bits = queries[query, word] ^ known[other, word]
                    while bits:  # few: most pairs are given up after a word
                        bits &= bits - np.uint64(1)
                        apart += 1
                    if apart > distance[query]:
                        break
                if apart < distance[query] or (apart == distance[query] and other < row[query]):
                    distance[query], row[query] = apart, other


def _training(data: Path) -> tuple[pa.Array, Words]:
    """Return the ids and hashes of the pictures that were trained on."""
    index = records.read(data / "shards" / "index.parquet", records.INDEX, ["image_id", "split"])
    used = index.filter(pc.equal(index["split"], "train"))["image_id"].combine_chunks()
    table = records.read(data / "images" / "tables", records.IMAGES, ["image_id", "pdq", "quality"])
    here = pc.and_(
        pc.is_in(table["image_id"], used), pc.greater_equal(table["quality"], MIN_QUALITY)
    )
    table = table.filter(here)
    return table["image_id"].combine_chunks(), hashes.words(table["pdq"])


def _hash(pictures: PictureSet, place: int) -> bytes | None:
    """Return the PDQ hash of a picture; None where it is none, or shows too little."""
    try:
        found = inspect(pictures.read(place), max_pixels=_MAX_PIXELS, min_side=1)
    except (FlawedPictureError, OSError):
        return None
    return found.pdq if found.quality >= MIN_QUALITY else None
