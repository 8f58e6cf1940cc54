"""Sprites: small transparent pictures of a flower or a leaf, painted once per species.

A photograph turns, tilts and scales them (`stamp`).
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

Array = npt.NDArray[np.floating[Any]]
Colour = tuple[int, int, int]
SPRITE = 128


@dataclass(frozen=True, slots=True)
class Sprite:
    """A small picture in five sizes, each half of the one before: the nearest stays smooth."""

    sizes: tuple[Image.Image, ...]
    box: tuple[float, float, float, float]
    """What is not empty of it: left, top, right and bottom from its middle, its width being 1."""


def _grid(size: int) -> tuple[Array, Array]:
    """Return x and y over a square, both from -1 to 1, y upwards."""
    line = np.linspace(-1, 1, size, dtype=np.float32)
    x, y = np.meshgrid(line, -line)
    return x, y


def step(values: Array, soft: float) -> Array:
    """Return 0 below zero, 1 above *soft*, a ramp between."""
    ramp: Array = np.clip(values / soft, 0, 1)
    return ramp


def blade(u: Array, rise: float, fall: float) -> Array:
    """Return half the width of a petal or a leaf at *u*, 0 at its base and 1 at its tip.

    It grows like u^rise, shrinks like (1-u)^fall, and is 1 at its widest.
    """
    inside = np.clip(u, 1e-4, 1 - 1e-4)
    peak = rise / (rise + fall)
    width: Array = (inside / peak) ** rise * ((1 - inside) / (1 - peak)) ** fall
    width[(u <= 0) | (u >= 1)] = 0
    return width


class Sheet:
    """A square of colour and cover to lay shapes on, one over the other."""

    def __init__(self, size: int = SPRITE) -> None:
        self.x, self.y = _grid(size)
        self.soft = 3.0 / size
        self.colour: Array = np.zeros((size, size, 3), np.float32)
        self.cover: Array = np.zeros((size, size), np.float32)

    def turned(self, angle: float) -> tuple[Array, Array]:
        """Return how far each point is along the direction *angle* (0 is up), and beside it."""
        sine, cosine = math.sin(angle), math.cos(angle)
        return self.x * sine + self.y * cosine, self.x * cosine - self.y * sine

    def lay(self, colour: Array, cover: Array) -> None:
        """Lay a shape on what is there."""
        keep = (1 - cover)[..., None]
        self.colour = self.colour * keep + colour * cover[..., None]
        self.cover = self.cover + cover - self.cover * cover

    def shade(self, amount: Array) -> None:
        """Darken what is there."""
        self.colour = self.colour * (1 - amount)[..., None]

    def sprite(self) -> Sprite:
        """Return the sheet with a soft shadow around what lies on it, colours premultiplied."""
        cover = Image.fromarray((self.cover * 255).astype(np.uint8))
        halo = np.asarray(cover.filter(ImageFilter.GaussianBlur(SPRITE / 40)), np.float32) / 255
        alpha = self.cover + (1 - self.cover) * halo * 0.45
        stack = np.dstack([np.clip(self.colour, 0, 255), alpha * 255])
        image = Image.frombytes("RGBa", cover.size, stack.astype(np.uint8).tobytes())
        box = image.getbbox() or (0, 0, SPRITE, SPRITE)
        left, top, right, bottom = (edge / SPRITE - 0.5 for edge in box)
        sizes = (image, *(image.reduce(2**times) for times in (1, 2, 3, 4)))
        return Sprite(sizes, (left, top, right, bottom))


def mix(one: Colour, two: Colour, share: Array) -> Array:
    """Return *one* where *share* is 0, *two* where it is 1."""
    weight = share[..., None]
    return paint(one) * (1 - weight) + paint(two) * weight


def paint(colour: Colour) -> Array:
    """Return *colour* to reckon with."""
    return np.array(colour, np.float32)


def stamp(
    canvas: Image.Image,
    sprite: Sprite,
    centre: tuple[float, float],
    size: float,
    *,
    angle: float = 0.0,
    tilt: float = 1.0,
    foot: bool = False,
) -> None:
    """Lay *sprite* on *canvas*, *size* pixels across, turned clockwise, flattened by *tilt*.

    *centre* is where its middle goes, or with *foot* the middle of its lower edge.
    """
    if size < 2:
        return
    sine, cosine = math.sin(angle), math.cos(angle)
    x, y = centre
    if foot:
        x, y = x + sine * size * tilt / 2, y - cosine * size * tilt / 2
    west, north, east, south = (edge * size for edge in sprite.box)
    xs = [u * cosine - v * tilt * sine + x for u in (west, east) for v in (north, south)]
    ys = [u * sine + v * tilt * cosine + y for u in (west, east) for v in (north, south)]
    left, right = max(0, math.floor(min(xs))), min(canvas.width, math.ceil(max(xs)))
    top, bottom = max(0, math.floor(min(ys))), min(canvas.height, math.ceil(max(ys)))
    if left >= right or top >= bottom:
        return
    level = math.floor(math.log2(SPRITE / size)) if size < SPRITE else 0
    image = sprite.sizes[min(level, len(sprite.sizes) - 1)]
    scale = image.width / size
    dx, dy = left - x, top - y
    a, b = cosine * scale, sine * scale
    d, e = -sine * scale / tilt, cosine * scale / tilt
    middle = image.width / 2
    matrix = (a, b, a * dx + b * dy + middle, d, e, d * dx + e * dy + middle)
    piece = image.transform(
        (right - left, bottom - top), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR
    ).convert("RGBA")
    canvas.paste(piece, (left, top), piece)
