"""The quantised coefficients of a JPEG, from its Huffman-coded scans (ITU-T T.81, annexes F and G).

Sequential and progressive scans fill the same blocks. A block has its 64 coefficients in zigzag
order, as they are coded; which block comes when is an array of numbers, made once for a scan.
"""

from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt

from flora.compiled import compiled
from shards.huffman import LONGEST, Lookup

Blocks = npt.NDArray[np.int16]
"""Blocks x 64."""
Order = npt.NDArray[np.int32]
"""Numbers of blocks, in the order in which a scan has them."""
Lookups = npt.NDArray[np.uint16]
"""Tables x 65536, each as shards.huffman has it."""
Numbers = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint32]
"""The 32 bits from each byte on."""
Number = Any
"""One of numba's integers, which to mypy are of several kinds."""
_SPARE = 512
"""Bytes after the end that a block of broken codes may reach."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A component: its id, sampling factors and quantisation table; where its blocks are."""

    id: int
    across: int
    down: int
    table: int
    grid: Order
    """Rows x columns of block numbers, whole MCUs."""
    rows: int
    columns: int
    """Those that hold pixels; a scan of this part alone has no others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """What a scan brings: of *parts*, coefficients *first* to *last*, the bits *high* to *low*."""

    parts: tuple[Part, ...]
    dc: tuple[int, ...]
    """Rows of the tables, by part."""
    ac: tuple[int, ...]
    interval: int
    """MCUs between restart markers; 0 where there are none."""
    progressive: bool
    first: int
    last: int
    high: int
    """0 if it brings them for the first time, else the bit above *low*."""
    low: int


def arrange(parts: tuple[Part, ...]) -> tuple[Order, int]:
    """Return the order of blocks in a scan of *parts*, and how many an MCU has (T.81, A.2)."""
    if len(parts) == 1:
        part = parts[0]
        return np.ascontiguousarray(part.grid[: part.rows, : part.columns]).ravel(), 1
    units = []
    for part in parts:
        rows, columns = part.grid.shape
        shape = rows // part.down, part.down, columns // part.across, part.across
        unit = part.grid.reshape(shape).swapaxes(1, 2)
        units.append(unit.reshape(shape[0], shape[2], part.down * part.across))
    order = np.concatenate(units, axis=2)
    return order.ravel(), order.shape[2]


def decode(blocks: Blocks, pieces: list[bytes], scan: Scan, tables: Lookups) -> None:
    """Fill *blocks* from the restart intervals *pieces* of *scan*.

    Raises ValueError for codes that no encoder writes.
    """
    order, unit = arrange(scan.parts)
    step = scan.interval * unit or len(order)
    if len(pieces) != -(-len(order) // step):
        raise ValueError("restart markers where none belong, or too few")
    plain = [piece.replace(b"\xff\x00", b"\xff") for piece in pieces]
    bounds = np.array([0, *accumulate(map(len, plain))], np.int64) * 8
    octets = np.frombuffer(b"".join([*plain, bytes(_SPARE)]), np.uint8).astype(np.uint32)
    four = octets[:-3] << 24 | octets[1:-2] << 16 | octets[2:-1] << 8 | octets[3:]
    words = np.asarray(four, np.uint32)
    which, (dc, ac) = belonging(scan.parts), np.array([scan.dc, scan.ac])
    span = scan.first, scan.last
    if not scan.progressive:
        good = _sequential(blocks, words, bounds, order, step, which, dc, ac, tables)
    elif scan.first == 0 and scan.high == 0:
        good = _dc_first(blocks, words, bounds, order, step, which, dc, tables, scan.low)
    elif scan.first == 0:
        good = _dc_again(blocks, words, bounds, order, step, scan.low)
    elif scan.high == 0:
        good = _ac_first(blocks, words, bounds, order, step, tables[ac[0]], span, scan.low)
    else:
        good = _ac_again(blocks, words, bounds, order, step, tables[ac[0]], span, scan.low)
    if not good:
        raise ValueError("codes that no encoder writes")


def belonging(parts: tuple[Part, ...]) -> Numbers:
    """Return to which of *parts* each block of an MCU belongs."""
    many = [1] if len(parts) == 1 else [part.across * part.down for part in parts]
    return np.repeat(np.arange(len(parts)), many)


@compiled
def _bits(words: Words, at: Number, many: Number) -> Number:
    """Return the *many* bits (25 at most) from bit *at* on."""
    return (np.int64(words[at >> 3]) >> (32 - (at & 7) - many)) & ((1 << many) - 1)


@compiled
def _value(words: Words, at: Number, many: Number) -> Number:
    """Return the number of *many* bits from bit *at* on: T.81, figure F.12."""
    value = _bits(words, at, many)
    return value if many == 0 or value >> (many - 1) else value - (1 << many) + 1


@compiled
def _sequential(
    blocks: Blocks, words: Words, bounds: Numbers, order: Order, step: int,
    which: Numbers, dc: Numbers, ac: Numbers, tables: Lookups,
) -> bool:  # fmt: skip
    """T.81, F.2.2: a difference of DC, then runs of zeros and values."""
    before = np.zeros(len(dc), np.int64)
    for piece in range(len(bounds) - 1):
        at = bounds[piece]
        before[:] = 0
        for place in range(piece * step, min((piece + 1) * step, len(order))):
            block, part = order[place], which[place % len(which)]
            entry = np.int64(tables[dc[part], _bits(words, at, LONGEST)])
            size = entry & 255
            at += entry >> 8
            if entry == 0 or size > 15 or at > bounds[piece + 1]:
                return False
            before[part] += _value(words, at, size)
            at += size
            blocks[block, 0] = before[part]
            k: Number = 1
            while k < 64:
                entry = np.int64(tables[ac[part], _bits(words, at, LONGEST)])
                if entry == 0:
                    return False
                at += entry >> 8
                run, size = entry >> 4 & 15, entry & 15
                k += run
                if size == 0:
                    if run < 15:
                        break
                elif k < 64:
                    blocks[block, k] = _value(words, at, size)
                    at += size
                else:
                    return False
                k += 1
        if at > bounds[piece + 1]:
            return False
    return True


@compiled
def _dc_first(
    blocks: Blocks, words: Words, bounds: Numbers, order: Order, step: int,
    which: Numbers, dc: Numbers, tables: Lookups, low: int,
) -> bool:  # fmt: skip
    """T.81, G.1.2.1: differences of DC without its lowest bits."""
    before = np.zeros(len(dc), np.int64)
    for piece in range(len(bounds) - 1):
        at = bounds[piece]
        before[:] = 0
        for place in range(piece * step, min((piece + 1) * step, len(order))):
            part = which[place % len(which)]
            entry = np.int64(tables[dc[part], _bits(words, at, LONGEST)])
            size = entry & 255
            at += entry >> 8
            if entry == 0 or size > 15 or at > bounds[piece + 1]:
                return False
            before[part] += _value(words, at, size)
            at += size
            blocks[order[place], 0] = before[part] << low
        if at > bounds[piece + 1]:
            return False
    return True


@compiled
def _dc_again(
    blocks: Blocks, words: Words, bounds: Numbers, order: Order, step: int, low: int
) -> bool:
    """T.81, G.1.2.1: one more bit of each DC."""
    for piece in range(len(bounds) - 1):
        at = bounds[piece]
        for place in range(piece * step, min((piece + 1) * step, len(order))):
            if at >= bounds[piece + 1]:
                return False
            blocks[order[place], 0] |= _bits(words, at, 1) << low
            at += 1
    return True


@compiled
def _ac_first(
    blocks: Blocks, words: Words, bounds: Numbers, order: Order, step: int,
    ac: Lookup, span: tuple[int, int], low: int,
) -> bool:  # fmt: skip
    """T.81, G.1.2.2: as sequential, and runs of blocks that have no more."""
    first, last = span
    for piece in range(len(bounds) - 1):
        at = bounds[piece]
        ended: Number = 0
        for place in range(piece * step, min((piece + 1) * step, len(order))):
            if ended > 0:
                ended -= 1
                continue
            block, k = order[place], np.int64(first)
            while k <= last:
                entry = np.int64(ac[_bits(words, at, LONGEST)])
                at += entry >> 8
                if entry == 0 or at > bounds[piece + 1]:
                    return False
                run, size = entry >> 4 & 15, entry & 15
                if size == 0 and run < 15:
                    ended = (1 << run) - 1 + _bits(words, at, run)
                    at += run
                    break
                k += run
                if k > last:
                    return False
                if size > 0:
                    blocks[block, k] = _value(words, at, size) << low
                    at += size
                k += 1
        if at > bounds[piece + 1]:
            return False
    return True


@compiled
def _ac_again(
    blocks: Blocks, words: Words, bounds: Numbers, order: Order, step: int,
    ac: Lookup, span: tuple[int, int], low: int,
) -> bool:  # fmt: skip
    """T.81, G.1.2.3: one more bit of what there is, and what appears with this bit."""
    first, last = span
    for piece in range(len(bounds) - 1):
        at = bounds[piece]
        ended: Number = 0
        for place in range(piece * step, min((piece + 1) * step, len(order))):
            block, k = order[place], np.int64(first)
            if at > bounds[piece + 1]:
                return False
            while k <= last:
                run: Number = 64
                new = 0  # in a run of ended blocks: bits of what there is, no more
                if ended == 0:
                    entry = np.int64(ac[_bits(words, at, LONGEST)])
                    at += entry >> 8
                    if entry == 0 or at > bounds[piece + 1]:
                        return False
                    run, size = entry >> 4 & 15, entry & 15
                    if size == 0 and run < 15:
                        ended = (1 << run) + _bits(words, at, run)
                        at += run
                        run = 64
                    elif size > 0:
                        new = 1 if _bits(words, at, 1) else -1
                        at += 1
                while k <= last:
                    old = np.int64(blocks[block, k])
                    if old != 0:
                        if _bits(words, at, 1):
                            blocks[block, k] = old + ((1 << low) if old > 0 else -(1 << low))
                        at += 1
                    elif run == 0:
                        break
                    else:
                        run -= 1
                    k += 1
                if new != 0:
                    if k > last:
                        return False
                    blocks[block, k] = new << low
                k += 1
            if ended > 0:
                ended -= 1
        if at > bounds[piece + 1]:
            return False
    return True
