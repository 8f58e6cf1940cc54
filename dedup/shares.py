"""A search in shares, for workers that have nothing in common but a folder.

`prepare` writes the different hashes; `tabulate` sorts them by a band, once, into files that
workers map into their memory; `edges` joins one range of a band's keys (`spans`) with all of
them, and returns a forest; `gather` unites the forests. Nothing is shuffled between workers, and
the result is that of `dedup.pairs.components`, whatever the shares and their order. Two or
three shares a band and worker are enough: each makes a forest of its own.

Files in the folder: hashes.npy, order.npy and first.npy (dedup/kinds.py), and for each band
rows, starts and planes. Their size is 16 bytes a hash of 64 bits, and 12 more a band.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dedup import buckets, join, kinds
from dedup.bands import Band, plan
from dedup.buckets import Range, Rows, Table, Words
from dedup.kinds import Kinds
from dedup.pairs import cores, words


def prepare(folder: Path, hashes: Words, radius: int) -> list[Band]:
    """Write what all tasks need of *hashes*; return the bands, each to be tabulated."""
    found = kinds.collapse(words(hashes), cores())
    for name, column in found._asdict().items():
        np.save(folder / f"{name}.npy", column)
    return plan(len(found.hashes), found.hashes.shape[1], radius) if len(found.hashes) else []


def tabulate(folder: Path, band: Band) -> Band:
    """Write the table of *band*, and return the band: what `edges` of it have to wait for."""
    table = buckets.table(_mapped(folder / "hashes.npy"), band)
    np.save(_path(folder, band, "rows"), table.rows)
    np.save(_path(folder, band, "starts"), table.starts)
    for number, plane in enumerate(table.planes):
        np.save(_path(folder, band, f"plane{number}"), plane)
    return band


def spans(band: Band, count: int) -> list[Range]:
    """Return *count* ranges of the keys of *band*."""
    return buckets.ranges(2**band.bits, count)


def edges(folder: Path, band: Band, radius: int, keys: Range) -> tuple[Rows, Rows]:
    """Return the forest of a share, as rows and the row each hangs on."""
    hashes = _mapped(folder / "hashes.npy")
    shop = join.workshop(hashes.shape[1], rows=len(hashes))
    planes = tuple(_mapped(_path(folder, band, f"plane{n}")) for n in range(len(shop.buffer)))
    rows, starts = (_mapped(_path(folder, band, name)) for name in ("rows", "starts"))
    table = Table(hashes, planes, rows, starts)
    rule = join.rule([band], 0, radius, same=True)
    join.join(table, table, rule, *keys, shop)
    hanging = np.flatnonzero(shop.forest != np.arange(len(hashes), dtype=np.int32))
    return hanging.astype(np.int32), shop.forest[hanging]


def gather(folder: Path, forests: Iterable[tuple[Rows, Rows]]) -> npt.NDArray[np.int64]:
    """Return for each of the hashes the smallest row of its component."""
    found = Kinds(*(np.load(folder / f"{name}.npy") for name in Kinds._fields))
    forest = np.arange(len(found.hashes), dtype=np.int32)
    for rows, parents in forests:
        join.plant(forest, rows, parents)
    join.flatten(forest)
    return kinds.labels(found, forest)


def _path(folder: Path, band: Band, name: str) -> Path:
    return folder / f"band-{band.word}-{band.shift:02}-{band.bits}-{name}.npy"


def _mapped(path: Path) -> Any:
    """Return a file's array, mapped: read on demand, and what is in memory is shared."""
    return np.asarray(np.load(path, mmap_mode="c"))
