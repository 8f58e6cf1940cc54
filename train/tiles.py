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

Pixels = npt.NDArray[np.uint8]
Box = tuple[int, int, int, int]
"""Left, top, right, bottom, in pixels of the whole picture."""

_SOF = (0xC0, 0xC1)
"""Baseline and extended sequential: one pass, Huffman codes."""
_RST0, _EOI, _SOS, _DRI = 0xD0, 0xD9, 0xDA, 0xDD
_BORDER = 2
"""Pixels at the edge of a tile that smooth upsampling of chroma takes from the tile beside it."""


def decode_crop(data: bytes, box: Box, *, shrink: int = 1) -> tuple[Pixels, tuple[int, int]]:
    """Return pixels (height x width x 3) that hold *box* of the JPEG *data*, and their corner.

    The corner (x, y) is where the first pixel lies in the whole picture. All pixels are those of
    a decode of the whole but for the outer two at edges that cut through the picture, and these
    are outside the box. A JPEG without tiles is decoded as a whole, its corner (0, 0). With a
    *shrink* of 2, 4 or 8 the pixels and their corner, not the box, are in so many times less.

    Raises ValueError for bytes that are no whole JPEG.
    """
    try:
        tiles = _tiles(data)
    except (LookupError, ZeroDivisionError) as error:
        raise ValueError("Its headers are broken.") from error
    if tiles is None:
        return _decode(data, shrink), (0, 0)
    part, (x, y) = _cut(data, tiles, box)
    return _decode(part, shrink), (x // shrink, y // shrink)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tiles:
    """Where the restart intervals of a picture lie, in rows and columns."""

    frame: int
    """First byte of the frame header's content."""
    scan: int
    """First byte of the scan's data."""
    picture: tuple[int, int]
    size: tuple[int, int]
    """Width and height of a tile, as of the picture; the last ones may reach beyond it."""
    ends: npt.NDArray[np.int64]
    """Rows x columns: the bytes of the scan's data before each tile's closing marker."""


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
    ends = _ends(data, stop, rows * columns)
    return ends if ends is None else _Tiles(
        frame=frame, scan=stop, picture=(width, height), size=(across * interval, down),
        ends=ends.reshape(rows, columns),
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


def _ends(data: bytes, scan: int, count: int) -> npt.NDArray[np.int64] | None:
    """Return where the *count* restart intervals end, or None if there are not so many."""
    coded = np.frombuffer(data, np.uint8, offset=scan)
    at = np.flatnonzero(coded[:-1] == 0xFF)
    codes = coded[at + 1]
    marks = at[(codes >= _RST0) & (codes <= _EOI)][:count]
    return marks if np.array_equal(coded[marks + 1], _codes(count)) else None


def _codes(count: int) -> npt.NDArray[np.uint8]:
    """Return the markers after *count* intervals: RST0 to RST7 in turn, and the end."""
    codes = (_RST0 + np.arange(count) % 8).astype(np.uint8)
    codes[-1] = _EOI
    return codes


def _cut(data: bytes, tiles: _Tiles, box: Box) -> tuple[bytearray, tuple[int, int]]:
    """Return the JPEG of the tiles that hold *box* and its border, and its corner."""
    (left, right), (top, bottom) = (
        _reach(*box[axis::2], tile=tiles.size[axis], tiles=tiles.ends.shape[1 - axis])
        for axis in (0, 1)
    )
    x, y = left * tiles.size[0], top * tiles.size[1]
    width = min(right * tiles.size[0], tiles.picture[0]) - x
    height = min(bottom * tiles.size[1], tiles.picture[1]) - y

    begins = np.concatenate(([0], tiles.ends.ravel()[:-1] + 2)).reshape(tiles.ends.shape)
    ends, begins = tiles.ends[top:bottom, left:right], begins[top:bottom, left]
    stops = ends[:, -1] + 2  # each row of tiles is one piece, with the marker that closes it
    pieces = zip((tiles.scan + begins).tolist(), (tiles.scan + stops).tolist(), strict=True)
    part = bytearray().join([data[: tiles.scan], *(data[begin:stop] for begin, stop in pieces)])
    moved = tiles.scan + np.cumsum(stops - begins) - stops
    np.frombuffer(part, np.uint8)[(ends + 1 + moved[:, None]).ravel()] = _codes(ends.size)
    sides = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    part[tiles.frame + 1 : tiles.frame + 5] = sides
    return part, (x, y)


def _reach(first: int, stop: int, *, tile: int, tiles: int) -> tuple[int, int]:
    """Return the range of tiles that hold the pixels from *first* to before *stop*."""
    begin = min(max(0, (first - _BORDER) // tile), tiles - 1)
    return begin, max(begin + 1, min(-(-(stop + _BORDER) // tile), tiles))


def _decode(data: bytes | bytearray, shrink: int) -> Pixels:
    if shrink == 1:
        whole: Pixels = simplejpeg.decode_jpeg(data, "RGB", fastdct=True)
        return whole
    height, width, *_ = simplejpeg.decode_jpeg_header(data)
    scaled: Pixels = simplejpeg.decode_jpeg(
        data, "RGB", fastdct=True, min_factor=shrink,
        min_height=-(-height // shrink), min_width=-(-width // shrink),
    )  # fmt: skip
    return scaled
