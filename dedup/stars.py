"""Greedy stars: who yields to whom.

The best picture of all keeps its place, and every picture that is *directly* known to be the
same yields to it; then the best of those that are left, and so on. Nothing goes for being like
something that is like the keeper: chains of copies are how groups grow into nonsense.
"""

from dataclasses import dataclass

import numpy as np

from dedup.candidates import Edges
from dedup.listings import Ints, Numbers
from flora.compiled import compiled


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The edges of each picture, from both ends."""

    starts: Ints
    others: Numbers
    edges: Ints

    @classmethod
    def of(cls, edges: Edges, pictures: int) -> "Neighbours":
        """Return the neighbours of *pictures* pictures."""
        ends = np.concatenate([edges.i, edges.j])
        order = np.argsort(ends, kind="stable")
        starts = np.zeros(pictures + 1, np.int64)
        np.cumsum(np.bincount(ends, minlength=pictures), out=starts[1:])
        others = np.concatenate([edges.j, edges.i])[order]
        return cls(starts, others, order % max(len(edges), 1))

    def at(self, picture: int) -> tuple[Numbers, Ints]:
        """Return the pictures beside *picture*, and the edges that lead there."""
        here = slice(self.starts[picture], self.starts[picture + 1])
        return self.others[here], self.edges[here]

    def between(self, a: int, b: int) -> int:
        """Return the edge between two pictures, or -1."""
        others, edges = self.at(a)
        found = np.flatnonzero(others == b)
        return int(edges[found[0]]) if len(found) else -1


def stars(place: Numbers, neighbours: Neighbours) -> tuple[Numbers, Ints]:
    """Return each picture's keeper (itself if it stays), and the edge between them (or -1).

    *place* is each picture's place in the order of keepers. Only pictures that have edges
    cost any time.
    """
    linked = np.flatnonzero(np.diff(neighbours.starts))
    best_first = linked[np.argsort(place[linked])]
    return _yielding(best_first, neighbours.starts, neighbours.others, neighbours.edges)


@compiled
def _yielding(best_first: Ints, starts: Ints, others: Numbers, edges: Ints) -> tuple[Numbers, Ints]:
    pictures = len(starts) - 1
    keeper = np.arange(pictures).astype(np.int32)
    via = np.full(pictures, -1, np.int64)
    free = np.ones(pictures, np.bool_)
    for picture in best_first:
        if free[picture]:
            free[picture] = False
            for place in range(starts[picture], starts[picture + 1]):
                other = others[place]
                if free[other]:
                    free[other] = False
                    keeper[other] = picture
                    via[other] = edges[place]
    return keeper, via
