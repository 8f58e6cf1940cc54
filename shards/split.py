"""Train, val or test: decided for whole groups of pictures that know of each other; and the order.

Two pictures of one observation, or of one duplicate cluster, stand on the same side, whatever
species they are listed under. Side and place are drawn by lot (shards/lots.py), from a picture's
id and the seed: neither the order of the tables nor the number of workers has a part in them.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from flora.ids import Ints, Words
from shards.config import ShardSettings
from shards.lots import draw

TRAIN, VAL, TEST = SPLITS = ("train", "val", "test")

Sides = npt.NDArray[np.int8]
"""Of each picture: its place in `SPLITS`."""

SIDE, PLACE, CAP = range(3)
"""What a lot is drawn for. One lot for all would put what is left over by val and test, the
train pictures of frequent species, behind those of rare ones."""


def groups(pictures: int, linked: Ints, keys: Words) -> Ints:
    """Return for each of so many *pictures* the first one that it is linked to, by any chain.

    *linked* are pictures, *keys* what they have: two with the same key are linked.
    """
    order = np.argsort(keys, kind="stable")
    same = keys[order[1:]] == keys[order[:-1]]
    a, b = linked[order[:-1][same]], linked[order[1:][same]]
    first = np.arange(pictures)
    while len(a):  # hook each tree onto a smaller one beside it, then make all trees flat
        np.minimum.at(first, np.maximum(a, b), np.minimum(a, b))
        while not np.array_equal(flat := first[first], first):
            first = flat
        a, b = first[a], first[b]
        apart = a != b
        a, b = a[apart], b[apart]
    return first


def split(ids: Words, species: Ints, group: Ints, settings: ShardSettings) -> Sides:
    """Return the side of each picture. *group*: of each the first picture it is linked to.

    A species with `min_images` or more gives its shares to test and val, to the nearest whole
    group that fits; all others, and every species' rest, go to train. A group that has several
    species counts for the first of them.
    """
    size = np.bincount(group, minlength=len(ids))
    home = np.full(len(ids), np.iinfo(np.int64).max)
    np.minimum.at(home, group, species)
    roots = np.flatnonzero(size)
    order = roots[np.lexsort((draw(ids[roots], settings.seed, SIDE), home[roots]))]
    sizes, homes = size[order], home[order]
    starts = np.flatnonzero(np.diff(homes, prepend=-1))
    totals = np.add.reduceat(sizes, starts) if len(starts) else sizes
    sides = np.zeros(len(ids), np.int8)
    ends = np.append(starts[1:], len(order))[: len(starts)]
    for start, end, total in zip(starts, ends, totals.tolist(), strict=True):
        if total >= settings.min_images:
            given = _shares(sizes[start:end].tolist(), total, settings)
            sides[order[start : start + len(given)]] = given
    return sides[group]


def _shares(sizes: Sequence[int], total: int, settings: ShardSettings) -> list[int]:
    """Return the sides of a species' groups, given their sizes in order of their lots.

    Only as far as there is any room: the rest goes to train.
    """
    val, test = round(total * settings.val), round(total * settings.test)
    sides = []
    for size in sizes:
        if not val and not test:
            break
        if size <= test:
            test -= size
            sides.append(SPLITS.index(TEST))
        elif size <= val:
            val -= size
            sides.append(SPLITS.index(VAL))
        else:
            sides.append(SPLITS.index(TRAIN))
    return sides


def within_cap(
    ids: Words, species: Ints, tier: npt.NDArray[np.int8], sides: Sides, settings: ShardSettings
) -> Ints:
    """Return the pictures that stay where a species has `max_images` to train on at most.

    The best tiers first, then by lot.
    """
    if not settings.max_images:
        return np.arange(len(ids))
    train = np.flatnonzero(sides == SPLITS.index(TRAIN))
    lots = draw(ids[train], settings.seed, CAP)
    order = train[np.lexsort((lots, tier[train], species[train]))]
    starts = np.flatnonzero(np.diff(species[order], prepend=-1))
    counts = np.diff(starts, append=len(order))
    rank = np.arange(len(order)) - np.repeat(starts, counts)
    stays = np.ones(len(ids), np.bool_)
    stays[order[rank >= settings.max_images]] = False
    return np.flatnonzero(stays)


def positions(ids: Words, sides: Sides, seed: int) -> Ints:
    """Return each picture's place in the order of all: train first, then val, then test.

    *ids* are in order, so that even two lots that are the same number give one order.
    """
    order = np.argsort(draw(ids, seed, PLACE), kind="stable")
    order = order[np.argsort(sides[order], kind="stable")]
    place = np.empty(len(ids), np.int64)
    place[order] = np.arange(len(ids))
    return place
