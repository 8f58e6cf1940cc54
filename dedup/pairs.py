"""Which hashes are near each other: all of them, exactly, by a join of bands (dedup/join.py).

Hashes are uint64[n], or uint64[n, 4] for 256 bits; n is below 2^31. Rows may be identical.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import numpy.typing as npt

from dedup import buckets, join, kinds
from dedup.bands import plan
from dedup.buckets import Rows, Table, Words
from dedup.join import Rule, Workshop

_RANGES = 256
"""Ranges of keys into which a band's work is cut for the threads."""
_ROOM = 1 << 16
_BLOCK = 1 << 20

Pairs = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.uint16]]
Act = Callable[[Table, Table, Rule, int, int, Workshop], object]


def near_pairs(hashes: Words, radius: int, *, threads: int | None = None) -> Pairs:
    """Return (i, j, distance) of all pairs i < j of *hashes* at most *radius* bits apart.

    In order of i, then j. Takes some 60 bytes a hash and 40 a pair: where thousands of
    hashes are alike, pairs are millions; `components` does without them.
    """
    whole, count = words(hashes), threads or cores()
    found = kinds.collapse(whole, count)
    codes = _codes(found.hashes, found.hashes, radius, count, same=True)
    return _measure(kinds.spread(codes, found, found, same=True), whole, whole)


def near_queries(
    queries: Words, hashes: Words, radius: int, *, threads: int | None = None
) -> Pairs:
    """Return (q, j, distance) of all *queries* and *hashes* at most *radius* bits apart.

    In order of q, then j. Memory as for `near_pairs`.
    """
    asked, whole = words(queries), words(hashes)
    if asked.shape[1] != whole.shape[1]:
        raise ValueError("Queries and hashes are of different lengths.")
    count = threads or cores()
    left, right = kinds.collapse(asked, count), kinds.collapse(whole, count)
    codes = _codes(left.hashes, right.hashes, radius, count, same=False)
    return _measure(kinds.spread(codes, left, right, same=False), asked, whole)


def components(hashes: Words, radius: int, *, threads: int | None = None) -> npt.NDArray[np.int64]:
    """Return for each row the smallest row that a chain of near pairs leads to.

    Takes some 50 bytes a hash of 64 bits, and 4 for each further thread, however many pairs
    there are.
    """
    count = threads or cores()
    found = kinds.collapse(words(hashes), count)
    return kinds.labels(found, _forest(found.hashes, radius, count))


def words(hashes: Words) -> Words:
    """Return *hashes* as (n, words). Raises ValueError if they are neither 64 nor 256 bits."""
    whole = hashes[:, None] if hashes.ndim == 1 else hashes
    if whole.dtype != np.uint64 or whole.shape[1:] not in ((1,), (4,)):
        raise ValueError(f"Hashes are {hashes.dtype}{list(hashes.shape)}, not uint64[n] or [n, 4].")
    return whole


def _forest(hashes: Words, radius: int, threads: int) -> Rows:
    """Return the root of the tree of each of *hashes*."""
    shops = [join.workshop(hashes.shape[1], rows=len(hashes)) for _ in range(threads)]
    _search(hashes, hashes, radius, shops, join.join, same=True)
    forest = shops[0].forest
    for shop in shops[1:]:
        join.plant(forest, np.arange(len(forest), dtype=np.int32), shop.forest)
    join.flatten(forest)
    return forest


def _codes(left: Words, right: Words, radius: int, threads: int, *, same: bool) -> Words:
    """Return the near pairs, each as left row x 2^32 + right row."""
    parts = [np.empty(0, np.uint64)]

    def collect(a: Table, b: Table, rule: Rule, low: int, high: int, shop: Workshop) -> None:
        count = join.join(a, b, rule, low, high, shop)
        if count > len(shop.found):  # now it is known how many they are
            shop = shop._replace(found=np.empty(count, np.uint64))
            join.join(a, b, rule, low, high, shop)
        parts.append(shop.found[:count].copy())

    shops = [join.workshop(left.shape[1], pairs=_ROOM) for _ in range(threads)]
    _search(left, right, radius, shops, collect, same=same)
    return np.concatenate(parts)


def _search(
    left: Words,
    right: Words,
    radius: int,
    shops: list[Workshop],
    act: Act,
    *,
    same: bool,
) -> None:
    """Have *act* join each range of keys of each band, in as many threads as there are shops."""
    if not 0 <= radius < 64:
        raise ValueError(f"A radius is 0 to 63 bits, not {radius}.")
    if len(left) == 0 or len(right) == 0:
        return
    bands = plan(len(right), right.shape[1], radius)
    with ThreadPoolExecutor(len(shops)) as pool:
        for number, band in enumerate(bands):
            rule = join.rule(bands, number, radius, same=same)
            one = buckets.table(left, band, pool.map)
            other = one if same else buckets.table(right, band, pool.map)
            keys = iter(buckets.ranges(2**band.bits, _RANGES))
            work = partial(_work, act, one, other, rule, keys)
            list(pool.map(work, shops))
            del one, other, work  # before the next ones are made


def _work(
    act: Act, left: Table, right: Table, rule: Rule, keys: Iterator[buckets.Range], shop: Workshop
) -> None:
    """Join ranges that threads share until none is left."""
    for low, high in keys:
        act(left, right, rule, low, high, shop)


def _measure(codes: Words, left: Words, right: Words) -> Pairs:
    """Take apart the *codes* of pairs, and add their distances."""
    i = (codes >> np.uint64(32)).astype(np.int64)
    j = (codes & np.uint64(2**32 - 1)).astype(np.int64)
    apart = np.empty(len(codes), np.uint16)
    for start in range(0, len(codes), _BLOCK):
        block = slice(start, start + _BLOCK)
        differ = left[i[block]] ^ right[j[block]]
        apart[block] = np.bitwise_count(differ).sum(axis=1, dtype=np.uint16)
    return i, j, apart


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0))
