"""Shares of a whole as boxes that fill a plane, as SVG: Bruls, Huizing, van Wijk (2000),
"Squarified Treemaps", Proc. Joint Eurographics and IEEE TCVG Symposium on Visualization.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import matplotlib
from matplotlib.colors import to_hex

from report.page import Html, join, tag

_COLOURS = matplotlib.colormaps["cividis"]
"""From blue to yellow, even in lightness, the same to the colour-blind (Nuñez, Anderton, Renslow
2018, PLOS ONE 13(7))."""
_DARK, _LIGHT, _EVEN = "#1d2a24", "#ffffff", 0.55
"""Letters, and from which share on dark ones stand out more."""
_WIDTH, _HEIGHT, _KEY = 1120.0, 560.0, 46.0
_LETTER = 0.56
"""Of its size, the width of a letter on average."""
_FONTS = (15, 12, 10)
_STEPS = 5


class Box(NamedTuple):
    """Where a part lies."""

    x: float
    y: float
    width: float
    height: float


class Part(NamedTuple):
    """A part of the whole."""

    name: str
    size: float
    share: float
    """What its colour tells, 0 to 1."""
    words: str
    """What is said of it where there is room, and when it is pointed at."""


def squarify(sizes: Sequence[float], width: float, height: float) -> list[Box]:
    """Return boxes that fill *width* x *height*, each in proportion to one of *sizes*.

    *sizes* are above 0, the largest first. A row of boxes along the shorter side takes one more
    as long as that makes the narrowest of them less narrow.
    """
    scale = width * height / sum(sizes) if sizes else 0.0
    areas, boxes, x, y = [size * scale for size in sizes], list[Box](), 0.0, 0.0
    while len(boxes) < len(areas):
        left, side = areas[len(boxes) :], min(width, height)
        count = 1
        while count < len(left) and _worst(left[: count + 1], side) <= _worst(left[:count], side):
            count += 1
        depth = sum(left[:count]) / side
        along = 0.0
        for area in left[:count]:
            length = area / depth
            upright = width >= height
            boxes.append(Box(x, y + along, depth, length) if upright
                         else Box(x + along, y, length, depth))  # fmt: skip
            along += length
        if width >= height:
            x, width = x + depth, width - depth
        else:
            y, height = y + depth, height - depth
    return boxes


def treemap(words: str, parts: Sequence[Part], key: str) -> Html:
    """Return *parts* as a drawing; *words* say what it shows, *key* what its colours do."""
    parts = sorted((part for part in parts if part.size > 0), key=lambda part: -part.size)
    boxes = squarify([part.size for part in parts], _WIDTH, _HEIGHT)
    drawn = join((_box(part, box) for part, box in zip(parts, boxes, strict=True)), "\n")
    view = f"0 0 {_WIDTH:.0f} {_HEIGHT + _KEY:.0f}"
    return tag("svg", drawn, *_key(key), role="img", aria_label=words, viewBox=view, class_="wide")


def _worst(areas: Sequence[float], side: float) -> float:
    """Return how many times as long as wide the narrowest of *areas* is, in a row along *side*."""
    total = sum(areas) ** 2
    return max(side**2 * areas[0] / total, total / (side**2 * areas[-1]))


def _box(part: Part, box: Box) -> Html:
    colour = to_hex(_COLOURS(part.share))
    area = tag("rect", x=f"{box.x:.1f}", y=f"{box.y:.1f}", width=f"{box.width:.1f}",
               height=f"{box.height:.1f}", fill=colour, stroke="#fff")  # fmt: skip
    ink = _ink(part.share)
    told = tag("title", f"{part.name}: {part.words}")
    return tag("g", told, area, *_label(part, box, ink))


def _label(part: Part, box: Box, ink: str) -> Iterator[Html]:
    """Yield name and words in the largest font that fits, or nothing."""
    for font in _FONTS:
        if len(part.name) * font * _LETTER < box.width - 8 and font * 1.4 < box.height:
            yield _text(part.name, box.x + 5, box.y + 1.25 * font, font, ink)
            small = max(font - 3, _FONTS[-1])
            wide = len(part.words) * small * _LETTER < box.width - 8
            if wide and 1.25 * font + 1.5 * small < box.height:
                yield _text(part.words, box.x + 5, box.y + 1.25 * font + 1.3 * small, small, ink)
            return


def _key(words: str) -> Iterator[Html]:
    """Yield what the colours mean."""
    top, side = _HEIGHT + 14, 58
    for step in range(_STEPS):
        share = step / (_STEPS - 1)
        x = step * side
        yield tag("rect", x=x, y=f"{top:.0f}", width=side, height=16, fill=to_hex(_COLOURS(share)))
        yield _text(f"{share:.0%}", x + 5, top + 12.5, 12, _ink(share))
    yield _text(words, _STEPS * side + 12, top + 13, 13, _DARK)


def _ink(share: float) -> str:
    """Return which of the two is easier to read on the colour of *share*."""
    return _LIGHT if share < _EVEN else _DARK


def _text(words: str, x: float, y: float, size: float, ink: str) -> Html:
    return tag("text", words, x=f"{x:.1f}", y=f"{y:.1f}", font_size=size, fill=ink)
