"""A set to test on: a folder of pictures, or a table. It is only ever read.

A table (parquet) has some of the columns `image_id`, `pdq` with `phash` and `quality`,
`observation_id`; any images table of this project will do.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dedup import prints
from dedup.listings import PLACE
from flora import hashes
from flora.errors import ConfigError
from flora.hashes import Words
from flora.ids import to_hex
from flora.packs import Packs


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """The pictures that are tested on."""

    ids: list[str]
    digests: dict[str, str]
    """sha256 in hex -> id, of those that have one"""
    pdq: Words
    """n x 4, or none at all"""
    phash: Words
    quality: npt.NDArray[np.uint8]
    observations: pa.Array
    read: Callable[[int], bytes] | None
    """Returns the bytes of the k-th, if there are any."""


def load(path: Path) -> Evaluation:
    """Return the evaluation set at *path*. Raises ConfigError for what is none."""
    found = _folder(path) if path.is_dir() else _table(path)
    if not (len(found.digests) or len(found.pdq) or len(found.observations)):
        raise ConfigError(f"--holdout {path}: there are no pictures in it.")
    return found


def stamp(path: Path) -> list[list[object]]:
    """Return what tells whether the set at *path* is as it was, without reading it."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    try:
        return [[str(f), f.stat().st_size, f.stat().st_mtime_ns] for f in files if not f.is_dir()]
    except OSError as error:
        raise ConfigError(f"--holdout {path}: cannot be read ({error.strerror}).") from error


def _folder(path: Path) -> Evaluation:
    read = prints.read(path)
    ids = [str(each.relative_to(path)) for each in read.paths]
    return Evaluation(
        ids=ids,
        digests=dict(zip(to_hex(read.pictures.ids).to_pylist(), ids, strict=True)),
        pdq=read.pictures.pdq,
        phash=read.pictures.phash,
        quality=read.pictures.quality,
        observations=pa.array([], pa.string()),
        read=lambda number: read.paths[number].read_bytes(),
    )


def _table(path: Path) -> Evaluation:
    """Return the set whose table lies at *path*."""
    try:
        table = pq.read_table(path)
        have = set(table.column_names)
        if "pdq" in have and "phash" not in have:
            raise ConfigError(f"--holdout {path}: has a column pdq, but no phash beside it.")
        if not have & {"image_id", "pdq", "observation_id"}:
            raise ConfigError(
                f"--holdout {path}: has no column image_id, pdq or observation_id by which its "
                f"pictures could be known, only {', '.join(table.column_names)}."
            )
        hashed = table.filter(pc.is_valid(table["pdq"])) if "pdq" in have else table.slice(0, 0)
        columns = {
            "pdq": _column(hashed, "pdq", pa.binary(32)),
            "phash": _column(hashed, "phash", pa.uint64()),
            "quality": _column(hashed, "quality", pa.uint8()).fill_null(100),
        }
        digests = _column(table, "image_id", pa.string()).drop_null().to_pylist()
        observations = _column(table, "observation_id", pa.string()).drop_null()
    except (OSError, pa.ArrowException) as error:
        raise ConfigError(
            f"--holdout {path}: is neither a folder of pictures nor a parquet table of ours "
            f"({error})."
        ) from error
    made_by = (table.schema.metadata or {}).get(b"hashes", str(hashes.PIPELINE).encode()).decode()
    if made_by != str(hashes.PIPELINE):
        raise ConfigError(f"--holdout {path}: its hashes were made by another version ({made_by}).")
    ids = _column(hashed, "image_id", pa.string()).to_pylist()
    return Evaluation(
        ids=[name or f"row {row}" for row, name in enumerate(ids)],
        digests=dict(zip(digests, digests, strict=True)),
        pdq=hashes.words(columns["pdq"]),
        phash=columns["phash"].to_numpy(),
        quality=columns["quality"].to_numpy(),
        observations=observations.combine_chunks().unique(),
        read=_packed(hashed, path.parent.parent),
    )


def _packed(table: pa.Table, images: Path) -> Callable[[int], bytes] | None:
    """Return what reads the pictures of an images table out of the packs beside it."""
    if not set(PLACE) <= set(table.column_names) or not (images / "packs").is_dir():
        return None
    where = list(zip(*(table[name].to_pylist() for name in PLACE), strict=True))
    packs = Packs(images)  # its files stay open for as long as the process lives
    return lambda number: packs.read(*where[number])


def _column(table: pa.Table, name: str, kind: pa.DataType) -> pa.ChunkedArray:
    """Return the column *name* as *kind*; nulls where there is none."""
    if name not in table.column_names:
        return pa.chunked_array([pa.nulls(table.num_rows, kind)])
    return table[name].cast(kind)
