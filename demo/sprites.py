"""Petals, flowers and leaves as sprites: small transparent pictures, painted once per species.

A picture turns, tilts and scales them (`stamp`).
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

Array = npt.NDArray[np.floating[Any]]
Colour = tuple[int, int, int]
PetalShape = Literal["round", "oval", "pointed", "strap", "spoon", "star", "heart", "fringed"]
Pattern = Literal["plain", "eye", "edge", "veins", "spots", "halves"]
Centre = Literal["disc", "cone", "stamens", "button", "tube"]
Symmetry = Literal["regular", "pansy", "orchid", "pea", "bell"]
LeafShape = Literal[
    "linear",
    "lance",
    "ovate",
    "round",
    "heart",
    "spoon",
    "lobed",
    "palmate",
    "pinnate",
    "trefoil",
    "fern",
]
LeafPattern = Literal["plain", "rim", "midrib", "zoned", "serrate"]

SPRITE = 128


@dataclass(frozen=True, slots=True)
class Sprite:
    """A small picture in five sizes, each half of the one before: the nearest stays smooth."""

    sizes: tuple[Image.Image, ...]
    box: tuple[float, float, float, float]
    """What is not empty of it: left, top, right and bottom from its middle, its width being 1."""


# Half the width of a petal or a leaf at u (0 at its base, 1 at its tip): u^a (1-u)^b.
_PETALS: dict[PetalShape, tuple[float, float]] = {
    "round": (0.8, 0.32),
    "oval": (0.7, 0.6),
    "pointed": (0.7, 1.1),
    "strap": (0.3, 0.22),
    "spoon": (1.7, 0.35),
    "star": (0.2, 0.9),
    "heart": (0.9, 0.3),
    "fringed": (1.0, 0.22),
}
_LEAVES: dict[LeafShape, tuple[float, float, float]] = {
    "linear": (0.3, 0.6, 0.055),
    "lance": (0.6, 0.9, 0.16),
    "ovate": (0.5, 0.75, 0.3),
    "round": (0.5, 0.45, 0.46),
    "heart": (0.28, 0.75, 0.42),
    "spoon": (1.3, 0.4, 0.26),
    "lobed": (0.6, 0.6, 0.32),
}


def _grid(size: int) -> tuple[Array, Array]:
    """Return x and y over a square, both from -1 to 1, y upwards."""
    line = np.linspace(-1, 1, size, dtype=np.float32)
    x, y = np.meshgrid(line, -line)
    return x, y


def _step(values: Array, soft: float) -> Array:
    """Return 0 below zero, 1 above *soft*, a ramp between."""
    ramp: Array = np.clip(values / soft, 0, 1)
    return ramp


def _blade(u: Array, rise: float, fall: float) -> Array:
    inside = np.clip(u, 1e-4, 1 - 1e-4)
    peak = rise / (rise + fall)
    width: Array = (inside / peak) ** rise * ((1 - inside) / (1 - peak)) ** fall
    width[(u <= 0) | (u >= 1)] = 0
    return width


class _Sheet:
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
        keep = (1 - cover)[..., None]
        self.colour = self.colour * keep + colour * cover[..., None]
        self.cover = self.cover + cover - self.cover * cover

    def shade(self, amount: Array) -> None:
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


def _mix(one: Colour, two: Colour, share: Array) -> Array:
    weight = share[..., None]
    return paint(one) * (1 - weight) + paint(two) * weight


def paint(colour: Colour) -> Array:
    """Return *colour* to reckon with."""
    return np.array(colour, np.float32)


def petal(
    sheet: _Sheet,
    shape: PetalShape,
    pattern: Pattern,
    colours: tuple[Colour, Colour],
    *,
    angle: float,
    length: float,
    width: float,
    light: float,
    phase: float,
) -> None:
    """Lay one petal on *sheet*, its base at the middle; it darkens what lies under its edge."""
    along, beside = sheet.turned(angle)
    u, v = along / length, beside / width
    if shape == "heart":
        u = u + 0.13 * np.clip(1 - np.abs(v) * 2.2, 0, 1)
    elif shape == "fringed":
        u = u * (1 + 0.13 * np.abs(np.sin(v * 11 + phase)))
    half = _blade(u, *_PETALS[shape])
    inside = half - np.abs(v)
    cover = _step(inside, sheet.soft / width)
    sheet.shade(0.3 * _step(inside + 0.3, 0.35) * (u > -0.02) * (1 - cover))
    main, accent = colours
    across = np.abs(v) / np.maximum(half, 0.05)
    share = np.zeros_like(u)
    if pattern == "eye":
        share = 1 - _step(u - 0.42 + 0.08 * np.sin(v * 9), 0.12)
    elif pattern == "edge":
        share = np.maximum(_step(across - 0.62, 0.2), _step(u - 0.78, 0.1))
    elif pattern == "veins":
        share = _step(np.sin(v * 17 / np.maximum(0.3 + u, 0.3)) - 0.25, 0.5) * (u < 0.85)
    elif pattern == "spots":
        dots = np.sin(u * 23 + phase) * np.sin(v * 10 + phase * 2)
        share = _step(dots - 0.35, 0.2) * (u > 0.2) * (u < 0.85)
    elif pattern == "halves":
        share = _step(u - 0.55, 0.25)
    colour = _mix(main, accent, share)
    shine = 0.8 + 0.28 * np.clip(u, 0, 1) + 0.1 * light
    shine -= 0.1 * np.exp(-((v * 9) ** 2)) + 0.05 * np.sin(v * 14 + phase)
    sheet.lay(colour * shine[..., None], cover)


def flower(
    *,
    symmetry: Symmetry,
    petals: int,
    shape: PetalShape,
    slim: float,
    pattern: Pattern,
    colours: tuple[Colour, Colour],
    centre: Centre,
    centre_colour: Colour,
    whorls: int,
    rng: np.random.Generator,
) -> Sprite:
    """Return one flower on a transparent square: face-on, or from the side if it is a bell."""
    sheet = _Sheet()
    if symmetry == "bell":
        _bell(sheet, petals, colours, pattern)
        return sheet.sprite()
    sun = rng.uniform(0, 2 * math.pi)
    main, accent = colours
    for angle, length, width, form, pair in _places(symmetry, petals, shape, slim, whorls, rng):
        petal(
            sheet,
            form,
            pattern if pair == 0 or symmetry == "pansy" else "plain",
            (main, accent) if pair == 0 else (accent, main),
            angle=angle,
            length=length,
            width=width,
            light=math.cos(angle - sun),
            phase=rng.uniform(0, 6),
        )
    _heart(sheet, centre, centre_colour, rng)
    return sheet.sprite()


def _places(
    symmetry: Symmetry,
    petals: int,
    shape: PetalShape,
    slim: float,
    whorls: int,
    rng: np.random.Generator,
) -> list[tuple[float, float, float, PetalShape, int]]:
    """Return angle, length, width, shape and colour order of every petal, back to front."""
    if symmetry == "pansy":
        return [
            (-0.42, 0.92, 0.52, "round", 1),
            (0.42, 0.92, 0.52, "round", 1),
            (-1.75, 0.84, 0.46, "round", 0),
            (1.75, 0.84, 0.46, "round", 0),
            (math.pi, 0.9, 0.62, "heart", 0),
        ]
    if symmetry == "orchid":
        third = 2 * math.pi / 3
        sepals = [(k * third, 0.95, 0.2 * slim, "pointed", 0) for k in range(3)]
        wings = [(side * 1.15, 0.88, 0.34 * slim, shape, 0) for side in (-1, 1)]
        lip = [(math.pi, 0.72, 0.36, "fringed", 1), (math.pi, 0.4, 0.2, "round", 1)]
        return [*sepals, *wings, *lip]  # type: ignore[list-item]
    if symmetry == "pea":
        return [
            (0.0, 0.98, 0.62, "heart", 0),
            (-2.5, 0.75, 0.3, "spoon", 1),
            (2.5, 0.75, 0.3, "spoon", 1),
            (math.pi, 0.8, 0.2, "oval", 0),
        ]
    placed: list[tuple[float, float, float, PetalShape, int]] = []
    for whorl in range(whorls):
        reach = 0.97 * (1 - 0.27 * whorl)
        start = rng.uniform(0, 0.2) + whorl * math.pi / petals
        width = slim * reach * min(0.75, 2.3 / petals)
        for k in rng.permutation(petals) if petals > 6 else range(petals):
            turn = start + 2 * math.pi * (int(k) + rng.normal(0, 0.035)) / petals
            placed.append((turn, reach * rng.uniform(0.92, 1.02), width, shape, 0))
    return placed


def _heart(sheet: _Sheet, centre: Centre, colour: Colour, rng: np.random.Generator) -> None:
    """Lay the middle of a flower."""
    radius = np.hypot(sheet.x, sheet.y)
    flat = np.ones((*radius.shape, 1), np.float32)
    if centre in ("disc", "cone", "button"):
        reach = {"disc": 0.27, "cone": 0.38, "button": 0.14}[centre]
        grain = 0.85 + 0.22 * np.sin(sheet.x * 75) * np.sin(sheet.y * 75)
        dome = np.clip(1.12 - 0.5 * (radius / reach) ** 2 + 0.25 * (sheet.y - sheet.x), 0.45, 1.3)
        sheet.shade(0.45 * (1 - _step(radius - reach, 0.1)))
        sheet.lay(paint(colour) * (grain * dome)[..., None], 1 - _step(radius - reach, sheet.soft))
    elif centre == "tube":
        sheet.lay(paint(colour) * flat, 1 - _step(radius - 0.1, 0.08))
        sheet.lay(paint(colour) * 0.35 * flat, 1 - _step(radius - 0.05, 0.05))
    else:
        sheet.lay(paint((120, 150, 60)) * flat, _step(0.1 - radius, 0.04))
        for turn in np.arange(14) / 14 * 2 * math.pi + rng.normal(0, 0.1, 14):
            reach = rng.uniform(0.2, 0.36)
            along, beside = sheet.turned(float(turn))
            thread = _step(0.014 - np.abs(beside), 0.01) * (along > 0.05) * (along < reach)
            sheet.lay((paint(colour) * 0.5 + 110) * flat, thread * 0.8)
            knob = np.hypot(along - reach, beside)
            sheet.lay(paint(colour) * flat, 1 - _step(knob - 0.035, 0.025))


def _bell(sheet: _Sheet, teeth: int, colours: tuple[Colour, Colour], pattern: Pattern) -> None:
    """Lay a hanging bell: its stalk at the middle of the top edge."""
    down = (0.95 - sheet.y) / 1.8
    v = sheet.x / 0.78
    width = 0.34 + 0.4 * _step(down, 0.3) ** 0.6 + 0.32 * np.clip(down - 0.72, 0, 1) ** 1.3 * 3
    teeth_edge = 0.86 + 0.11 * np.abs(np.cos(np.clip(v / width, -1, 1) * math.pi / 2 * teeth * 0.6))
    cap = np.sqrt(np.clip(1 - ((0.22 - down) / 0.22) ** 2, 0, 1)) * (down < 0.22) + (down >= 0.22)
    cover = _step(width * cap - np.abs(v), 0.05) * _step(teeth_edge - down, 0.02) * (down > 0)
    across = v / np.maximum(width, 0.1)
    share = _step(down - 0.66, 0.25)
    if pattern == "veins":
        share = _step(np.sin(across * 14) - 0.35, 0.4)
    elif pattern == "plain":
        share = np.zeros_like(down)
    shine = 0.72 + 0.42 * np.exp(-(((across + 0.3) * 1.5) ** 2)) - 0.12 * np.abs(np.sin(across * 6))
    sheet.lay(_mix(*colours, share) * shine[..., None], cover)
    calyx = _step(0.2 - down - 0.12 * np.abs(v), 0.03) * _step(0.42 - np.abs(v), 0.05) * (down > 0)
    sheet.lay(paint((92, 128, 62)) * shine[..., None], calyx)


def leaf(
    *, shape: LeafShape, pattern: LeafPattern, colours: tuple[Colour, Colour], slim: float
) -> Sprite:
    """Return one leaf on a transparent square: stalk below, tip above."""
    sheet = _Sheet()
    foot = (0.0, -0.35)
    if shape in ("pinnate", "fern"):
        _feather(sheet, pattern, colours, slim, fine=shape == "fern")
    elif shape == "trefoil":
        for turn in (-1.25, 1.25, 0.0):
            _lamina(
                sheet, "round", pattern, colours, slim, foot=(0.0, -0.35), angle=turn, length=1.2
            )
        _stalk(sheet, colours[0], foot[1])
    elif shape == "palmate":
        for turn in (-1.9, 1.9, -0.95, 0.95, 0.0):
            reach = 1.25 - 0.22 * abs(turn)
            _lamina(
                sheet,
                "lance",
                pattern,
                colours,
                slim * 1.6,
                foot=(0, -0.35),
                angle=turn,
                length=reach,
            )
        _stalk(sheet, colours[0], foot[1])
    else:
        stalked = shape in ("ovate", "round", "heart", "lobed", "lance")
        start = -0.72 if stalked else -0.98
        _lamina(sheet, shape, pattern, colours, slim, foot=(0, start), angle=0, length=0.97 - start)
        if stalked:
            _stalk(sheet, colours[0], start)
    return sheet.sprite()


def _stalk(sheet: _Sheet, colour: Colour, top: float) -> None:
    cover = _step(0.035 - np.abs(sheet.x), 0.02) * (sheet.y < top + 0.05)
    sheet.lay(paint(colour) * 0.85 * np.ones((*cover.shape, 1)), cover)


def _lamina(
    sheet: _Sheet,
    shape: LeafShape,
    pattern: LeafPattern,
    colours: tuple[Colour, Colour],
    slim: float,
    *,
    foot: tuple[float, float],
    angle: float,
    length: float,
) -> None:
    """Lay one blade with its midrib and side veins."""
    sine, cosine = math.sin(angle), math.cos(angle)
    x, y = sheet.x - foot[0], sheet.y - foot[1]
    u, v = (x * sine + y * cosine) / length, (x * cosine - y * sine) / length
    rise, fall, width = _LEAVES[shape]
    if shape == "heart":
        u = (u + 0.1 - 0.25 * np.exp(-((v / 0.09) ** 2))) / 1.1
    half = _blade(u, rise, fall) * width * slim
    if shape == "lobed":
        half = half * (0.66 + 0.34 * np.cos(u * 2 * math.pi * 3.2))
    if pattern == "serrate":
        half = half * (1 - 0.13 * np.abs((u * 9) % 1 - 0.2))
    inside = half - np.abs(v)
    cover = _step(inside, sheet.soft / length)
    across = np.abs(v) / np.maximum(half, 0.02)
    share: Array = np.zeros_like(u)
    if pattern == "rim":
        share = _step(across - 0.66, 0.1)
    elif pattern == "midrib":
        share = 1 - _step(across - 0.22, 0.2)
    elif pattern == "zoned":
        share = 0.7 * _step(0.13 - np.abs(u - 0.5 + across * 0.14), 0.08)
    side = np.where(v < 0, 1.06, 0.9)
    veins = 0.08 * (np.sin((u - across * 0.18) * 42) > 0.72) * (width > 0.1)
    rib = 0.22 * np.exp(-((v / (0.012 + 0.01 * width)) ** 2))
    shine = side * (0.86 + 0.2 * u) - veins + rib * 0.6 - 0.12 * across**3
    sheet.shade(0.25 * _step(inside + 0.05, 0.05) * (1 - cover))
    sheet.lay(_mix(*colours, share) * shine[..., None], cover)


def _feather(
    sheet: _Sheet, pattern: LeafPattern, colours: tuple[Colour, Colour], slim: float, *, fine: bool
) -> None:
    """Lay leaflets in pairs along a midrib."""
    _stalk(sheet, colours[0], 0.85)
    pairs = 9 if fine else 4
    for k in range(pairs):
        at = -0.72 + 1.5 * k / pairs
        reach = (0.75 if fine else 0.72) * (1 - 0.6 * k / pairs if fine else 1 - 0.25 * k / pairs)
        shape: LeafShape = "lance" if fine else "ovate"
        broad = slim * (0.85 if fine else 1.15)
        for turn in (-1.05, 1.05):
            _lamina(sheet, shape, pattern, colours, broad, foot=(0, at), angle=turn, length=reach)
    _lamina(sheet, "ovate", pattern, colours, slim, foot=(0, 0.4), angle=0, length=0.58)


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
