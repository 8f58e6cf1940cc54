"""Train, val or test: decided for whole groups of pictures that know of each other.

Two pictures of one observation, or of one duplicate cluster, stand on the same side, whatever
species they are listed under. Which side is a matter of the seed and the group's name alone.
"""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from shards.config import ShardSettings

TRAIN, VAL, TEST = SPLITS = ("train", "val", "test")


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """What the split needs to know of a picture."""

    image_id: str
    species_id: str
    links: tuple[str, ...]
    """Names of what it shares with others: its observation, its cluster."""


def split(members: Sequence[Member], settings: ShardSettings) -> dict[str, str]:
    """Return image_id -> train, val or test.

    A species with `min_images` or more gives its shares to val and test, to the nearest whole
    group that fits; all others, and every species' rest, go to train.
    """
    groups: dict[str, list[Member]] = defaultdict(list)
    for member, root in zip(members, _roots(members), strict=True):
        groups[root].append(member)
    by_species: dict[str, list[str]] = defaultdict(list)
    for root, group in groups.items():
        by_species[min(member.species_id for member in group)].append(root)
    sides: dict[str, str] = {}
    for roots in by_species.values():
        total = sum(len(groups[root]) for root in roots)
        room = {TEST: 0, VAL: 0}
        if total >= settings.min_images:
            room = {TEST: round(total * settings.test), VAL: round(total * settings.val)}
        for root in sorted(roots, key=lambda root: _draw(settings.seed, root)):
            size = len(groups[root])
            side = next((side for side, left in room.items() if size <= left), TRAIN)
            if side != TRAIN:
                room[side] -= size
            sides.update({member.image_id: side for member in groups[root]})
    return sides


def shuffled(image_ids: Sequence[str], seed: int) -> list[str]:
    """Return *image_ids* in an order that depends on the ids and the seed alone."""
    return sorted(image_ids, key=lambda image_id: _draw(seed, image_id))


def _draw(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}:{name}".encode()).digest()


def _roots(members: Sequence[Member]) -> list[str]:
    """Return each member's group: the smallest image_id it is linked to (union-find)."""
    parent = list(range(len(members)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    first: dict[str, int] = {}
    for index, member in enumerate(members):
        for link in member.links:
            a, b = root(first.setdefault(link, index)), root(index)
            if members[b].image_id < members[a].image_id:
                a, b = b, a
            parent[b] = a
    return [members[root(index)].image_id for index in range(len(members))]
