"""What a JPEG says of itself, read before anything is decoded.

A few bytes can claim any size and ask for any number of passes over it, and libjpeg-turbo
believes them. It also takes for whole what no encoder writes: a progressive file that ends
between two scans, and zeros that happen to decode. All of this is in plain sight.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_SOF_BASELINE, _SOF_EXTENDED, _SOF_PROGRESSIVE = 0xC0, 0xC1, 0xC2
_SOF_OTHERS = frozenset(range(0xC3, 0xD0)) - {0xC4, 0xC8, 0xCC}
_DHT, _EOI, _SOS = 0xC4, 0xD9, 0xDA
_BARE = frozenset({0x00, 0x01, *range(0xD0, 0xD9)})
"""Markers that have no length, and no place between segments."""

_SEGMENTS = 5000
_SCANS = 100
"""Encoders write 10 or so; each is a pass over the whole picture."""

_ZEROS = bytes(512)
_NEXT_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A picture as its header has it."""

    width: int
    height: int
    memory: int
    """Bytes of coefficients that a decoder holds at once: 0 where one scan has them all."""


def frame(data: bytes) -> Frame:
    """Return the frame of the JPEG *data*, its scans checked as far as headers tell.

    Raises ValueError or LookupError for what no decoder of ours should be given.
    """
    head = b""
    for marker, start, stop in segments(data):
        if marker in (_SOF_BASELINE, _SOF_EXTENDED, _SOF_PROGRESSIVE):
            head, progressive = data[start:stop], marker == _SOF_PROGRESSIVE
        elif marker in _SOF_OTHERS:
            raise ValueError("lossless, hierarchical or arithmetic coding")
        elif marker == _SOS:
            break
    else:
        raise ValueError("no scan")
    if not head:
        raise ValueError("a scan before the frame")
    height, width, parts = head[1] << 8 | head[2], head[3] << 8 | head[4], head[5]
    passes = progressive or data[start] < parts
    if passes or data.find(_ZEROS, stop) >= 0:
        _check_scans(data, head, progressive)
    memory = 2 * _samples(width, height, head) if passes else 0
    return Frame(width=width, height=height, memory=memory)


def segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield the marker of each segment, where its content starts and stops, to the image's end.

    What is between the stop of a scan's header and the next segment is the scan. Raises ValueError
    or IndexError where the bytes are no such chain.
    """
    at = 2
    for _ in range(_SEGMENTS):
        while data[at] == 0xFF and data[at + 1] == 0xFF:
            at += 1
        marker = data[at + 1]
        if data[at] != 0xFF or marker in _BARE:
            raise ValueError("no marker where one must be")
        if marker == _EOI:
            yield marker, at + 2, at + 2
            return
        stop = at + 2 + (data[at + 2] << 8 | data[at + 3])
        yield marker, at + 4, stop
        at = stop
        if marker == _SOS:
            found = _NEXT_MARKER.search(data, at)
            if not found:
                raise ValueError("no end")
            at = found.start()
    raise ValueError(f"more than {_SEGMENTS} segments")


def _samples(width: int, height: int, head: bytes) -> int:
    """Return how many samples all components have together."""
    factors = [(each >> 4, each & 15) for each in head[7::3][: head[5]]]
    widest, tallest = max(h for h, _ in factors), max(v for _, v in factors)
    if not widest or not tallest:
        raise ValueError("components of no size")
    return sum(width * h * height * v // (widest * tallest) for h, v in factors)


def _check_scans(data: bytes, head: bytes, progressive: bool) -> None:
    """Raise ValueError for too many scans, missing ones, and zeros that no encoder writes."""
    zeros_mean: dict[int, int] = {}
    open_bits = {part: [1] * 64 for part in head[6::3][: head[5]]}
    scans = 0
    for marker, start, stop in segments(data):
        if marker == _DHT:
            zeros_mean.update(_zero_codes(data[start:stop]))
        elif marker == _SOS:
            scans += 1
            if scans > _SCANS:
                raise ValueError(f"more than {_SCANS} scans")
            count = data[start]
            pairs = data[start + 1 : start + 1 + 2 * count]
            first, last, bits = data[start + 1 + 2 * count : start + 4 + 2 * count]
            for part in pairs[::2]:
                open_bits[part][first : last + 1] = [bits & 15] * (last + 1 - first)
            # Zeros are right where they mean "nothing here", or are the last bits of DC values.
            blank = first == 0 if progressive else not any(
                zeros_mean.get(0x10 | tables & 15) for tables in pairs[1::2]
            )  # fmt: skip
            if not blank and _zeroed(data, stop):
                raise ValueError("zeros in place of data")
    if progressive and any(any(bits) for bits in open_bits.values()):
        raise ValueError("its last scans are missing")


def _zero_codes(tables: bytes) -> dict[int, int]:
    """Return what a code of nothing but zeros stands for, by Huffman table."""
    found, at = {}, 0
    while at < len(tables):
        found[tables[at]] = tables[at + 17]
        at += 17 + sum(tables[at + 1 : at + 17])
    return found


def _zeroed(data: bytes, start: int) -> bool:
    """Tell whether the scan that begins at *start* has a stretch of zeros."""
    zeros = data.find(_ZEROS, start)
    return zeros >= 0 and not _NEXT_MARKER.search(data, start, zeros)
