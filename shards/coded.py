"""A JPEG taken apart: its frame, quantisation tables and coefficients (ITU-T T.81, annex B)."""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from flora import jpegs
from flora.pictures import DECODE_BYTES
from shards import huffman
from shards.coefficients import Blocks, Lookups, Part, Scan, decode

SOF_BASELINE, SOF_EXTENDED, _SOF_PROGRESSIVE = 0xC0, 0xC1, 0xC2
DHT, EOI, SOS, DQT, DRI, JFIF, _ADOBE = 0xC4, 0xD9, 0xDA, 0xDB, 0xDD, 0xE0, 0xEE
_RESTART = re.compile(rb"\xff+[\xd0-\xd7]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Coded:
    """What is kept of a JPEG."""

    frame: bytes
    marker: int
    """Baseline, or extended if a quantisation table has 16 bits."""
    quantisers: tuple[bytes, ...]
    parts: tuple[Part, ...]
    blocks: Blocks
    columns: int
    """MCUs in a row."""
    mcu: int
    """Pixels that one is wide."""


def read(data: bytes) -> Coded:
    """Take the JPEG *data* apart, sequential or progressive.

    Raises ValueError or LookupError for bytes that are broken, and for what cannot stay as it is:
    CMYK, RGB that is not YCbCr, coding that is neither baseline nor progressive.
    """
    tables = np.zeros((8, 1 << huffman.LONGEST), np.uint16)
    quantisers: dict[int, bytes] = {}
    frame, interval, progressive = b"", 0, False
    parts: tuple[Part, ...] = ()
    blocks = np.zeros((0, 64), np.int16)
    scan, begin = None, 0
    labels = set()
    for marker, start, stop in jpegs.segments(data):
        body = data[start:stop]
        if scan:
            end = start - (2 if marker == EOI else 4)
            decode(blocks, _pieces(data[begin:end], scan), scan, tables)
            scan = None
        if marker in (SOF_BASELINE, SOF_EXTENDED, _SOF_PROGRESSIVE):
            frame, progressive = body, marker == _SOF_PROGRESSIVE
            parts = _parts(frame)
            blocks = np.zeros((sum(part.grid.size for part in parts), 64), np.int16)
        elif marker == DHT:
            _read_tables(body, tables)
        elif marker == DQT:
            if begin:
                raise ValueError("other quantisation for other scans")
            quantisers.update(_read_quantisers(body))
        elif marker == DRI:
            interval = body[0] << 8 | body[1]
        elif marker in (JFIF, _ADOBE):
            labels.add((marker, body[11:12] if marker == _ADOBE else body[:4]))
        elif marker == SOS:
            scan, begin = _scan(body, parts, interval, progressive), stop
    if not begin:
        raise ValueError("no scan")
    _check_colours(parts, labels)
    used = tuple(quantisers[part] for part in sorted({part.table for part in parts}))
    wide = any(table[0] >> 4 for table in used)
    columns, mcu = (
        (parts[0].columns, 8) if len(parts) == 1
        else (parts[0].grid.shape[1] // parts[0].across, 8 * max(part.across for part in parts))
    )  # fmt: skip
    return Coded(
        frame=frame, marker=SOF_EXTENDED if wide else SOF_BASELINE, quantisers=used,
        parts=parts, blocks=blocks, columns=columns, mcu=mcu,
    )  # fmt: skip


def _pieces(coded: bytes, scan: Scan) -> list[bytes]:
    return _RESTART.split(coded) if scan.interval else [coded]


def _check_colours(parts: tuple[Part, ...], labels: set[tuple[int, bytes]]) -> None:
    """Raise ValueError unless every decoder will take *parts* for grey or YCbCr."""
    if len(parts) == 1 or (JFIF, b"JFIF") in labels:
        return
    adobe = {transform for marker, transform in labels if marker == _ADOBE}
    rgb = b"\0" in adobe or (not adobe and bytes(part.id for part in parts) == b"RGB")
    if rgb:
        raise ValueError("neither grey nor YCbCr")


def _parts(frame: bytes) -> tuple[Part, ...]:
    """Return the components of a frame header (T.81, B.2.2), with room for their blocks."""
    if len(frame) < 6:
        raise ValueError("a frame cut short")
    bits, height, width, count = struct.unpack(">BHHB", frame[:6])
    if count not in (1, 3):
        raise ValueError("neither grey nor YCbCr")
    each = [frame[at : at + 3] for at in range(6, 6 + 3 * count, 3)]
    factors = [(part[1] >> 4, part[1] & 15) for part in each]
    widest, tallest = max(across for across, _ in factors), max(down for _, down in factors)
    if bits != 8 or not (width and height) or not all(0 < min(f) <= max(f) <= 4 for f in factors):
        raise ValueError("not 8 bits, or no size")
    if 2 * width * height * count > DECODE_BYTES:
        raise ValueError("too large to hold its coefficients")
    columns, rows = -(-width // (8 * widest)), -(-height // (8 * tallest))
    parts, first = [], 0
    for (id, _, table), (across, down) in zip(each, factors, strict=True):
        shape = rows * down, columns * across
        size = shape[0] * shape[1]
        parts.append(
            Part(
                id=id, across=across, down=down, table=table,
                grid=np.arange(first, first + size, dtype=np.int32).reshape(shape),
                rows=-(-height * down // (8 * tallest)),
                columns=-(-width * across // (8 * widest)),
            )
        )  # fmt: skip
        first += size
    return tuple(parts)


def _scan(body: bytes, parts: tuple[Part, ...], interval: int, progressive: bool) -> Scan:
    """Return what a scan header (T.81, B.2.3) announces."""
    count = body[0]
    by_id = {part.id: part for part in parts}
    first, last, bits = body[1 + 2 * count : 4 + 2 * count]
    tables = body[2 : 2 + 2 * count : 2]
    if any(table & 0x88 or table & 0x44 for table in tables):
        raise ValueError("a Huffman table of no number")
    several = progressive and first > 0 and count > 1
    if several or last > 63 or first > last or bits & 15 > 13:
        raise ValueError("a scan of nothing")
    return Scan(
        parts=tuple(by_id[id] for id in body[1 : 1 + 2 * count : 2]),
        dc=tuple(table >> 4 for table in tables), ac=tuple(4 + (table & 15) for table in tables),
        interval=interval, progressive=progressive,
        first=first, last=last, high=bits >> 4, low=bits & 15,
    )  # fmt: skip


def _read_tables(body: bytes, tables: Lookups) -> None:
    """Put the Huffman tables of a DHT segment (T.81, B.2.4.2) into their rows: DC, then AC."""
    at = 0
    while at < len(body):
        lengths = body[at + 1 : at + 17]
        end = at + 17 + sum(lengths)
        row = 4 * (body[at] >> 4 & 1) + (body[at] & 3)
        tables[row] = huffman.lookup(lengths, body[at + 17 : end])
        at = end


def _read_quantisers(body: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield number and bytes of each table of a DQT segment (T.81, B.2.4.1)."""
    at = 0
    while at < len(body):
        end = at + 1 + 64 * (2 if body[at] >> 4 else 1)
        yield body[at] & 15, body[at:end]
        at = end
