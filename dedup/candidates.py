"""Pairs of pictures that may be one, by their hashes.

Pictures with the same hashes are one *print*: what is found for a print holds for all its
pictures, so a picture that lies in the web ten thousand times costs no more than one. Of two
prints, the best picture of the better one is held against all pictures of the other: it alone
can become their keeper.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from dedup import pairs, rule
from dedup.config import DedupSettings
from dedup.listings import Bools, Ints, Numbers, Pictures
from dedup.rule import Answer
from flora.hashes import Words, distance, mirror_pdq, mirror_phash
from flora.ids import sort

_CROWD = 500
"""Prints in a component of PDQ hashes, beyond which its pairs are not spelt out."""
_BLOCK = 2**21
"""Pairs whose PDQ distances are reckoned at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edges:
    """One row a pair of pictures; each has one row at most."""

    i: Numbers
    """The better of the two."""
    j: Numbers
    distance: npt.NDArray[np.uint16]
    """Between their PDQ hashes."""
    phash_distance: npt.NDArray[np.uint16]
    mirrored: Bools
    """The distances are to the mirrored picture."""
    answer: npt.NDArray[np.uint8]
    """What the rule says of them: SAME or LOOK."""

    def __len__(self) -> int:
        return len(self.i)

    def take(self, rows: npt.NDArray[Any] | slice) -> "Edges":
        """Return some *rows* (places or a mask)."""
        return Edges(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})


def join(parts: Iterable[Edges]) -> Edges:
    """Return *parts* as one."""
    some = list(parts)
    return Edges(
        **{f.name: np.concatenate([getattr(p, f.name) for p in some]) for f in fields(Edges)}
    )


def find(pictures: Pictures, chosen: Bools, place: Numbers, settings: DedupSettings) -> Edges:
    """Return the pairs among the *chosen* pictures that the rule does not call different.

    *place* is each picture's place in the order of keepers. Exact but for crowds: of thousands
    that are all alike, each is held against the best of them that it is like, not against all.
    """
    prints = _Prints(pictures, np.flatnonzero(chosen), place)
    component = pairs.components(prints.pdq, settings.pdq_radius)
    crowded, free = _crowds(prints, component, settings)
    kin = free[np.bincount(component)[component[free]] > 1]
    found = [crowded, _by_pdq(prints, kin, settings), _by_phash(prints, free, settings),
             _mirrored(prints, free, settings)]  # fmt: skip
    between = _judged(prints, _once(found), settings)
    return join([_judged_twins(prints, settings), prints.spell_out(between)])


class _Prints:
    """Pictures by their hashes: print k is that of `rows[starts[k]]` and those that follow."""

    def __init__(self, pictures: Pictures, rows: Ints, place: Numbers) -> None:
        pdq, phash = pictures.pdq[rows], pictures.phash[rows]
        order = sort([phash, *pdq.T, place[rows]])
        pdq, phash = pdq[order], phash[order]
        new = np.ones(len(rows), np.bool_)
        new[1:] = (phash[1:] != phash[:-1]) | (pdq[1:] != pdq[:-1]).any(axis=1)
        self.rows = rows[order].astype(np.int32)
        self.starts = np.flatnonzero(new)
        self.sizes = np.diff(self.starts, append=len(rows))
        self.pdq, self.phash = pdq[new], phash[new]
        self.best = self.rows[self.starts]
        self.place = place[self.best]
        self.quality = pictures.quality[self.best]

    def spell_out(self, between: "Edges") -> "Edges":
        """Return *between* prints as edges between pictures."""
        swap = self.place[between.i] > self.place[between.j]
        better = np.where(swap, between.j, between.i)
        other = np.where(swap, between.i, between.j)
        sizes = self.sizes[other]
        within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        spelt = between.take(np.repeat(np.arange(len(between)), sizes))
        members = self.rows[np.repeat(self.starts[other], sizes) + within]
        return _with(spelt, np.repeat(self.best[better], sizes), members)


def _crowds(prints: _Prints, component: Ints, settings: DedupSettings) -> tuple[Edges, Ints]:
    """Return edges within crowds, from their leaders; and the prints that are left to compare."""
    sizes = np.bincount(component)
    led = np.zeros(len(component), np.bool_)
    found = [_edges([], [], [], [], mirrored=False)]
    for crowd in np.flatnonzero(sizes > _CROWD):
        left = np.flatnonzero(component == crowd)
        left = left[np.argsort(prints.place[left])]
        while len(left):
            leader, left = left[0], left[1:]
            apart = _apart(prints.pdq[left], prints.pdq[leader])
            near = apart <= settings.pdq_radius
            phash = distance(prints.phash[left[near]], prints.phash[leader])
            heads = np.full(len(phash), leader)
            found.append(_edges(heads, left[near], apart[near], phash, mirrored=False))
            led[left[near]] = True
            left = left[~near]
    return join(found), np.flatnonzero(~led)


def _by_pdq(prints: _Prints, kin: Ints, settings: DedupSettings) -> Edges:
    i, j, apart = pairs.near_pairs(prints.pdq[kin], settings.pdq_radius)
    i, j = kin[i], kin[j]
    return _edges(i, j, apart, distance(prints.phash[i], prints.phash[j]), mirrored=False)


def _by_phash(prints: _Prints, free: Ints, settings: DedupSettings) -> Edges:
    i, j, phash = pairs.near_pairs(prints.phash[free], settings.phash_radius)
    return _within_limit(prints, free[i], free[j], phash, settings, mirrored=False)


def _mirrored(prints: _Prints, free: Ints, settings: DedupSettings) -> Edges:
    """Return pairs of which one is near the other's mirror image, by pHash."""
    phash = prints.phash[free]
    i, j, apart = pairs.near_queries(mirror_phash(phash), phash, settings.mirror_radius)
    once = i < j  # each pair is found from both its sides
    return _within_limit(prints, free[i[once]], free[j[once]], apart[once], settings, mirrored=True)


def _within_limit(
    prints: _Prints, i: Ints, j: Ints, phash: npt.NDArray[np.uint16],
    settings: DedupSettings, *, mirrored: bool,
) -> Edges:  # fmt: skip
    """Return the pairs whose PDQ hashes do not rule it out; most that pHash brings, they do."""
    parts = [_edges([], [], [], [], mirrored=mirrored)]
    for start in range(0, len(i), _BLOCK):
        here = slice(start, start + _BLOCK)
        of = prints.pdq[i[here]]
        apart = _apart(mirror_pdq(of) if mirrored else of, prints.pdq[j[here]])
        near = apart <= settings.pdq_limit
        parts.append(
            _edges(i[here][near], j[here][near], apart[near], phash[here][near], mirrored=mirrored)
        )
    return join(parts)


def _judged(prints: _Prints, found: Edges, settings: DedupSettings) -> Edges:
    quality = np.minimum(prints.quality[found.i], prints.quality[found.j])
    answer = rule.sort_out(found.distance, found.phash_distance, quality, settings)
    found = _with(found, found.i, found.j, answer)
    return found.take(answer != Answer.DIFFERENT)


def _judged_twins(prints: _Prints, settings: DedupSettings) -> Edges:
    """Return edges from the best picture of each print to the others of it."""
    copies = np.flatnonzero(np.repeat(prints.sizes, prints.sizes) > 1)
    number = np.repeat(np.arange(len(prints.sizes)), prints.sizes)[copies]
    later = prints.starts[number] != copies
    number, copies = number[later], copies[later]
    same = np.zeros(len(copies), np.uint16)
    answer = rule.sort_out(same, same, prints.quality[number], settings)
    edges = _edges(prints.best[number], prints.rows[copies], same, same, mirrored=False)
    return _with(edges, edges.i, edges.j, answer)


def _once(parts: Iterable[Edges]) -> Edges:
    """Return each pair once, in order: as it is or mirrored, whichever is nearer."""
    found = join(parts)
    low, high = np.minimum(found.i, found.j), np.maximum(found.i, found.j)
    order = np.lexsort((found.mirrored, found.distance, high, low))
    low, high = low[order], high[order]
    new = np.ones(len(order), np.bool_)
    new[1:] = (low[1:] != low[:-1]) | (high[1:] != high[:-1])
    return found.take(order[new])


def _apart(a: Words, b: Words) -> npt.NDArray[np.uint16]:
    return np.asarray(distance(a, b).sum(axis=-1, dtype=np.uint16))


def _edges(i: object, j: object, apart: object, phash: object, *, mirrored: bool) -> Edges:
    numbers = np.asarray(i, np.int32)
    return Edges(
        i=numbers,
        j=np.asarray(j, np.int32),
        distance=np.asarray(apart, np.uint16),
        phash_distance=np.asarray(phash, np.uint16),
        mirrored=np.full(len(numbers), mirrored),
        answer=np.full(len(numbers), Answer.LOOK, np.uint8),
    )


def _with(
    edges: Edges, i: Numbers, j: Numbers, answer: npt.NDArray[np.uint8] | None = None
) -> Edges:
    return Edges(
        i=i, j=j, distance=edges.distance, phash_distance=edges.phash_distance,
        mirrored=edges.mirrored, answer=edges.answer if answer is None else answer,
    )  # fmt: skip
