"""Identical hashes are one kind: collapsed before a search, spread out again after it.

One picture that came 100,000 times would otherwise be 5,000,000,000 pairs.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from flora.compiled import compiled

_MIX = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], np.uint64)
_HIGH = np.uint64(0xFFFFFFFF00000000)


class Kinds(NamedTuple):
    """The different ones of n hashes."""

    hashes: npt.NDArray[np.uint64]
    """(kinds, words)"""
    order: npt.NDArray[np.int32]
    """All n rows, kind by kind."""
    first: npt.NDArray[np.bool_]
    """Which of them begin a kind."""

    def starts(self) -> npt.NDArray[np.int64]:
        """Return where in the order each kind begins, and n."""
        return np.append(np.flatnonzero(self.first), len(self.first))


def collapse(hashes: npt.NDArray[np.uint64], threads: int) -> Kinds:
    """Return the kinds of *hashes* (n, words), those with like first bits near each other.

    A hash of several words may, by a rare chance, be in two kinds: that costs a comparison and
    is no error.
    """
    key = _key(hashes)
    first_bits = (key >> np.uint64(60)).astype(np.uint8)

    def part(bits: int) -> Kinds:
        rows = np.flatnonzero(first_bits == bits)
        order = rows[np.argsort(key[rows])].astype(np.int32)
        ordered = hashes.take(order, axis=0)
        first = np.ones(len(order), np.bool_)
        first[1:] = ordered[1:, 0] != ordered[:-1, 0]
        for word in range(1, hashes.shape[1]):
            first[1:] |= ordered[1:, word] != ordered[:-1, word]
        return Kinds(ordered.compress(first, axis=0), order, first)

    with ThreadPoolExecutor(threads) as pool:
        parts = list(pool.map(part, range(16)))
    return Kinds(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def labels(kinds: Kinds, trees: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """Return for each row the smallest row of its tree; *trees* has the root of each kind."""
    found = np.empty(len(kinds.order), np.int64)
    _label(kinds.order, kinds.first, trees, np.full(len(trees), len(found), np.int32), found)
    return found


def spread(
    codes: npt.NDArray[np.uint64], left: Kinds, right: Kinds, *, same: bool
) -> npt.NDArray[np.uint64]:
    """Return pairs of rows, in order, from pairs of kinds: each code is a x 2^32 + b.

    If both are the *same*, a < b, and rows of one kind are pairs, too.
    """
    starts, others = left.starts(), right.starts()
    sizes, other_sizes = np.diff(starts), np.diff(others)
    count = int((sizes[codes >> np.uint64(32)] * other_sizes[codes & ~_HIGH]).sum())
    if same:
        count += int((sizes * (sizes - 1) // 2).sum())
    found = np.empty(count, np.uint64)
    _spread(codes, left.order, starts, right.order, others, same, found)
    found.sort()
    return found


def _key(hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Return what to sort by: the hash, or its first 32 bits and 32 bits of a digest of it all."""
    if hashes.shape[1] == 1:
        return hashes[:, 0]
    digest = hashes[:, 0].copy()
    for word, factor in enumerate(_MIX, start=1):
        digest ^= digest >> np.uint64(29)
        digest *= factor
        digest ^= hashes[:, word]
    digest *= _MIX[0]
    return np.asarray((hashes[:, 0] & _HIGH) | (digest >> np.uint64(32)))


@compiled
def _label(
    order: npt.NDArray[np.int32],
    first: npt.NDArray[np.bool_],
    trees: npt.NDArray[np.int32],
    smallest: npt.NDArray[np.int32],
    found: npt.NDArray[np.int64],
) -> None:
    kind = -1
    for place in range(len(order)):
        kind += first[place]
        smallest[trees[kind]] = min(smallest[trees[kind]], order[place])
    kind = -1
    for place in range(len(order)):
        kind += first[place]
        found[order[place]] = smallest[trees[kind]]


@compiled
def _spread(
    codes: npt.NDArray[np.uint64],
    order: npt.NDArray[np.int32],
    starts: npt.NDArray[np.int64],
    other_order: npt.NDArray[np.int32],
    others: npt.NDArray[np.int64],
    same: bool,
    found: npt.NDArray[np.uint64],
) -> None:
    count = 0
    for code in codes:
        a, b = np.int64(code >> np.uint64(32)), np.int64(code & np.uint64(0xFFFFFFFF))
        for left in range(starts[a], starts[a + 1]):
            for right in range(others[b], others[b + 1]):
                i, j = np.int64(order[left]), np.int64(other_order[right])
                if same and j < i:
                    i, j = j, i
                found[count] = (np.uint64(i) << np.uint64(32)) | np.uint64(j)
                count += 1
    if same:
        for kind in range(len(starts) - 1):
            for left in range(starts[kind], starts[kind + 1]):
                for right in range(left + 1, starts[kind + 1]):
                    i, j = np.int64(order[left]), np.int64(order[right])
                    low, high = np.uint64(min(i, j)), np.uint64(max(i, j))
                    found[count] = (low << np.uint64(32)) | high
                    count += 1
