"""Decode only the part of a JPEG that a crop needs: the tiles between its restart markers.

What follows a restart marker is decodable by itself. Where the markers stand an even part of a row
of MCUs apart, as in the shards' `train` form, they cut the picture into tiles. Those under a crop,
put one after another, are the scan of a smaller JPEG with the same tables (ITU-T T.81, F.2.1 and
G.1): only they are decoded. Most of decoding is Huffman codes, which no DCT scale saves.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import simplejpeg

from flora import jpegs
from flora.compiled import compiled

Pixels = npt.NDArray[np.uint8]
Box = tuple[int, int, int, int]
"""Left, top, right, bottom, in pixels of the whole picture."""

_SOF = (0xC0, 0xC1)
"""Baseline and extended sequential: one pass, Huffman codes."""
_RST0, _EOI, _SOS, _DRI = 0xD0, 0xD9, 0xDA, 0xDD
_LOW, _HIGH = np.uint64(0x0101010101010101), np.uint64(0x8080808080808080)


def decode_crop(data: bytes, box: Box, *, shrink: int = 1) -> tuple[Pixels, tuple[int, int]]:
    """Return pixels (height x width x 3) that hold *box* of the JPEG *data*, and their corner.

    The corner (x, y) is where the first pixel lies in the whole picture. All pixels are those of
    a decode of the whole but for the outermost at edges that cut through the picture, and these
    are outside the box. A JPEG without tiles is decoded as a whole, its corner (0, 0). With a
    *shrink* of 2, 4 or 8 the pixels and their corner, not the box, are in so many times less.

    Raises ValueError for bytes that are no whole JPEG, as far as they are looked at.
    """
    try:
        tiles = _tiles(data)
    except (LookupError, ZeroDivisionError) as error:
        raise ValueError("Its headers are broken.") from error
    part, (x, y) = (data, (0, 0)) if tiles is None else _cut(data, tiles, box, shrink)
    return _decode(part, shrink), (x // shrink, y // shrink)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tiles:
    """How the restart intervals of a picture lie."""

    frame: int
    """First byte of the frame header's content."""
    scan: int
    """First byte of the scan's data."""
    picture: tuple[int, int]
    size: tuple[int, int]
    """Width and height of a tile, as of the picture; the last ones may reach beyond it."""
    count: tuple[int, int]
    """Columns and rows."""


def _tiles(data: bytes) -> _Tiles | None:
    """Return the tiles of *data*, or None where its restart markers make none."""
    frame = interval = 0
    for marker, start, stop in jpegs.segments(data):
        if marker in _SOF:
            frame = start
        elif marker == _DRI:
            interval = int.from_bytes(data[start:stop], "big")
        elif marker == _SOS:
            break
    else:
        return None
    if not frame or not interval or data[start] != data[frame + 5]:  # parts in scan and frame
        return None
    width, height, across, down = _grid(data, frame)
    columns, rest = divmod(-(-width // across), interval)
    rows = -(-height // down)
    if rest or not rows:
        return None
    return _Tiles(
        frame=frame, scan=stop, picture=(width, height), size=(across * interval, down),
        count=(columns, rows),
    )  # fmt: skip


def _grid(data: bytes, frame: int) -> tuple[int, int, int, int]:
    """Return width and height of the picture, and of an MCU."""
    height, width = data[frame + 1] << 8 | data[frame + 2], data[frame + 3] << 8 | data[frame + 4]
    factors = data[frame + 7 : frame + 6 + 3 * data[frame + 5] : 3]
    if len(factors) == 1:  # a scan of one part has MCUs of one block, whatever its factors
        return width, height, 8, 8
    return (
        width,
        height,
        8 * max(each >> 4 for each in factors),
        8 * max(each & 15 for each in factors),
    )


def _cut(
    data: bytes, tiles: _Tiles, box: Box, shrink: int
) -> tuple[bytes | Pixels, tuple[int, int]]:
    """Return the JPEG of the tiles that hold *box* and what is mixed into it, and its corner.

    It is *data* itself where that is all of them, or where the markers are not as they must be.
    """
    (left, right), (top, bottom) = (
        _reach(*box[axis::2], tile=tiles.size[axis], tiles=tiles.count[axis], shrink=shrink)
        for axis in (0, 1)
    )
    if (right - left, bottom - top) == tiles.count:
        return data, (0, 0)
    coded, part = np.frombuffer(data, np.uint8), np.empty(len(data), np.uint8)
    words = np.frombuffer(data, np.uint64, count=len(data) // 8)
    length = _copy(coded, words, tiles.scan, *tiles.count, left, top, right, bottom, part)
    if not length:
        return data, (0, 0)
    x, y = left * tiles.size[0], top * tiles.size[1]
    width = min(right * tiles.size[0], tiles.picture[0]) - x
    height = min(bottom * tiles.size[1], tiles.picture[1]) - y
    part[tiles.frame + 1 : tiles.frame + 5] = height >> 8, height & 255, width >> 8, width & 255
    return part[:length], (x, y)


def _reach(first: int, stop: int, *, tile: int, tiles: int, shrink: int) -> tuple[int, int]:
    """Return the range of tiles that hold the pixels from *first* to before *stop*.

    And one decoded pixel more at either end: smooth upsampling mixes its chroma into the next.
    """
    begin = min(max(0, (first // shrink - 1) * shrink // tile), tiles - 1)
    return begin, max(begin + 1, min(-((-stop // shrink - 1) * shrink // tile), tiles))


@compiled
def _copy(
    coded: Pixels, words: npt.NDArray[np.uint64], scan: int, columns: int, rows: int,
    left: int, top: int, right: int, bottom: int, part: Pixels,
) -> int:  # fmt: skip
    """Copy the headers and the wanted tiles of *coded*, their markers numbered anew, to *part*.

    Return how many bytes these are, or 0 where markers up to there are not as they must be.
    *words* are the same bytes by eights.
    """
    part[:scan] = coded[:scan]
    size, tile, begin, kept = scan, 0, scan, 0
    last, wanted = columns * rows - 1, (right - left) * (bottom - top)
    for word in range(scan // 8, len(words) + 1):
        if word < len(words):
            others = ~words[word]
            if (others - _LOW) & ~others & _HIGH == 0:  # no byte is FF
                continue
        for at in range(max(8 * word, scan), min(8 * word + 8, len(coded) - 1)):
            if coded[at] != 0xFF or not _RST0 <= coded[at + 1] <= _EOI:
                continue
            if coded[at + 1] != (_EOI if tile == last else _RST0 + tile % 8):
                return 0
            row, column = divmod(tile, columns)
            if row >= top and left <= column < right:
                into, piece = part[size:], coded[begin:at]  # so that their bytes move in blocks
                for each in range(len(piece)):
                    into[each] = piece[each]
                size += at - begin + 2
                part[size - 2], part[size - 1] = 0xFF, _RST0 + kept % 8
                kept += 1
                if kept == wanted:
                    part[size - 1] = _EOI
                    return size
            begin = at + 2
            tile += 1
    return 0


def _decode(data: bytes | Pixels, shrink: int) -> Pixels:
    if shrink == 1:
        whole: Pixels = simplejpeg.decode_jpeg(data, "RGB", fastdct=True)
        return whole
    height, width, *_ = simplejpeg.decode_jpeg_header(data)
    scaled: Pixels = simplejpeg.decode_jpeg(
        data, "RGB", fastdct=True, min_factor=shrink,
        min_height=-(-height // shrink), min_width=-(-width // shrink),
    )  # fmt: skip
    return scaled
