"""Pairs and components of a table of hashes, wherever they come from: `python -m dedup table`.

The table has a column `id` (or `image_id`) and `phash` (64 bits) or `pdq` (256 bits), or both;
numbers, bytes or hex digits.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dedup import pairs
from dedup.config import DedupSettings
from dedup.listings import distinct
from flora import hashes, records
from flora.console import say
from flora.errors import ConfigError
from flora.hashes import Words, distance

_BYTES = {"phash": 8, "pdq": 32}
_UNSEEN = 4
"""The pHash radius here, at most: nobody looks at the pixels of a table."""


def run(file: Path, out: Path, settings: DedupSettings) -> None:
    """Write the pairs and components of *file* into the folder *out*, as two tables.

    Pairs (`a`, `b`, `pdq_distance`, `phash_distance`) are near by PDQ (`pdq_radius`) or by pHash
    (4 bits: the wider radius of the settings is for pairs that are looked at); where there are
    both hashes, what pHash brings must be within `pdq_limit`. Components (`id`, `component`: the
    first id that a chain of near hashes leads to) are by PDQ where there is one. Raises
    ConfigError for a table that is none.
    """
    ids, known = _read(file)
    radii = {"pdq": settings.pdq_radius, "phash": min(settings.phash_radius, _UNSEEN)}
    found = [pairs.near_pairs(known[name], radii[name])[:2] for name in radii if name in known]
    keys = distinct(np.concatenate([i * len(ids) + j for i, j in found]))
    i, j = np.divmod(keys, max(len(ids), 1))
    columns = {"a": ids.take(i), "b": ids.take(j)}
    for name, words in known.items():
        apart = distance(words[i], words[j])
        columns[f"{name}_distance"] = (
            apart.sum(axis=1, dtype=np.uint16) if apart.ndim > 1 else apart
        )
    near = pa.table(columns)
    if len(known) == 2:
        near = near.filter(pa.array(columns["pdq_distance"] <= settings.pdq_limit))
    by = "pdq" if "pdq" in known else "phash"
    roots = pairs.components(known[by], radii[by])
    linked = pa.table({"id": ids, "component": ids.take(roots)})
    for kind, table in (("pairs", near), ("components", linked)):
        path = out / f"{file.stem}-{kind}.parquet"
        records.write(path, table)
        say(f"{path}: {table.num_rows:,} rows")


def _read(file: Path) -> tuple[pa.ChunkedArray, dict[str, Words]]:
    try:
        table = pq.read_table(file)
    except (OSError, pa.ArrowException) as error:
        raise ConfigError(f"{file}: cannot be read as a parquet table ({error}).") from error
    names = table.column_names
    key = next((name for name in ("id", "image_id") if name in names), None)
    if key is None or not set(_BYTES) & set(names):
        raise ConfigError(
            f"{file}: needs a column id and one of phash and pdq, but has {', '.join(names)}."
        )
    return table[key], {
        name: _words(table[name], name, file) for name in ("pdq", "phash") if name in names
    }


def _words(column: pa.ChunkedArray, name: str, file: Path) -> Words:
    """Return a column of hashes as n or n x 4 words."""
    size = _BYTES[name]
    try:
        if column.null_count:
            raise ValueError(f"{column.null_count} are missing")
        if size == 8 and pa.types.is_integer(column.type):
            return np.asarray(column.to_numpy().astype(np.uint64))
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            raw = [bytes.fromhex(text) for text in column.to_pylist()]
            column = pa.chunked_array([pa.array(raw, pa.binary(size))])
        fixed = column.cast(pa.binary(size))
        if size == 32:
            return hashes.words(fixed)
        return np.frombuffer(b"".join(fixed.to_pylist()), ">u8").astype(np.uint64)
    except (ValueError, pa.ArrowException) as error:
        raise ConfigError(f"{file}: column {name} does not hold hashes ({error}).") from error
