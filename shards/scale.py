"""Pixels made fewer: Pillow's bicubic filter in about a third of its time.

Pillow filters pixel by pixel. Here each pass adds up whole rows, which compilers turn into vector
instructions, and pixels are turned on their side in between. All arithmetic is in whole numbers,
so that every processor gives the same pixels: Pillow's, but for 1 or 2 of 255.
"""

import math
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from flora.compiled import compiled

Pixels = npt.NDArray[np.uint8]
"""Height x width (grey), or height x width x 4 (red, green, blue, and what does not matter)."""

_BITS = 20
_BLOCK = 8
_Weights = npt.NDArray[np.int32]
_Numbers = npt.NDArray[np.int64]


def shrink(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """Return *pixels* in *size* (width, height), no side of which is longer than it was."""
    kind, channels = (np.uint8, 1) if pixels.ndim == 2 else (np.uint32, 4)
    height, width = pixels.shape[:2]
    lower = _blended(pixels.reshape(height, width * channels), size[1]).view(kind)
    narrower = _blended(_turned(lower).view(np.uint8), size[0]).view(kind)
    return np.asarray(_turned(narrower).view(np.uint8).reshape(size[1], size[0], *pixels.shape[2:]))


def _blended(rows: Pixels, count: int) -> Pixels:
    """Return as many rows as *count*, each blended from those that lie about it."""
    if count == len(rows):
        return rows
    out = np.empty((count, rows.shape[1]), np.uint8)
    _blend(np.ascontiguousarray(rows), *_filter(len(rows), count), out)
    return out


@lru_cache(maxsize=256)
def _filter(size: int, target: int) -> tuple[_Numbers, _Weights]:
    """Return which rows, of *size*, go into each of *target* rows, and their weights.

    Keys' cubic convolution (1981) with a = -0.5, stretched where rows become fewer. The number of
    rows is made a multiple of 3, for `_blend`.
    """
    scale = size / target
    centre = (np.arange(target) + 0.5)[:, None] * scale
    taps = 3 * math.ceil(math.ceil(4 * scale) / 3)
    rows = (centre - 2 * scale + 0.5).astype(np.int64) + np.arange(taps)
    x = np.abs((rows + 0.5 - centre) / scale)
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    weights = np.where(x < 1, near, np.where(x < 2, far, 0)) * (rows >= 0) * (rows < size)
    whole = np.round(weights / weights.sum(axis=1, keepdims=True) * (1 << _BITS))
    return np.clip(rows, 0, size - 1), whole.astype(np.int32)


@compiled
def _blend(rows: Pixels, which: _Numbers, weights: _Weights, out: Pixels) -> None:
    """Fill *out* with the sums of *rows* by *weights*."""
    sums = np.empty(rows.shape[1], np.int32)
    for y in range(len(out)):
        sums[:] = 1 << (_BITS - 1)
        for tap in range(0, weights.shape[1], 3):
            a, b, c = weights[y, tap], weights[y, tap + 1], weights[y, tap + 2]
            one, two = rows[which[y, tap]], rows[which[y, tap + 1]]
            three = rows[which[y, tap + 2]]
            for x in range(len(sums)):
                sums[x] += np.int32(
                    a * np.int32(one[x]) + b * np.int32(two[x]) + c * np.int32(three[x])
                )
        into = out[y]
        for x in range(len(sums)):
            into[x] = min(max(sums[x] >> _BITS, 0), 255)


@compiled
def _turned(pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return *pixels* with rows for columns, block by block so as to stay in the cache."""
    height, width = pixels.shape
    out = np.empty((width, height), pixels.dtype)
    for top in range(0, height, _BLOCK):
        for left in range(0, width, _BLOCK):
            for x in range(left, min(left + _BLOCK, width)):
                for y in range(top, min(top + _BLOCK, height)):
                    out[x, y] = pixels[y, x]
    return out
