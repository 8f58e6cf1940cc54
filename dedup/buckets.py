"""Tables of hashes in order of a key: the hashes of one key are a bucket."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dedup.bands import Band
from dedup.vectors import LANES
from flora.compiled import compiled

PLANES = {1: 1, 4: 2}
"""Words of a hash -> words of it that are compared first. Chance pairs of 256 bits are told by
two words that have no part in the key; the few that are left are compared in full."""

_RANGES = 4
"""Parts in which a table is filled; each reads all hashes."""

Words = npt.NDArray[np.uint64]
Rows = npt.NDArray[np.int32]
Range = tuple[int, int]


class Table(NamedTuple):
    """Hashes in order of a band's key."""

    hashes: Words
    """All words (n, words), in order of their rows."""
    planes: tuple[Words, ...]
    rows: Rows
    starts: Rows
    """Where the bucket of each key starts; the last two elements are n."""


def table(hashes: Words, band: Band, each: Callable[..., Iterator[None]] = map) -> Table:
    """Return the table of *hashes* (n, words) by *band*. *each* maps a function over ranges,
    maybe in threads.
    """
    count, words = hashes.shape
    planes = tuple(np.zeros(count + LANES, np.uint64) for _ in range(PLANES[words]))
    rows, starts = np.zeros(count, np.int32), np.zeros(2**band.bits + 2, np.int32)
    keys = ranges(2**band.bits, _RANGES)
    list(each(lambda ends: _count(hashes, band, ends[0], ends[1], starts), keys))
    np.cumsum(starts, out=starts)
    list(each(lambda ends: _place(hashes, band, ends[0], ends[1], starts, rows), keys))
    for number, plane in enumerate(planes):
        word = (band.word + number + (words > 1)) % words
        list(each(partial(_fetch, hashes, word, rows, plane), ranges(count, _RANGES)))
    return Table(hashes, planes, rows, starts)


def ranges(size: int, count: int) -> list[Range]:
    """Return *count* ranges (or fewer of one) that cover *size*."""
    count = min(count, size)
    return [(size * n // count, size * (n + 1) // count) for n in range(count)]


@compiled
def _count(hashes: Words, band: Band, low: int, high: int, starts: Rows) -> None:
    """Count the hashes of the keys from *low* to *high*, two places further on."""
    mask = np.uint64((1 << band.bits) - 1)
    for row in range(len(hashes)):
        key = np.int64((hashes[row, band.word] >> np.uint64(band.shift)) & mask)
        if low <= key < high:
            starts[key + 2] += 1


@compiled
def _place(hashes: Words, band: Band, low: int, high: int, starts: Rows, rows: Rows) -> None:
    """Put the rows of these keys in order. starts[key + 1] tells where the next row of a key
    goes, and so ends up where the next key starts.
    """
    mask = np.uint64((1 << band.bits) - 1)
    for row in range(len(hashes)):
        key = np.int64((hashes[row, band.word] >> np.uint64(band.shift)) & mask)
        if low <= key < high:
            place = starts[key + 1]
            starts[key + 1] = place + 1
            rows[place] = row


@compiled
def _fetch(hashes: Words, word: int, rows: Rows, plane: Words, ends: Range) -> None:
    """Fill a range of a plane."""
    for place in range(ends[0], ends[1]):
        plane[place] = hashes[rows[place], word]
