"""The images tables as columns: what is known of each picture, and of each place that lists it.

Pictures are numbered in the order of their ids, so a number means the same in whatever order
they were fetched. A picture takes about 150 bytes here, and no Python object of its own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from flora import hashes, ids, records
from flora.errors import ContractError
from flora.hashes import Words
from flora.records import KEPT, Tier

Ints = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.int32]
"""Of pictures."""
Bools = npt.NDArray[np.bool_]
Integer = TypeVar("Integer", bound=np.integer[Any])

PLACE = {"pack": pa.string(), "offset": pa.int64(), "length": pa.int64()}
"""Where the bytes of a picture lie."""
TIERS = pa.array([str(tier) for tier in Tier])
_COLUMNS = ["image_id", "species_id", "source", "tier", "licence", "status", "length", "width",
            "height", "phash", "pdq", "quality"]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures:
    """One row a picture (by its bytes), in order of id."""

    ids: Words
    """n x 4: the sha256, first word highest."""
    phash: Words
    pdq: Words
    """n x 4"""
    quality: npt.NDArray[np.uint8]
    """Of the PDQ, 0 to 100."""
    tier: npt.NDArray[np.int8]
    """The best that lists it: 0 is expert."""
    licensed: Bools
    """Whether a listing knows its licence."""
    pixels: Ints
    bytes: Ints

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listings:
    """One row a kept row of the images tables, in their order."""

    picture: Numbers
    species: Numbers
    """Place in `species_ids`; -1 for none."""
    tier: npt.NDArray[np.int8]
    source: npt.NDArray[np.int16]
    """Place in `sources`."""
    row: Ints
    """Place in the images tables, refused rows counted."""
    species_ids: pa.StringArray
    sources: Sequence[str]


def load(images: Path) -> tuple[Pictures, Listings]:
    """Return all that was kept, of the images folder. Raises ContractError for what is amiss."""
    parts: list[pa.Table] = []
    digests: list[Words] = []
    places: list[Ints] = []
    begin = 0
    for file in _files(images):
        table = records.read(file, records.IMAGES, _COLUMNS)
        here = np.flatnonzero(pc.equal(table["status"], KEPT).to_numpy())
        places.append(here + begin)
        begin += table.num_rows
        kept = table.take(here)
        parts.append(_lean(kept, file))
        digests.append(ids.from_hex(kept["image_id"], file))
    table = pa.concat_tables(parts).unify_dictionaries().combine_chunks()
    del parts
    species_ids, species = _sorted_codes(table["species_id"])
    sources, source = _sorted_codes(table["source"])
    every = np.concatenate(digests)
    del digests
    order = ids.sort([*every.T])
    new = np.ones(len(order), np.bool_)
    new[1:] = (every[order[1:]] != every[order[:-1]]).any(axis=1)
    starts, first = np.flatnonzero(new), order[new]
    picture = np.empty(len(order), np.int32)
    picture[order] = np.cumsum(new, dtype=np.int32) - 1
    tier, licensed = table["tier"].to_numpy(), table["licensed"].to_numpy()
    pictures = Pictures(
        ids=every[first],
        phash=table["phash"].to_numpy()[first],
        pdq=hashes.words(table["pdq"])[first],
        quality=table["quality"].to_numpy()[first],
        tier=_of_each(np.minimum, tier[order], starts),
        licensed=_of_each(np.maximum, licensed[order], starts).astype(np.bool_),
        pixels=table["pixels"].to_numpy()[first],
        bytes=table["length"].to_numpy()[first],
    )
    listings = Listings(
        picture=picture, species=species.astype(np.int32), tier=tier,
        source=source.astype(np.int16), row=np.concatenate(places), species_ids=species_ids,
        sources=sources.to_pylist(),
    )  # fmt: skip
    return pictures, listings


def distinct(keys: npt.NDArray[Integer]) -> npt.NDArray[Integer]:
    """Return the different ones of *keys* in order (ten times as fast as np.unique)."""
    keys = np.sort(keys)
    return keys[np.concatenate([[True], keys[1:] != keys[:-1]])] if len(keys) else keys


def scan(images: Path, rows: Ints, columns: Sequence[str]) -> Iterator[tuple[slice, pa.Table]]:
    """Yield *columns* of some *rows* of the images tables (in order), a file at a time.

    With each table comes which of *rows* it holds. Files without any are not opened.
    """
    begin = done = 0
    for file in _files(images):
        end = begin + pq.read_metadata(file).num_rows
        stop = int(np.searchsorted(rows, end))
        if stop > done:
            table = records.read(file, records.IMAGES, columns)
            yield slice(done, stop), table.take(rows[done:stop] - begin)
        begin, done = end, stop


def first_rows(listings: Listings, pictures: int) -> Ints:
    """Return for each of *pictures* the first row of the images tables that has it."""
    first = np.zeros(pictures, np.int64)
    first[listings.picture[::-1]] = listings.row[::-1]  # of several, the last one stays
    return first


def places(images: Path, rows: Ints) -> list[pa.ChunkedArray]:
    """Return pack, offset and length of some *rows* of the images tables, in any order."""
    once, back = np.unique(rows, return_inverse=True)
    parts = [table for _, table in scan(images, once, list(PLACE))]
    if not parts:
        return [pa.chunked_array([], kind) for kind in PLACE.values()]
    return [pa.concat_tables(parts)[name].take(back) for name in PLACE]


def priority(pictures: Pictures, inside: npt.NDArray[np.float32] | None = None) -> Numbers:
    """Return each picture's place in the order of keepers; 0 is the best.

    By tier, a known licence, pixels (only those *inside* a frame, as a share, where it is
    known), bytes, id.
    """
    pixels = pictures.pixels if inside is None else (pictures.pixels * inside).astype(np.int64)
    order = np.lexsort((-pictures.bytes, -pixels, ~pictures.licensed, pictures.tier))
    place = np.empty(len(order), np.int32)
    place[order] = np.arange(len(order), dtype=np.int32)
    return place


def _files(images: Path) -> list[Path]:
    found = sorted((images / "tables").glob("[!.]*.parquet"))
    if not found:
        raise ContractError(f"{images / 'tables'}: there is no table here. Crawl first.")
    return found


def _lean(table: pa.Table, file: Path) -> pa.Table:
    """Return the columns that are kept in memory, small."""
    for name in ("image_id", "phash", "pdq", "quality"):
        if table[name].null_count:
            raise ContractError(
                f"{file}: {table[name].null_count} pictures have no {name}. They were fetched by "
                "an earlier version: delete the receipts of their units and crawl again."
            )
    pixels = pc.multiply(table["width"].cast(pa.int64()), table["height"].cast(pa.int64()))
    return pa.table(
        {
            "species_id": table["species_id"].combine_chunks().dictionary_encode(),
            "source": table["source"].combine_chunks().dictionary_encode(),
            "tier": pc.index_in(table["tier"], TIERS).fill_null(len(TIERS) - 1).cast(pa.int8()),
            "licensed": pc.not_equal(table["licence"], "").fill_null(False).cast(pa.int8()),
            "phash": table["phash"],
            "pdq": table["pdq"],
            "quality": table["quality"],
            "pixels": pixels,
            "length": table["length"],
        }
    )


def _sorted_codes(column: pa.ChunkedArray) -> tuple[pa.StringArray, Ints]:
    """Return the values of a dictionary column in order, and for each row the place of its own."""
    encoded = column.combine_chunks()
    order = pc.array_sort_indices(encoded.dictionary).to_numpy()
    places = np.empty(len(order) + 1, np.int64)
    places[order] = np.arange(len(order))
    places[-1] = -1  # where an index of -1 leads
    return encoded.dictionary.take(order), places[encoded.indices.fill_null(-1).to_numpy()]


def _of_each(choose: np.ufunc, values: npt.NDArray[np.int8], starts: Ints) -> npt.NDArray[np.int8]:
    """Return what *choose* makes of each run of *values*."""
    return np.asarray(choose.reduceat(values, starts)) if len(starts) else values
