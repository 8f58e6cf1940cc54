"""How a search is cut into bands, by the pigeonhole principle.

Cut two hashes that differ in at most r bits into bands, each with a radius of its own. If the
sum of (radius + 1) over the bands is at least r + 1, then in some band they differ in at most
the band's radius. So it is enough to look, band by band, at the hashes whose key (some bits of
the band) lies within that radius (Norouzi, Punjani and Fleet, "Fast exact search in Hamming
space with multi-index hashing", 2014).
"""

import math
from itertools import combinations
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

_KEY_BITS = 24
"""A longer key would make its index of buckets larger than what it saves."""
_BUCKET, _COMPARISON, _ROW = 4.0, 0.25, 60.0
"""What it costs to fetch a bucket, compare two hashes, put a row into a table: in cycles."""


class Band(NamedTuple):
    """Some bits of a hash, by which a table is sorted."""

    word: int
    shift: int
    bits: int
    radius: int


def plan(rows: int, words: int, radius: int) -> list[Band]:
    """Return the cheapest bands to find all pairs within *radius* of hashes of *words* words."""
    choices = [_cut(rows, words, radius, parts) for parts in range(1, 9)]
    return min(choices, key=lambda cut: sum(_cost(rows, band.bits, band.radius) for band in cut))


def masks(band: Band) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return what to flip in a key to get those within the radius, ascending: first nothing. And
    where in that list begin: it, those whose highest bit is bit 0, bit 1, ...; and its end.
    """
    flips = sorted(
        sum(1 << bit for bit in chosen)
        for count in range(min(band.radius, band.bits) + 1)
        for chosen in combinations(range(band.bits), count)
    )
    edges = [0, *(1 << bit for bit in range(band.bits + 1))]
    return np.array(flips, np.int64), np.searchsorted(flips, edges).astype(np.int64)


def _cut(rows: int, words: int, radius: int, parts: int) -> list[Band]:
    """Return bands from *parts* equal parts of each word; the widest get the largest radius."""
    each, more = divmod(radius + 1, words * parts)
    bands = []
    for part in range(parts):
        shift, end = (64 * n // parts for n in (part, part + 1))
        bands += [(end - shift, word, shift) for word in range(words)]
    bands.sort(key=lambda band: (-band[0], -band[2], band[1]))
    cut = []
    for number, (width, word, shift) in enumerate(bands):
        reach = each - (number >= more)
        if reach >= 0:
            longest = min(width, _KEY_BITS)
            bits = min(range(1, longest + 1), key=lambda bits: _cost(rows, bits, reach))
            cut.append(Band(word=word, shift=shift, bits=bits, radius=reach))
    return cut


def _cost(rows: int, bits: int, radius: int) -> float:
    near = sum(math.comb(bits, count) for count in range(min(radius, bits) + 1))
    buckets = min(2**bits, rows) * near / 2
    return float(_ROW * rows + _BUCKET * buckets + _COMPARISON * rows * rows / 2**bits * near / 2)
