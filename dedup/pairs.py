"""Which pictures may be the same (by hash), and which are (by their pixels)."""

import numpy as np
import numpy.typing as npt
from PIL import Image

from flora.hashes import Grey, distance

_BLOCK = 512
_SIDE = 64
_BLUR = 9

Pairs = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.uint8]]


def near_pairs(hashes: npt.NDArray[np.uint64], radius: int) -> Pairs:
    """Return (i, j, distance) of all pairs i < j of *hashes* at most *radius* bits apart.

    Exact, by comparing all with all: about 1e9 pairs a second, so a minute for 300,000
    hashes. In order of i, then j.
    """
    parts = []
    for start in range(0, len(hashes), _BLOCK):
        found = distance(hashes[start : start + _BLOCK, None], hashes[None, start:])
        i, j = np.nonzero(found <= radius)
        later = i < j
        i, j = i[later], j[later]
        parts.append((i + start, j + start, found[i, j]))
    if not parts:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.uint8)
    first, second, apart = (np.concatenate(column) for column in zip(*parts, strict=True))
    return first.astype(np.int64), second.astype(np.int64), apart.astype(np.uint8)


def similarity(a: Grey, b: Grey) -> float:
    """Return the correlation (-1 to 1) of the fine structure of two grey pictures.

    Both are brought to 64 x 64 and lose what a blur of 9 pixels keeps: light and shade are
    alike in many pictures, edges only in copies. Two pictures without any structure are alike.
    """
    x, y = _structure(a), _structure(b)
    norm = float(np.linalg.norm(x) * np.linalg.norm(y))
    if norm < 1e-6:
        return 1.0 if np.allclose(x, y, atol=1e-3) else 0.0
    return float((x * y).sum() / norm)


def _structure(grey: Grey) -> npt.NDArray[np.float64]:
    small = Image.fromarray(grey).resize((_SIDE, _SIDE), Image.Resampling.BOX)
    pixels = np.asarray(small, dtype=np.float64)
    return pixels - _blur(_blur(pixels).T).T


def _blur(pixels: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the running mean of each row, its ends repeated outwards."""
    padded = np.pad(pixels, ((0, 0), (_BLUR // 2 + 1, _BLUR // 2)), mode="edge")
    sums = padded.cumsum(axis=1)
    return np.asarray((sums[:, _BLUR:] - sums[:, :-_BLUR]) / _BLUR)
