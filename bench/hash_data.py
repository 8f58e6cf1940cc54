"""Hashes like those of a crawl, the same every time: what bench/dedup.py searches.

Neighbouring bits are correlated, as those of a DCT hash are. Of the rows,

- 70 in the hundred are pictures of their own;
- 12 are clusters of 2 to 20 copies, each up to 6 bits (of 64) from the first;
- 10 are families of 2,000 that share a template (herbarium sheets, plates), each bit flipped
  with a chance of one in eight: near their template, seldom near each other;
- 5 are exact copies of any of these rows;
- 3 are a heavy head: copies of 100 pictures, a few of which have most (placeholders).
"""

from collections.abc import Callable
from typing import Any

import numpy as np

SEED = 11
_BLOCK = 1 << 20
_FAMILY = 2_000
_HEAD = 100

Hashes = Any  # an array of numpy: uint64[n, words]


def generate(rows: int, words: int) -> Hashes:
    """Return *rows* hashes of *words* words, shuffled."""
    rng = np.random.default_rng([SEED, rows, words])
    head, copies, families, clusters = (rows * share // 100 for share in (3, 5, 10, 12))
    found = np.empty((rows, words), np.uint64)
    at = rows - head - copies - families - clusters
    _in_blocks(found[:at], lambda size, _: _singles(rng, size, words))
    centres = _singles(rng, max(clusters // 8, 1), words)
    members = np.repeat(np.arange(len(centres)), rng.integers(2, 21, len(centres)))
    members = np.resize(members, clusters)
    reach = rng.integers(0, 6 * words + 1, clusters)

    def copied(size: int, start: int) -> Hashes:
        part = slice(start, start + size)
        return _flipped(rng, centres[members[part]], reach[part])

    _in_blocks(found[at : at + clusters], copied)
    at += clusters
    templates = _singles(rng, families // _FAMILY + 1, words)

    def kin(size: int, start: int) -> Hashes:
        noise = _random(rng, size, words) & _random(rng, size, words) & _random(rng, size, words)
        return templates[np.arange(start, start + size) // _FAMILY] ^ noise

    _in_blocks(found[at : at + families], kin)
    at += families
    found[at : at + copies] = found[rng.integers(0, at, copies)]
    at += copies
    often = (_HEAD * rng.random(head) ** 4).astype(np.int64)
    found[at:] = _singles(rng, _HEAD, words)[often]
    return found[rng.permutation(rows)]


def _in_blocks(target: Hashes, make: Callable[[int, int], Hashes]) -> None:
    for start in range(0, len(target), _BLOCK):
        size = min(_BLOCK, len(target) - start)
        target[start : start + size] = make(size, start)


def _random(rng: np.random.Generator, rows: int, words: int) -> Hashes:
    return rng.integers(0, 2**64, (rows, words), dtype=np.uint64)


def _singles(rng: np.random.Generator, rows: int, words: int) -> Hashes:
    """Return hashes of which each bit is, with a chance of one in four, that of its neighbour."""
    bits = _random(rng, rows, words)
    linked = _random(rng, rows, words) & _random(rng, rows, words)
    return bits ^ ((bits ^ (bits << np.uint64(1))) & linked)


def _flipped(rng: np.random.Generator, hashes: Hashes, flips: Any) -> Hashes:
    """Return *hashes* with up to *flips* random bits changed in each."""
    found = hashes.copy()
    rows = np.arange(len(hashes))
    for turn in range(int(flips.max(initial=0))):
        bit = rng.integers(0, 64 * hashes.shape[1], len(hashes))
        flip = np.uint64(1) << (bit % 64).astype(np.uint64)
        found[rows, bit // 64] ^= np.where(turn < flips, flip, np.uint64(0))
    return found
