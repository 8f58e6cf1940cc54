"""A JPEG coded anew without touching its pixels: shorter, and cut into tiles by restart markers.

The coefficients stay; sequential or progressive, they become one baseline scan with the shortest
Huffman tables there are for them (ITU-T T.81, annex K.2) and a restart marker every so many MCUs,
an even part of a row, so that a reader can decode just the tiles under a crop. Metadata goes.
"""

import struct
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from flora.compiled import compiled
from shards import coded, huffman
from shards.coded import DHT, DQT, DRI, EOI, JFIF, SOS, Coded
from shards.coefficients import Blocks, Lookups, Numbers, Order, arrange, belonging

TILE = 32
"""Pixels that a tile is wide, about: wide ones bring more than the crop needs, narrow ones cost
bytes (docs/forms.md)."""

_RST0 = 0xD0
_JFIF_BODY = b"JFIF\0\1\1\0\0\1\0\1\0\0"
_DC_LARGEST, _AC_LARGEST = 11, 10
"""Bits that a difference of DC and an AC coefficient have at most: T.81, F.1.2."""


def restart_interval(columns: int, mcu: int) -> int:
    """Return how many MCUs, of *mcu* pixels each, a tile should have of the *columns* in a row."""
    parts = [part for part in range(1, columns + 1) if columns % part == 0]
    return min(parts, key=lambda part: max(part * mcu, TILE) / min(part * mcu, TILE))


def recode(data: bytes) -> bytes:
    """Return the JPEG *data* coded anew: the same pixels, the shortest tables, restart markers.

    Raises ValueError or LookupError for bytes that are broken, and for what cannot stay as it is:
    CMYK, RGB that is not YCbCr, coding that is neither baseline nor progressive.
    """
    picture = coded.read(data)
    order, unit = arrange(picture.parts)
    interval = restart_interval(picture.columns, picture.mcu)
    pieces, tables = _code(picture, order, unit * interval)
    identities = [(part.id, 0x11 * (number > 0)) for number, part in enumerate(picture.parts)]
    restarts = [b"\xff%c" % (_RST0 + number % 8) for number in range(len(pieces) - 1)]
    return b"".join(
        [
            b"\xff\xd8",
            _segment(JFIF, _JFIF_BODY),
            *(_segment(DQT, table) for table in picture.quantisers),
            _segment(picture.marker, picture.frame),
            *(_segment(DHT, table) for table in tables),
            _segment(DRI, struct.pack(">H", interval)),
            _segment(SOS, bytes([len(identities), *sum(identities, ()), 0, 63, 0])),
            *(part for pair in zip(pieces, [*restarts, b"\xff%c" % EOI], strict=True)
              for part in pair),
        ]
    )  # fmt: skip


def _segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def _code(picture: Coded, order: Order, step: int) -> tuple[list[bytes], list[bytes]]:
    """Return the restart intervals of *step* blocks, and the tables they are coded with."""
    intervals = -(-len(order) // step)
    room = np.count_nonzero(picture.blocks) + 5 * len(order)  # DC, up to three runs of 16, end
    symbols, extras = np.empty(room, np.uint16), np.empty(room, np.uint16)
    ends = np.empty(intervals, np.int64)
    count = _symbols(
        picture.blocks, picture.blocks.view(np.int64), order, step, belonging(picture.parts),
        symbols, extras, ends,
    )  # fmt: skip
    counts = np.bincount(symbols[:count], minlength=4 * 256).reshape(4, 256)
    sizes = np.arange(256) & 15
    if counts[::2, _DC_LARGEST + 1 :].any() or counts[1::2, sizes > _AC_LARGEST].any():
        raise ValueError("coefficients that baseline has no codes for")
    codes, lengths = np.zeros((4, 256), np.int64), np.zeros((4, 256), np.int64)
    tables = []
    for row in range(4 if len(picture.parts) > 1 else 2):
        table = huffman.best(counts[row])
        codes[row], lengths[row] = huffman.codes(*table)
        tables.append(bytes([row % 2 << 4 | row // 2]) + table[0] + table[1])
    bits = int((counts * (lengths + sizes)).sum())
    packed, stops = np.empty(bits // 8 + intervals + 8, np.uint8), np.empty(intervals, np.int64)
    _pack(symbols, extras, ends, codes.ravel(), lengths.ravel(), packed, stops)
    whole, begins = packed.tobytes(), [0, *stops.tolist()]
    pieces = [whole[begin:stop] for begin, stop in pairwise(begins)]
    return [piece.replace(b"\xff", b"\xff\x00") for piece in pieces], tables


@compiled
def _symbols(
    blocks: Blocks, quads: Numbers, order: Order, step: int, which: Numbers,
    symbols: Lookups, extras: Lookups, ends: Numbers,
) -> int:  # fmt: skip
    """Write down the symbols (table << 8 | symbol) and their extra bits; return how many.

    T.81, F.1.2. *quads* are the blocks again, four coefficients as one: most are 0. *ends* says
    how many symbols there are up to the end of each interval. The first part has tables 0 (DC) and
    1 (AC), others have 2 and 3.
    """
    before = np.zeros(which.max() + 1, np.int64)
    count = 0
    for place in range(len(order)):
        if place % step == 0:
            before[:] = 0
        block, part = order[place], which[place % len(which)]
        table = 512 if part > 0 else 0
        run = 0
        for quad in range(16):
            if quad > 0 and quads[block, quad] == 0:
                run += 4
                continue
            for k in range(4 * quad, 4 * quad + 4):
                value = np.int64(blocks[block, k])
                if k == 0:
                    value, before[part] = value - before[part], value
                elif value == 0:
                    run += 1
                    continue
                while run > 15:
                    symbols[count], extras[count] = table | 256 | 0xF0, 0
                    count, run = count + 1, run - 16
                size, rest = 0, abs(value)
                while rest > 0:
                    size, rest = size + 1, rest >> 1
                symbols[count] = table | size if k == 0 else table | 256 | run << 4 | size
                extras[count] = value if value >= 0 else value + (1 << size) - 1
                count, run = count + 1, 0
        if run > 0:
            symbols[count], extras[count] = table | 256, 0
            count += 1
        ends[place // step] = count
    return count


@compiled
def _pack(
    symbols: Lookups, extras: Lookups, ends: Numbers, codes: Numbers, lengths: Numbers,
    packed: npt.NDArray[np.uint8], stops: Numbers,
) -> None:  # fmt: skip
    """Write the codes of *symbols*, each interval filled up with ones to whole bytes."""
    at = place = held = bits = 0
    for interval in range(len(ends)):
        while place < ends[interval]:
            symbol = np.int64(symbols[place])
            size = symbol & 15
            bits = (bits << lengths[symbol] | codes[symbol]) << size | np.int64(extras[place])
            held += lengths[symbol] + size
            while held >= 8:
                held -= 8
                packed[at] = bits >> held & 255
                at += 1
            bits &= (1 << held) - 1
            place += 1
        if held > 0:
            packed[at] = (bits << (8 - held) | (1 << (8 - held)) - 1) & 255
            at += 1
            held = bits = 0
        stops[interval] = at
