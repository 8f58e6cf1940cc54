"""How many files a build takes, over all stages: inodes are the quota that is used up first.

`Cuts` says into what the stages cut a build; `count` how many files that makes, to the file
(a test counts those of a real build). What the cuts of a build will be can only be estimated:
`foresee` says on what grounds.
"""

import math
from dataclasses import dataclass

from shards import sums
from shards.config import ShardSettings
from shards.gather import runs

LIMIT = 10_000
"""Files that a build of 12 million pictures may take at most, as we promise."""

UNIT_IMAGES = 10_000
UNIT_PAIRS = 2_000
PACK_BYTES = 2**31
"""Defaults of other stages, which this one does not import (a test holds them together)."""

_ABOUT = 7
"""Files that say what the shards are: card, datasheet, metadata, credits, counts, two sheets."""
_KEPT = 0.8
_QUERIES_A_SPECIES = 2
_QUERIES_A_ROUND = 900
_GROWTH = 1.1
_BESIDE = 26
_LOOKED_AT = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Cuts:
    """The units of a build, and what else has files of its own."""

    downloads: int
    """Files that sources come as."""
    engines: int
    rounds: int
    searches: int
    """Units that search."""
    generations: int
    fetches: int
    """Units that fetch."""
    packs: int
    looks: int
    """Units that look at pixels."""
    gathers: int
    shards: int


def count(cuts: Cuts) -> dict[str, int]:
    """Return how many files each stage leaves behind.

    At most: a log of failures, conflicts and a hold-out are counted, whether they are there or
    not.
    """
    own = 3  # .lock, units.json, log.jsonl
    return {
        "checklist": 4,
        "candidates": own + 1 + cuts.downloads + cuts.engines + 1 + cuts.rounds + 2 * cuts.searches,
        "images": own + 2 * cuts.generations + 2 * cuts.fetches + cuts.packs,
        "verdicts": own + 10 + 2 * cuts.looks,
        "shards": own + 9 + _ABOUT + cuts.gathers + 3 * cuts.shards + sums.count(cuts.shards),
    }


def on_the_way(cuts: Cuts) -> int:
    """Return how many more files there are while shards are being packed: two a spill."""
    return 2 * cuts.gathers


def foresee(
    images: int, shards: int, settings: ShardSettings, *, image_bytes: int, species: int = 300_000
) -> Cuts:
    """Return the cuts of a build of so many *images*, of *image_bytes* as fetched.

    On these grounds: four fifths of what is fetched are kept; each species is asked for twice,
    at an engine's pace of 900 queries a round; the files bring half of all, then the plan grows
    by a tenth at a time; a generation has 26 units that are not full; one picture in a hundred
    is compared with another.
    """
    fetched = images / _KEPT
    generations = 1 + math.ceil(math.log(2) / math.log(_GROWTH))
    full, beside = math.ceil(fetched / UNIT_IMAGES), _BESIDE * generations
    rounds = math.ceil(species * _QUERIES_A_SPECIES / _QUERIES_A_ROUND)
    groups = math.ceil(images * image_bytes / settings.gather_bytes)
    return Cuts(
        downloads=10,
        engines=4,
        rounds=rounds,
        searches=rounds + 10,
        generations=generations,
        fetches=full + beside,
        packs=full * math.ceil(UNIT_IMAGES * _KEPT * image_bytes / PACK_BYTES) + beside,
        looks=math.ceil(images * _LOOKED_AT / UNIT_PAIRS),
        gathers=math.ceil(groups / runs(groups)),
        shards=shards,
    )
