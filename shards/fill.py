"""A shard: a stretch of the order over all pictures, and so one stretch of every spilled run."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from flora import records, tar
from flora.errors import ContractError
from flora.ledger import publish
from flora.packs import Packs
from flora.stage import Outcome
from flora.tally import Meter
from shards import pack
from shards.gather import bin_path
from shards.pack import Told
from shards.sink import Sink

LEAST, MOST = 8 << 20, 384 << 20
"""Bytes of a shard that are laid out in memory at a time, twice: more where there are many
runs, so that what is read of each at a time is long enough for a disk."""
_LONG = 1 << 20
_PIECES = 1000
"""What one call may read into; the kernel's own limit (IOV_MAX) is 1,024."""


class Window(NamedTuple):
    """Samples of a shard that are laid out together: its columns of cut.parquet, and places."""

    spill: Sequence[int]
    start: Sequence[int]
    size: Sequence[int]
    before: Sequence[int]
    length: Sequence[int]
    pack: Sequence[str | None]
    offset: Sequence[int]
    at: Sequence[int]
    """Where each begins in the window."""

    @property
    def bytes(self) -> int:
        """Its size."""
        return self.at[-1] + self.size[-1]


def write(data: Path, shard: str, group: int, *, straight: bool) -> Outcome:
    """Write the tar *shard*, row group *group* of the cut, and its part of the index.

    Over all shards, every run is read once from front to end; the tar is written in one go.
    """
    folder, meter = data / "shards", Meter("shards")
    rows = pq.ParquetFile(folder / "cut.parquet").read_row_group(group)
    end, told, offsets = 0, list[Told](), list[int]()
    path, windows = folder / f"{shard}.tar", list(_windows(rows, _room(rows, straight)))
    with (
        Packs(data / "images") as packs,
        publish(path) as draft,
        Sink(draft, max(window.bytes for window in windows)) as sink,
    ):
        for window in windows:
            view = sink.room(window.bytes)
            _lay(folder, window, view, straight)
            if straight:
                _fetch(packs, window, view)
            sink.write(window.bytes)
            told += _told(window, view)
            offsets += [
                end + at + before for at, before in zip(window.at, window.before, strict=True)
            ]
            end += window.bytes
            meter.count(rows=len(window.at), bytes=window.bytes)
        sink.room(len(tar.END))[:] = tar.END
        sink.write(len(tar.END))
    meter.flush()
    records.write(part_path(folder, shard), _index(path.name, told, offsets, rows["length"]))
    return Outcome(rows=len(told), bytes=end + len(tar.END))


def part_path(folder: Path, shard: str) -> Path:
    """Return where the part of the index lies that *shard* is."""
    return folder / "parts" / f"{shard}.parquet"


def _room(rows: pa.Table, straight: bool) -> int:
    """Return the bytes of a window: small ones stay in the processor's caches."""
    if straight:
        return min(MOST, LEAST)
    places = (rows[name].to_numpy() for name in ("spill", "start", "size"))
    return min(MOST, max(LEAST, len(_stretches(*places)) * _LONG))


def _windows(rows: pa.Table, room: int) -> Iterator[Window]:
    """Cut *rows* into windows of at most *room* bytes (or one sample)."""
    ends = np.cumsum(rows["size"].to_numpy(), dtype=np.int64)
    first, base = 0, 0
    while first < len(rows):
        last = max(first + 1, int(np.searchsorted(ends, base + room, "right")))
        part = rows.slice(first, last - first)
        at = ends[first:last] - part["size"].to_numpy() - base
        columns = {name: part[name].to_pylist() for name in Window._fields if name != "at"}
        yield Window(**columns, at=at.tolist())
        first, base = last, int(ends[last - 1])


def _lay(folder: Path, window: Window, view: memoryview, straight: bool) -> None:
    """Read each run's stretch of *window* straight to where its samples belong in *view*."""
    there = np.array(window.size)
    if straight:  # the pictures themselves are not in the spills
        there -= window.length
    for rows in _stretches(window.spill, window.start, there):
        pieces = list[memoryview]()
        for row in rows:
            at, end = window.at[row], window.at[row] + window.size[row]
            if straight:
                picture = at + window.before[row]
                pieces += view[at:picture], view[picture + window.length[row] : end]
            else:
                pieces.append(view[at:end])
        _scatter(bin_path(folder, window.spill[rows[0]]), window.start[rows[0]], pieces)


def _stretches(spill: npt.ArrayLike, start: npt.ArrayLike, size: npt.ArrayLike) -> list[list[int]]:
    """Return the rows that lie one behind the other in a spill, together and in that order."""
    spills, starts, sizes = (np.asarray(each) for each in (spill, start, size))
    order = np.lexsort((starts, spills))
    ends = (starts + sizes)[order[:-1]]
    new = (spills[order[1:]] != spills[order[:-1]]) | (starts[order[1:]] != ends)
    return [rows.tolist() for rows in np.split(order, np.flatnonzero(new) + 1)]


def _scatter(path: Path, start: int, pieces: Sequence[memoryview]) -> None:
    """Read what lies from byte *start* of the file *path* into *pieces*, one after the other."""
    with path.open("rb", buffering=0) as file:
        for first in range(0, len(pieces), _PIECES):
            some = pieces[first : first + _PIECES]
            wanted = sum(map(len, some))
            if os.preadv(file.fileno(), some, start) != wanted:
                raise ContractError(
                    f"{path}: ends before byte {start + wanted:,}, where samples should lie. "
                    "Delete it; the same command makes it again and goes on."
                )
            start += wanted


def _fetch(packs: Packs, window: Window, view: memoryview) -> None:
    """Read the pictures themselves out of the image packs."""
    for at, before, length, name, offset in zip(
        window.at, window.before, window.length, window.pack, window.offset, strict=True
    ):
        assert name is not None
        packs.fill(view[at + before : at + before + length], name, offset)


def _told(window: Window, view: memoryview) -> Iterator[Told]:
    """Yield what the samples of *window* tell of themselves."""
    for at, size, before, length in zip(
        window.at, window.size, window.before, window.length, strict=True
    ):
        after = bytes(view[at + before + length : at + size])
        yield pack.read(bytes(view[at : at + before]), after, length)


def _index(
    shard: str, told: Sequence[Told], offsets: Sequence[int], lengths: pa.ChunkedArray
) -> pa.Table:
    """Return the part of the index that *shard* is."""
    table = pack.index(told)
    for name, value in (("split", shard.partition("-")[0]), ("shard", shard)):
        table = table.append_column(name, pa.repeat(value, len(told)))
    table = table.append_column("offset", pa.array(offsets)).append_column("length", lengths)
    return table.select(records.INDEX.names).cast(records.INDEX)
