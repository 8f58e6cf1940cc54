"""Leaves: blades with midrib and veins, whole or made of leaflets."""

import math
from typing import Literal

import numpy as np

from demo.sprites import Array, Colour, Sheet, Sprite, blade, mix, paint, step

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


_LEAVES: dict[LeafShape, tuple[float, float, float]] = {
    "linear": (0.3, 0.6, 0.055),
    "lance": (0.6, 0.9, 0.16),
    "ovate": (0.5, 0.75, 0.3),
    "round": (0.5, 0.45, 0.46),
    "heart": (0.28, 0.75, 0.42),
    "spoon": (1.3, 0.4, 0.26),
    "lobed": (0.6, 0.6, 0.32),
}
"""How fast a blade grows wider from its base, and narrower to its tip; how wide it gets."""


def leaf(
    *, shape: LeafShape, pattern: LeafPattern, colours: tuple[Colour, Colour], slim: float
) -> Sprite:
    """Return one leaf on a transparent square: stalk below, tip above."""
    sheet = Sheet()
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


def _stalk(sheet: Sheet, colour: Colour, top: float) -> None:
    cover = step(0.035 - np.abs(sheet.x), 0.02) * (sheet.y < top + 0.05)
    sheet.lay(paint(colour) * 0.85 * np.ones((*cover.shape, 1)), cover)


def _lamina(
    sheet: Sheet,
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
    half = blade(u, rise, fall) * width * slim
    if shape == "lobed":
        half = half * (0.66 + 0.34 * np.cos(u * 2 * math.pi * 3.2))
    if pattern == "serrate":
        half = half * (1 - 0.13 * np.abs((u * 9) % 1 - 0.2))
    inside = half - np.abs(v)
    cover = step(inside, sheet.soft / length)
    across = np.abs(v) / np.maximum(half, 0.02)
    share: Array = np.zeros_like(u)
    if pattern == "rim":
        share = step(across - 0.66, 0.1)
    elif pattern == "midrib":
        share = 1 - step(across - 0.22, 0.2)
    elif pattern == "zoned":
        share = 0.7 * step(0.13 - np.abs(u - 0.5 + across * 0.14), 0.08)
    side = np.where(v < 0, 1.06, 0.9)
    veins = 0.08 * (np.sin((u - across * 0.18) * 42) > 0.72) * (width > 0.1)
    rib = 0.22 * np.exp(-((v / (0.012 + 0.01 * width)) ** 2))
    shine = side * (0.86 + 0.2 * u) - veins + rib * 0.6 - 0.12 * across**3
    sheet.shade(0.25 * step(inside + 0.05, 0.05) * (1 - cover))
    sheet.lay(mix(*colours, share) * shine[..., None], cover)


def _feather(
    sheet: Sheet, pattern: LeafPattern, colours: tuple[Colour, Colour], slim: float, *, fine: bool
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
