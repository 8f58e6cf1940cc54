"""Huffman tables of JPEG: read, and made to measure (ITU-T T.81, annexes C, F and K.2)."""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from flora.compiled import compiled

LONGEST = 16
"""Bits that a code has at most."""

Lookup = npt.NDArray[np.uint16]
"""By the next 16 bits: the length of the code they begin with << 8 | what it stands for; 0 where
there is no such code."""


@lru_cache(maxsize=64)  # most files have the tables of the standard
def lookup(lengths: bytes, values: bytes) -> Lookup:
    """Return the table of a DHT segment: how many codes have 1 to 16 bits, what they stand for.

    Raises ValueError if there are more codes than bits can tell apart.
    """
    each = np.repeat(np.arange(1, LONGEST + 1), list(lengths))
    spans = 1 << (LONGEST - each)
    if len(each) != len(values) or spans.sum() > 1 << LONGEST:
        raise ValueError("a Huffman table that cannot be")
    table = np.zeros(1 << LONGEST, np.uint16)
    entries = (each << 8 | np.frombuffer(values, np.uint8)).astype(np.uint16)
    table[: spans.sum()] = np.repeat(entries, spans)
    return table


def best(counts: npt.NDArray[np.int64]) -> tuple[bytes, bytes]:
    """Return the shortest table (as in a DHT segment) for symbols that come *counts* (256) times.

    Annex K.2: no code is all ones, which is what ends of scans are padded with.
    """
    used = np.flatnonzero(counts)
    sizes = _sizes(np.append(counts[used], 1))
    many = np.bincount(sizes, minlength=2 * LONGEST)
    _shorten(many)
    longest = int(np.flatnonzero(many)[-1])
    many[longest] -= 1  # the code of the symbol that never comes: all ones
    order = np.lexsort((used, sizes[:-1]))
    lengths = many[1 : LONGEST + 1].astype(np.uint8).tobytes()
    return lengths, used[order].astype(np.uint8).tobytes()


def codes(lengths: bytes, values: bytes) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return code and length, by symbol (256), of a table as in a DHT segment."""
    code, length = np.zeros(256, np.int64), np.zeros(256, np.int64)
    following, at = 0, 0
    for bits, many in enumerate(lengths, 1):
        symbols = list(values[at : at + many])
        code[symbols] = following + np.arange(many)
        length[symbols] = bits
        following, at = (following + many) << 1, at + many
    return code, length


@compiled
def _sizes(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return how many bits Huffman's codes have for symbols that come *counts* times.

    Of equal counts the last are joined first, so the very last symbol has a longest code.
    """
    many = len(counts)
    left = counts.copy()
    group = np.arange(many)
    sizes = np.zeros(many, np.int64)
    for _ in range(many - 1):
        least = second = -1
        for at in range(many):
            if left[at] == 0:
                continue
            if least < 0 or left[at] <= left[least]:
                least, second = at, least
            elif second < 0 or left[at] <= left[second]:
                second = at
        left[least] += left[second]
        left[second] = 0
        for at in range(many):
            if group[at] == second:
                group[at] = least
            if group[at] == least:
                sizes[at] += 1
    return sizes


def _shorten(many: npt.NDArray[np.int64]) -> None:
    """Move codes of more than 16 bits up the tree: figure K.3. *many* codes have each length."""
    for bits in range(len(many) - 1, LONGEST, -1):
        while many[bits] > 0:
            above = bits - 2
            while many[above] == 0:
                above -= 1
            many[bits] -= 2
            many[bits - 1] += 1
            many[above + 1] += 2
            many[above] -= 1
