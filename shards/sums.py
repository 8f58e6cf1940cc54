"""Checksums of finished shards, as sha256sum(1) makes them: a step of its own, some a unit.

To sum up a tar takes a processor as long as to pack it, and nothing waits for it but SHA256SUMS.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from flora.stage import Outcome
from flora.tally import Meter

_TOGETHER = 8
"""Shards of a unit: every unit leaves a receipt, and files are counted."""


def groups(shards: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the names of the shards of each unit, in their order."""
    return [tuple(shards[at : at + _TOGETHER]) for at in range(0, len(shards), _TOGETHER)]


def count(shards: int) -> int:
    """Return how many units sum up so many *shards*."""
    return -(-shards // _TOGETHER)


def read(folder: Path, shards: Sequence[str]) -> Outcome:
    """Read those *shards* of *folder*; the outcome's detail has the sha256 of each, by name."""
    meter, found = Meter("sums"), {}
    for shard in shards:
        path = folder / f"{shard}.tar"
        with path.open("rb", buffering=0) as file:
            found[shard] = hashlib.file_digest(file, "sha256").hexdigest()
        meter.count(bytes=path.stat().st_size)
    meter.flush()
    return Outcome(detail=found)
