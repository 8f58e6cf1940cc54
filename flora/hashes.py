"""Perceptual hashes from grey pixels: the 64-bit pHash, and the 256-bit PDQ with its quality.

Both shrink the picture, transform it into frequencies (DCT-II) and hold the low ones against
their median. pHash is the ImageHash package's: Lanczos to 32 x 32, the 8 x 8 lowest. PDQ is
Facebook's (ThreatExchange, 2019), as in the pdqhash package: a tent filter, every so-many-th
pixel to 64 x 64, frequencies 1 to 16 each way. Shrinking and DCT are linear and separable, so
here each is a pair of small matrices, kept by size: bits = A @ pixels @ B.T > median.

PDQ moves by several bits with the size at which a picture is decoded, so hashes to compare come
from `flora.pictures.inspect` alone.
"""

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

PIPELINE = 1
"""Version of the way from bytes to hashes: the grey pixels of `flora.pictures`, and this file.
Raise it with any change to either: hashes of two versions must not be compared."""

_SIDE, _KEPT = 32, 8
_PDQ_SIDE, _PDQ_KEPT, _PDQ_LEAST = 64, 16, 5
_BAND = 8
_LONGEST, _REMEMBERED = 1024, 512  # the matrices of a side take 66 KB at most: 34 MB in all
_TIE = 0.003  # rounding moves a frequency by 0.0009 at most, in photographs of 0.1 to 12 megapixels
_ODD = np.uint64(0x5555555555555555)

Grey = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Words = npt.NDArray[np.uint64]


def phash(grey: Grey | Floats) -> int:
    """Return the 64-bit pHash of *grey* (0..255, height x width), first bit highest.

    Within 2 bits of `imagehash.phash` on 99% of photographs (Pillow rounds to whole grey
    levels between its two passes, this does not).
    """
    height, width = grey.shape
    pixels = np.asarray(grey, dtype=np.float32)
    low = _side(height).low @ pixels @ _side(width).low.T
    ordered = np.sort(low, axis=None)
    bits = low > (ordered[31] + ordered[32]) / 2  # the median; np.median takes ten times longer
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def pdq(grey: Grey | Floats) -> tuple[bytes, int]:
    """Return the PDQ hash (32 bytes) of *grey* (0..255, height x width), and its quality, 0..100.

    The bits are those of `pdqhash.compute` for a picture whose red, green and blue are *grey*,
    first bit highest. Where the frequencies in the middle tie (blank or symmetric pictures),
    rounding decides them, so then the sums are done in the order of that package, which takes
    milliseconds. Pictures under 5 pixels a side have hash and quality 0, as there.
    """
    height, width = grey.shape
    if min(height, width) < _PDQ_LEAST:
        return bytes(32), 0
    pixels = np.asarray(grey, dtype=np.float32)
    small = _shrink(_shrink(pixels, _side(height)).T, _side(width)).T
    low = np.asarray(_PDQ_DCT @ small @ _PDQ_DCT.T, dtype=np.float32)
    below, above = np.sort(low, axis=None)[127:129]
    if above - below < _TIE:
        small = _shrink_in_order(pixels)
        low = _transform_in_order(small)
        below = np.sort(low, axis=None)[127]
    bits = low > below
    return np.packbits(bits.ravel()[::-1]).tobytes(), _quality(small)


def mirror_phash(hashes: Words) -> Words:
    """Return the pHashes (n) of the mirrored pictures, left for right.

    Mirroring changes the sign of every odd frequency across, and so its bit, as if the median
    were 0. It is a little off 0, and so are some bits: of 565 photographs, 4 in the median, 14
    at most, 98% within 8.
    """
    return hashes ^ _ODD


def mirror_pdq(hashes: Words) -> Words:
    """Return the PDQ hashes (n x 4) of the mirrored pictures, left for right.

    As `mirror_phash`. PDQ's even windows see further ahead than behind, so a mirrored picture
    is also a little displaced: of 565 photographs, 10 bits are off in the median, 46 at most,
    98% are within 31.
    """
    return hashes ^ _ODD


def words(column: pa.ChunkedArray) -> Words:
    """Return PDQ hashes (fixed_size_binary(32), no nulls) as n x 4 words.

    Good for distances and mirrors; as numbers they depend on the machine's byte order.
    Raises ValueError if a hash is missing.
    """
    if column.null_count:
        raise ValueError(f"{column.null_count} of {len(column)} PDQ hashes are missing.")
    chunks = [
        np.frombuffer(chunk.buffers()[1], np.uint64)[4 * chunk.offset :][: 4 * len(chunk)]
        for chunk in column.chunks
        if len(chunk)
    ]
    return np.concatenate([np.empty(0, np.uint64), *chunks]).reshape(-1, 4)


def distance(a: Words, b: Words) -> npt.NDArray[np.uint8]:
    """Return the Hamming distances between hashes, element by element, with broadcasting."""
    return np.asarray(np.bitwise_count(a ^ b))


def _shrink(pixels: Floats, side: "_Side") -> Floats:
    """Return *pixels* filtered and cut down to 64 rows, band by band."""
    out = np.empty((_PDQ_SIDE, pixels.shape[1]), np.float32)
    for number, (rows, weights) in enumerate(side.bands):
        np.matmul(weights, pixels[rows], out=out[_BAND * number : _BAND * (number + 1)])
    return out


def _shrink_in_order(pixels: Floats) -> Floats:
    """Return the 64 x 64 as PDQ's reference sums it up: running means, rounded at every step."""
    for _ in range(2):
        pixels = _running_mean(_running_mean(pixels.T).T)
    rows, columns = (_left(size) for size in pixels.shape)
    return pixels[rows][:, columns]


def _running_mean(pixels: Floats) -> Floats:
    """Return the means down the columns: a pixel comes in, then one goes out."""
    size = len(pixels)
    window, ahead, _ = _window(size)
    full = size - window
    terms = np.empty((window + 2 * full + ahead, pixels.shape[1]), np.float32)
    terms[:window] = pixels[:window]
    terms[window : window + 2 * full : 2] = pixels[window:]
    terms[window + 1 : window + 2 * full : 2] = -pixels[:full]
    terms[window + 2 * full :] = -pixels[full : full + ahead]
    sums = np.add.accumulate(terms, axis=0)
    ends = np.r_[ahead:window, window + 1 : window + 2 * full : 2]
    ends = np.r_[ends, window + 2 * full : len(terms)]
    counts = np.r_[ahead + 1 : window + 1, [window] * full, window - 1 : window - 1 - ahead : -1]
    return np.asarray(sums[ends] / counts[:, None].astype(np.float32))


def _transform_in_order(small: Floats) -> Floats:
    """Return the 16 x 16 frequencies of *small*, each sum from its first term to its last."""
    half = np.add.accumulate(_PDQ_DCT[:, :, None] * small, axis=1)[:, -1]
    return np.asarray(np.add.accumulate(half[:, None] * _PDQ_DCT, axis=2)[:, :, -1])


def _quality(small: Floats) -> int:
    """Return PDQ's quality of the 64 x 64: its steps in whole percent of the range, summed up."""
    steps = (small[1:] - small[:-1], small[:, 1:] - small[:, :-1])
    total = sum(int(np.abs(step * 100 / 255).astype(np.int32).sum()) for step in steps)
    return min(total // 90, 100)


@dataclass(frozen=True, slots=True)
class _Side:
    """The matrices for a side of one size."""

    low: Floats
    """8 x size: resizes to 32 and transforms."""
    bands: tuple[tuple[slice, Floats], ...]
    """Filters and cuts down to 64, eight outputs at a time: which pixels they see, and weights."""


def _side(size: int) -> _Side:
    """Return the matrices for *size* pixels. Those of sides that `inspect` sees are kept."""
    return (_remembered if size <= _LONGEST else _build)(size)


def _build(size: int) -> _Side:
    low = _dct(range(_KEPT), _SIDE) @ _lanczos(size, _SIDE)
    tents, bands = _tents(size), []
    for top in range(0, _PDQ_SIDE, _BAND):
        band = tents[top : top + _BAND]
        seen = np.flatnonzero(band.any(axis=0))
        rows = slice(int(seen[0]), int(seen[-1]) + 1)
        bands.append((rows, np.ascontiguousarray(band[:, rows], dtype=np.float32)))
    return _Side(np.ascontiguousarray(low, dtype=np.float32), tuple(bands))


_remembered = functools.lru_cache(maxsize=_REMEMBERED)(_build)


def _dct(frequencies: range, size: int) -> npt.NDArray[np.float64]:
    """Return the rows of a DCT-II (len(frequencies) x size), in PDQ's scale for all of them."""
    k, n = np.array(frequencies)[:, None], np.arange(size)[None, :]
    scale = np.float64(np.float32(np.sqrt(2 / size)))
    return np.asarray(scale * np.cos(np.pi / 2 / size * k * (2 * n + 1)))


_PDQ_DCT = _dct(range(1, _PDQ_KEPT + 1), _PDQ_SIDE).astype(np.float32)


def _lanczos(size: int, target: int) -> npt.NDArray[np.float64]:
    """Return the weights (target x size) with which Pillow resizes: Lanczos, three lobes."""
    scale = size / target
    stretch = max(scale, 1.0)
    centre = (np.arange(target) + 0.5)[:, None] * scale
    x = (np.arange(size)[None, :] + 0.5 - centre) / stretch
    weights = np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0.0)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _tents(size: int) -> npt.NDArray[np.float64]:
    """Return the weights (64 x size) of PDQ's filter at the 64 pixels that are left.

    A running mean over a 128th of the side, run twice. At the edges it has fewer pixels; an
    even window sees one more ahead than behind.
    """
    at, (_, ahead, behind) = np.arange(size), _window(size)
    first, end = np.maximum(at - behind, 0), np.minimum(at + ahead + 1, size)
    left = _left(size)[:, None]
    second = ((first[left] <= at) & (at < end[left])) / (end - first)[left]
    sums = np.pad(np.cumsum(second / (end - first), axis=1), ((0, 0), (1, 0)))
    return np.asarray(
        sums[:, np.minimum(at + behind + 1, size)] - sums[:, np.maximum(at - ahead, 0)]
    )


def _window(size: int) -> tuple[int, int, int]:
    """Return how many pixels PDQ's running mean sees in all, ahead and behind."""
    window = -(-size // (2 * _PDQ_SIDE))
    return window, window // 2, (window - 1) // 2


def _left(size: int) -> npt.NDArray[np.int64]:
    """Return the 64 pixels of *size* that PDQ leaves."""
    return ((np.arange(_PDQ_SIDE) + 0.5) * size / _PDQ_SIDE).astype(np.int64)
