"""Whether two pictures are one, by their pixels, wherever the one lies in the other.

A copy may be cropped, framed, stretched, faded and compressed, so it is laid over the other
before the two are compared. First a search over scales, for all shifts at once (by Fourier
transform); then a few steps of least squares move the edges of the common part until it fits
(Lucas and Kanade 1981, with shift, scale and slant of each axis). What counts is how the
structure of the common part correlates: the picture without its light and shade, of even
contrast, so that a leaf's veins count beside its outline.

Sampling and blurring are linear and separable: pairs of small matrices, as for the hashes.
"""

import functools

import numpy as np
import numpy.typing as npt
from PIL import Image

from flora.hashes import Grey

Floats = npt.NDArray[np.float32]
Fit = npt.NDArray[np.float64]
"""Windows that show the same: [axis, picture, end], each picture 0 to 1 high and wide."""

_SIDE = 128
"""Pictures are squeezed into this square first: a changed aspect ratio is no difference."""
_GRID = 64
"""Samples a side of the common part."""
_SHAPES = ((64, 64), (60, 60), (56, 56), (52, 52), (64, 57), (57, 64))
"""Height and width at which one picture is sought in the other (at 64): crops to 80% of each
side, or of one side alone."""
_SLACK = 8
"""Samples by which it may stick out of the other."""
_CANVAS = 80  # at least _GRID + 2 * _SLACK, so that nothing wraps around
_COARSE, _FINE = 4.0, 1.5
"""Standard deviations, in samples, of the blur that tells shade from structure: in the search,
which must bear a misfit of a sample or two, and in the comparison, where veins must count."""
_NOISE = 1.5
"""Grey levels of structure that tell nothing: paper, sky, blank pictures."""
_FLOOR = 0.25
"""Contrast, as a share of the picture's own, below which structure is not raised to even."""
_RIM = 0.02
"""Of the common part, what is left out on each side: a frame shines into the pixels beside it."""
_SHARE = 0.5
"""Of both pictures' structure, how much the common part must hold."""
_CERTAIN, _HOPELESS = 0.98, 0.25
"""Correlations from which no better fit is sought, and below which none is hoped for."""
_STEPS = (32, 32, 64, 64, 64)
"""Samples a side in each step of least squares: the coarse ones reach further."""
_LOPSIDED, _LEANING = 1.18, 0.06
"""Ratio of the scales of the two axes, and slant, beyond which it is another shape."""

Slant = npt.NDArray[np.float64]
"""How far it moves down going right, and right going down."""
Places = npt.NDArray[np.int64]

_WHOLE: Fit = np.array([[[0.0, 1.0]] * 2] * 2)


class Prepared:
    """A picture made ready for comparison with many others (about 0.3 MB once searched)."""

    def __init__(self, grey: Grey) -> None:
        """Take *grey* (uint8, height x width; 128 pixels a side or more see most)."""
        image = Image.fromarray(np.ascontiguousarray(grey))
        small = image.resize((_SIDE, _SIDE), Image.Resampling.BILINEAR)
        self.pixels: Floats = np.asarray(small, dtype=np.float32)

    @functools.cached_property
    def key(self) -> bytes:
        """What puts two pictures in an order, whichever is named first."""
        return self.pixels.tobytes()

    @functools.cached_property
    def whole(self) -> Floats:
        """Its structure, as it is."""
        return _view(self.pixels, _WHOLE[:, 0], (_GRID, _GRID))

    @functools.cached_property
    def layers(self) -> list[Floats]:
        """Its coarse structure in each of the shapes."""
        return [_view(self.pixels, _WHOLE[:, 0], shape, _COARSE) for shape in _SHAPES]

    @functools.cached_property
    def spectra(self) -> npt.NDArray[np.complex64]:
        """Their transforms."""
        return np.stack([np.fft.rfft2(layer, (_CANVAS, _CANVAS)) for layer in self.layers])

    @functools.cached_property
    def energies(self) -> list[Floats]:
        """Sums of their squares above and left of each place."""
        return [
            np.pad((layer * layer).cumsum(0).cumsum(1), ((1, 0), (1, 0))) for layer in self.layers
        ]


def prepare(grey: Grey) -> Prepared:
    """Return *grey* (uint8, height x width) in the form to keep while it is compared often."""
    return Prepared(grey)


def mirrored(grey: Grey) -> Grey:
    """Return *grey* as a mirror beside it shows it: left is right."""
    return grey[:, ::-1]


def correlation(a: Grey | Prepared, b: Grey | Prepared) -> float:
    """Return the correlation (-1 to 1) of the structure of two pictures where they overlap.

    Symmetric. 0 where a picture has too little structure to be known by. Mirrored copies are
    found by mirroring one (`mirrored`).
    """
    one, two = sorted(
        (each if isinstance(each, Prepared) else Prepared(each) for each in (a, b)),
        key=lambda each: each.key,
    )
    best = _agreement(one.whole, two.whole)
    if best >= _CERTAIN or not (one.whole.any() and two.whole.any()):
        return best
    fit, found = _search(one, two)
    if found < _HOPELESS:
        return best
    slant = np.zeros(2)
    for size in _STEPS:
        first = _view(one.pixels, fit[:, 0], (size, size))
        second = _view(_slanted(two.pixels, slant), fit[:, 1], (size, size))
        if size == _GRID:
            best = max(best, _agreement(first, second))
        fit, slant = _moved(fit, slant, first, second)
        if best >= _CERTAIN or not _plausible(fit, slant):
            break
    return best


def _search(one: Prepared, two: Prepared) -> tuple[Fit, float]:
    """Return where one picture lies in the other at its best, and how well that agrees."""
    best, fit = -1.0, _WHOLE
    for outer, inner in ((one, two), (two, one)):
        products = outer.spectra[0] * inner.spectra.conj()
        planes = np.fft.irfft2(products, (_CANVAS, _CANVAS))
        for plane, shape, energy in zip(planes, _SHAPES, inner.energies, strict=True):
            down, right = (np.arange(-_SLACK, _GRID - side + _SLACK + 1) for side in shape)
            mine = _covered(outer.energies[0], down, right, shape)
            other = _covered(energy, -down, -right, (_GRID, _GRID))
            scores = plane[np.ix_(down, right)] / np.sqrt(np.maximum(mine * other, 1e-9))
            scores[np.minimum(mine, other) < _SHARE] = -1
            row, column = np.unravel_index(int(scores.argmax()), scores.shape)
            if scores[row, column] > best:
                best = float(scores[row, column])
                start = np.array([down[row], right[column]]) / _GRID
                windows = np.stack([start, start + np.array(shape) / _GRID], axis=1)
                pair = [windows, _WHOLE[:, 0]]
                fit = np.stack(pair if outer is one else pair[::-1], axis=1)
    return _overlap(fit), best


def _covered(table: Floats, down: Places, right: Places, shape: tuple[int, int]) -> Floats:
    """Return the energy of what a rectangle of *shape* covers, its corner at each of the places."""
    height, width = (side - 1 for side in table.shape)
    top, bottom = np.clip(down, 0, height), np.clip(down + shape[0], 0, height)
    left, end = np.clip(right, 0, width), np.clip(right + shape[1], 0, width)
    rows = table[bottom] - table[top]
    return np.asarray(rows[:, end] - rows[:, left])


def _overlap(fit: Fit) -> Fit:
    """Return the windows that show all both have in common, laid as *fit* says, less a rim."""
    (a0, a1), (b0, b1) = fit[:, 0].T, fit[:, 1].T
    scale = (a1 - a0) / (b1 - b0)
    shift = a0 - scale * b0
    start, stop = np.maximum(0, -shift / scale), np.minimum(1, (1 - shift) / scale)
    rim = _RIM * (stop - start)
    ends = np.stack([start + rim, stop - rim], axis=1)
    return np.stack([ends * scale[:, None] + shift[:, None], ends], axis=1).clip(0, 1)


def _plausible(fit: Fit, slant: Slant) -> bool:
    """Tell whether this is what crops, frames and a turn by a degree or two do."""
    sides = fit[:, :, 1] - fit[:, :, 0]
    scale = sides[:, 0] / sides[:, 1]
    return bool(
        sides.prod(axis=0).min() >= _SHARE
        and 1 / _LOPSIDED <= scale[0] / scale[1] <= _LOPSIDED
        and np.abs(slant).max() <= _LEANING
    )


def _moved(fit: Fit, slant: Slant, one: Floats, two: Floats) -> tuple[Fit, Slant]:
    """Return where *two* looks more like *one*, by a step of least squares."""
    size = len(one)
    down, right = np.gradient((one + two) / 2)
    x = np.linspace(-1, 1, size, dtype=np.float32)
    y = x[:, None]
    slopes = np.stack([down, down * y, right, right * x, down * x, right * y]).reshape(6, -1)
    normal = slopes @ slopes.T
    steady = np.eye(6) * (1e-3 * np.trace(normal) + 1e-12)
    step = np.linalg.solve(normal + steady, slopes @ (one - two).ravel()).clip(-2, 2) / size
    ends = step[:4].reshape(2, 2) @ [[1, 1], [-1, 1]]  # at the start and the stop of each axis
    sides = fit[:, 1, 1] - fit[:, 1, 0]
    moved = fit.copy()
    moved[:, 1] += ends * sides[:, None]
    return _overlap(moved), slant + 2 * step[4:] * sides / sides[::-1]


def _slanted(pixels: Floats, slant: Slant) -> Floats:
    """Return *pixels* as they are if they move down with x, and right with y, by the *slant*."""
    down, right = slant
    matrix = (1, right, -right * _SIDE / 2, down, 1, -down * _SIDE / 2)
    image = Image.fromarray(pixels)
    turned = image.transform(image.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
    return np.asarray(turned, dtype=np.float32)


def _agreement(one: Floats, two: Floats) -> float:
    return float(np.vdot(one, two))


def _view(pixels: Floats, window: Fit, shape: tuple[int, int], blur: float = _FINE) -> Floats:
    """Return the structure (of *shape*, of norm 1) in the *window* ([axis, end]) of *pixels*.

    All 0 if there is only noise.
    """
    rows, columns = (
        _tents(_SIDE, start, stop, size) for (start, stop), size in zip(window, shape, strict=True)
    )
    seen = rows @ pixels @ columns.T
    down, right = _blur(shape[0], blur), _blur(shape[1], blur).T
    fine = seen - down @ seen @ right
    power = fine * fine
    mean = float(power.mean())
    if mean < _NOISE**2:
        return np.zeros_like(seen)
    even = fine / np.sqrt(down @ power @ right + np.float32(_FLOOR**2 * mean))
    even -= even.mean()
    return np.asarray(even / np.linalg.norm(even))


@functools.lru_cache
def _blur(size: int, width: float) -> Floats:
    """Return the matrix (size x size) of a Gaussian blur that knows nothing beyond the edges."""
    apart = np.arange(size)[:, None] - np.arange(size)
    weights = np.exp(-((apart / width) ** 2) / 2)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)


def _tents(length: int, start: float, stop: float, size: int) -> Floats:
    """Return the weights (size x length) that sample a line from *start* to *stop* (0 to 1)."""
    step = (stop - start) * length / size
    centres = start * length + step * (np.arange(size, dtype=np.float32) + 0.5) - 0.5
    apart = np.abs(centres[:, None] - np.arange(length, dtype=np.float32))
    weights = np.maximum(0, 1 - apart / max(1.0, step))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)
