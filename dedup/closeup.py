"""A closer look: the pixels of pairs that their hashes leave open."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from dedup import pixels
from dedup.pixels import Prepared, correlation, prepare
from flora import pictures
from flora.hashes import Grey
from flora.pictures import FlawedPictureError

_SIDE = 128
"""Pixels a side to decode, at least; what `dedup.pixels` makes use of."""
_PLAIN = 12
"""Grey levels that a row or column of a frame spans, at most."""


class Look(NamedTuple):
    """What two pictures turned out to be."""

    similarity: float
    """Correlation of their aligned pixels; of one mirrored, if that was asked."""
    inside_i: float
    """Share of the first picture that is not a plain frame around it."""
    inside_j: float


def look(pairs: Iterable[tuple[int, int, bool]], read: Callable[[int], bytes]) -> Iterator[Look]:
    """Yield what the pixels of each of *pairs* (two numbers, mirrored) say.

    *read* returns the bytes of a picture by its number; the first of a pair is read once for
    all pairs in a row that begin with it. Bytes that do not decode are like nothing.
    """
    number = -1
    first: tuple[Prepared, float] | None = None
    for i, j, mirrored in pairs:
        if i != number:
            number, first = i, _seen(read(i))
        second = _seen(read(j), mirrored=mirrored)
        if first is None or second is None:
            yield Look(0.0, 1.0, 1.0)
        else:
            yield Look(correlation(first[0], second[0]), first[1], second[1])


def unframed(data: bytes) -> float:
    """Return the share of the picture *data* within the plain frame around it, if any."""
    seen = _seen(data)
    return 1.0 if seen is None else seen[1]


def inside(grey: Grey) -> float:
    """Return the share of *grey* (height x width) within the plain frame around it, if any."""
    share = 1.0
    for axis in (0, 1):
        varied = np.flatnonzero(np.ptp(grey, axis=axis) > _PLAIN)
        if len(varied):
            share *= (varied[-1] - varied[0] + 1) / grey.shape[1 - axis]
    return share


def _seen(data: bytes, *, mirrored: bool = False) -> tuple[Prepared, float] | None:
    try:
        grey = pictures.grey(data, _SIDE)
    except FlawedPictureError:
        return None
    return prepare(pixels.mirrored(grey) if mirrored else grey), inside(grey)
