"""The join: which hashes of two tables are within a radius, bucket by bucket.

A table is sorted by a band's key; the hashes of one key are a bucket. For each bucket of the
left table, all buckets of the right one within the band's radius are copied into a buffer that
fits the first-level cache, and compared with it there, eight hashes with eight at a time. What
is near either joins two trees of a forest (enough for connected components, and it needs no
memory a pair) or is written down as a pair, in the first band only that could find it.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dedup.bands import Band, masks
from dedup.buckets import PLANES, Rows, Table, Words
from dedup.vectors import (
    LANES,
    copy,
    eight_within,
    four_within,
    one_within,
    pointer,
    popcount,
    two_within,
)
from flora.compiled import compiled

_BUFFER = 1024


class Rule(NamedTuple):
    """Who is compared with whom in a band, and who is near."""

    radius: int
    same: bool
    """The tables are one, and a pair of rows counts once."""
    flips: npt.NDArray[np.int64]
    tops: npt.NDArray[np.int64]
    earlier: Words
    """(word, mask, radius) of the bands before this one."""


class Workshop(NamedTuple):
    """What one thread works with."""

    buffer: tuple[Words, ...]
    places: Rows
    forest: Rows
    """The parent of each row, itself for the root of a tree and never a larger one; empty if
    pairs are wanted."""
    found: Words
    """Room for pairs: left row x 2^32 + right row."""


def rule(bands: list[Band], number: int, radius: int, *, same: bool) -> Rule:
    """Return what holds in band *number* of *bands*."""
    keys = [(band.word, ((1 << band.bits) - 1) << band.shift, band.radius) for band in bands]
    earlier = np.array(keys[:number], np.uint64).reshape(-1, 3)
    return Rule(radius, same, *masks(bands[number]), earlier)


def workshop(words: int, *, rows: int = 0, pairs: int = 0) -> Workshop:
    """Return a place to work on hashes of *words* words, with a forest of *rows* rows, or else
    with room for so many *pairs*.
    """
    buffer = tuple(np.zeros(_BUFFER + LANES, np.uint64) for _ in range(PLANES[words]))
    places = np.zeros(_BUFFER + LANES, np.int32)
    forest = np.arange(rows, dtype=np.int32)
    return Workshop(buffer, places, forest, np.empty(pairs, np.uint64))


class _Bare(NamedTuple):
    """A table, or two (a query's words are the left one's), as pointers."""

    hashes: Any
    planes: Any
    rows: Any
    starts: Any


class _Task(NamedTuple):
    """All else that the inner loops need, as pointers and numbers."""

    radius: int
    same: bool
    words: int
    earlier: Any
    bands: int
    buffer: Any
    places: Any
    forest: Any
    trees: bool
    found: Any
    room: int


Whole = Any
"""A machine integer: compiled code knows no other."""


@compiled
def join(left: Table, right: Table, rule: Rule, low: Whole, high: Whole, shop: Workshop) -> Whole:
    """Join the buckets from key *low* to *high* of *left* with those of *right*.

    Returns how many pairs there are (none with a forest); if the shop has less room, those that
    came last are not written down.
    """
    ours, theirs = _bare(left), _bare(right)
    task = _Task(
        rule.radius, rule.same, left.hashes.shape[1], pointer(rule.earlier), len(rule.earlier),
        pointer(shop.buffer), pointer(shop.places), pointer(shop.forest), len(shop.forest) > 0,
        pointer(shop.found), len(shop.found),
    )  # fmt: skip
    flips, tops, bits = pointer(rule.flips), pointer(rule.tops), len(rule.tops) - 1
    count: Whole = 0
    for key in range(low, high):
        first, last = np.int64(ours.starts[key]), np.int64(ours.starts[key + 1])
        if first == last:
            continue
        held: Whole = 0
        for top in range(bits):
            if rule.same and top > 0 and (key >> (top - 1)) & 1:
                continue  # the other bucket comes before this one, and has met it
            for flip in range(tops[top], tops[top + 1]):
                other = key ^ flips[flip]
                start, stop = np.int64(theirs.starts[other]), np.int64(theirs.starts[other + 1])
                copy(theirs.planes, start, task.buffer, task.places, held)
                while stop - start > 8:
                    start += 8
                    held += 8
                    if held > _BUFFER - 8:
                        count = _compare(ours, theirs, task, first, last, held, count)
                        held = 0
                    copy(theirs.planes, start, task.buffer, task.places, held)
                held += stop - start
                if held > _BUFFER - 8:
                    count = _compare(ours, theirs, task, first, last, held, count)
                    held = 0
        count = _compare(ours, theirs, task, first, last, held, count)
    return count


@compiled
def _bare(table: Table) -> _Bare:
    return _Bare(
        pointer(table.hashes), pointer(table.planes), pointer(table.rows), pointer(table.starts)
    )


@compiled
def _compare(
    left: _Bare, right: _Bare, task: _Task, first: Whole, last: Whole, held: Whole, count: Whole
) -> Whole:
    """Compare the hashes from *first* to *last* with those *held* in the buffer."""
    for row in range(first, last, 8):
        at = _scan(left.planes, row, last - row, task.buffer, 0, held, task.radius)
        while at < held:
            for query in range(row, min(row + 8, last)):
                lanes = one_within(left.planes, query, task.buffer, at, task.radius)
                while lanes:
                    place = at + popcount(np.uint64((lanes & -lanes) - 1))
                    lanes &= lanes - 1
                    if place < held:
                        other = np.int64(task.places[place])
                        count = _meet(left, right, task, query, other, count)
            at = _scan(left.planes, row, last - row, task.buffer, at + 8, held, task.radius)
    return count


@compiled
def _scan(
    planes: Any, row: Whole, size: Whole, buffer: Any, at: Whole, held: Whole, radius: Whole
) -> Whole:
    """Return where the next eight are that one of *size* hashes from *row* on (or, at most seven
    more) is near to. Loops that store nothing keep their hashes in registers.
    """
    if size > 4:
        while at < held and eight_within(planes, row, buffer, at, radius) == 0:
            at += 8
    elif size > 2:
        while at < held and four_within(planes, row, buffer, at, radius) == 0:
            at += 8
    elif size > 1:
        while at < held and two_within(planes, row, buffer, at, radius) == 0:
            at += 8
    else:
        while at < held and one_within(planes, row, buffer, at, radius) == 0:
            at += 8
    return at


@compiled
def _meet(
    left: _Bare, right: _Bare, task: _Task, query: Whole, other: Whole, count: Whole
) -> Whole:
    """Take note of two hashes whose planes are near."""
    if task.same and other <= query:
        return count
    row, near = np.int64(left.rows[query]), np.int64(right.rows[other])
    tree, grown = np.int64(0), np.int64(0)
    if task.trees:
        tree, grown = _root(task.forest, row), _root(task.forest, near)
        if tree == grown:
            return count
    a, b = row * task.words, near * task.words
    if task.words > len(left.planes):
        apart: Whole = 0
        for word in range(task.words):
            apart += popcount(left.hashes[a + word] ^ right.hashes[b + word])
        if apart > task.radius:
            return count
    if task.trees:
        task.forest[max(tree, grown)] = min(tree, grown)
        return count
    for band in range(task.bands):
        cut = np.int64(task.earlier[3 * band])
        differ = (left.hashes[a + cut] ^ right.hashes[b + cut]) & task.earlier[3 * band + 1]
        if popcount(differ) <= np.int64(task.earlier[3 * band + 2]):
            return count
    if count < task.room:
        task.found[count] = (np.uint64(row) << np.uint64(32)) | np.uint64(near)
    return count + 1


@compiled
def _root(forest: Any, row: Whole) -> Whole:
    """Return the root of the tree of *row*, and halve the way to it."""
    at = np.int64(row)
    parent = np.int64(forest[at])
    while parent != at:
        forest[at] = forest[parent]
        at = np.int64(forest[at])
        parent = np.int64(forest[at])
    return at


@compiled
def plant(forest: Rows, rows: Rows, parents: Rows) -> None:
    """Join the trees of each of *rows* and its parent."""
    bare = pointer(forest)
    for edge in range(len(rows)):
        a, b = _root(bare, rows[edge]), _root(bare, parents[edge])
        bare[max(a, b)] = min(a, b)


@compiled
def flatten(forest: Rows) -> None:
    """Have each row point to the root of its tree."""
    for row in range(len(forest)):
        forest[row] = forest[forest[row]]
