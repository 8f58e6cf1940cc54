"""Flowers, petal by petal: their shapes, patterns and middles."""

import math
from typing import Literal

import numpy as np

from demo.sprites import Colour, Sheet, Sprite, blade, mix, paint, step

PetalShape = Literal["round", "oval", "pointed", "strap", "spoon", "star", "heart", "fringed"]
Pattern = Literal["plain", "eye", "edge", "veins", "spots", "halves"]
Centre = Literal["disc", "cone", "stamens", "button", "tube"]
Symmetry = Literal["regular", "pansy", "orchid", "pea", "bell"]

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
"""How fast a petal grows wider from its base, and narrower to its tip."""


def petal(
    sheet: Sheet,
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
    half = blade(u, *_PETALS[shape])
    inside = half - np.abs(v)
    cover = step(inside, sheet.soft / width)
    sheet.shade(0.3 * step(inside + 0.3, 0.35) * (u > -0.02) * (1 - cover))
    main, accent = colours
    across = np.abs(v) / np.maximum(half, 0.05)
    share = np.zeros_like(u)
    if pattern == "eye":
        share = 1 - step(u - 0.42 + 0.08 * np.sin(v * 9), 0.12)
    elif pattern == "edge":
        share = np.maximum(step(across - 0.62, 0.2), step(u - 0.78, 0.1))
    elif pattern == "veins":
        share = step(np.sin(v * 17 / np.maximum(0.3 + u, 0.3)) - 0.25, 0.5) * (u < 0.85)
    elif pattern == "spots":
        dots = np.sin(u * 23 + phase) * np.sin(v * 10 + phase * 2)
        share = step(dots - 0.35, 0.2) * (u > 0.2) * (u < 0.85)
    elif pattern == "halves":
        share = step(u - 0.55, 0.25)
    colour = mix(main, accent, share)
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
    sheet = Sheet()
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


def _heart(sheet: Sheet, centre: Centre, colour: Colour, rng: np.random.Generator) -> None:
    """Lay the middle of a flower."""
    radius = np.hypot(sheet.x, sheet.y)
    flat = np.ones((*radius.shape, 1), np.float32)
    if centre in ("disc", "cone", "button"):
        reach = {"disc": 0.27, "cone": 0.38, "button": 0.14}[centre]
        grain = 0.85 + 0.22 * np.sin(sheet.x * 75) * np.sin(sheet.y * 75)
        dome = np.clip(1.12 - 0.5 * (radius / reach) ** 2 + 0.25 * (sheet.y - sheet.x), 0.45, 1.3)
        sheet.shade(0.45 * (1 - step(radius - reach, 0.1)))
        sheet.lay(paint(colour) * (grain * dome)[..., None], 1 - step(radius - reach, sheet.soft))
    elif centre == "tube":
        sheet.lay(paint(colour) * flat, 1 - step(radius - 0.1, 0.08))
        sheet.lay(paint(colour) * 0.35 * flat, 1 - step(radius - 0.05, 0.05))
    else:
        sheet.lay(paint((120, 150, 60)) * flat, step(0.1 - radius, 0.04))
        for turn in np.arange(14) / 14 * 2 * math.pi + rng.normal(0, 0.1, 14):
            reach = rng.uniform(0.2, 0.36)
            along, beside = sheet.turned(float(turn))
            thread = step(0.014 - np.abs(beside), 0.01) * (along > 0.05) * (along < reach)
            sheet.lay((paint(colour) * 0.5 + 110) * flat, thread * 0.8)
            knob = np.hypot(along - reach, beside)
            sheet.lay(paint(colour) * flat, 1 - step(knob - 0.035, 0.025))


def _bell(sheet: Sheet, teeth: int, colours: tuple[Colour, Colour], pattern: Pattern) -> None:
    """Lay a hanging bell: its stalk at the middle of the top edge."""
    down = (0.95 - sheet.y) / 1.8
    v = sheet.x / 0.78
    width = 0.34 + 0.4 * step(down, 0.3) ** 0.6 + 0.32 * np.clip(down - 0.72, 0, 1) ** 1.3 * 3
    teeth_edge = 0.86 + 0.11 * np.abs(np.cos(np.clip(v / width, -1, 1) * math.pi / 2 * teeth * 0.6))
    cap = np.sqrt(np.clip(1 - ((0.22 - down) / 0.22) ** 2, 0, 1)) * (down < 0.22) + (down >= 0.22)
    cover = step(width * cap - np.abs(v), 0.05) * step(teeth_edge - down, 0.02) * (down > 0)
    across = v / np.maximum(width, 0.1)
    share = step(down - 0.66, 0.25)
    if pattern == "veins":
        share = step(np.sin(across * 14) - 0.35, 0.4)
    elif pattern == "plain":
        share = np.zeros_like(down)
    shine = 0.72 + 0.42 * np.exp(-(((across + 0.3) * 1.5) ** 2)) - 0.12 * np.abs(np.sin(across * 6))
    sheet.lay(mix(*colours, share) * shine[..., None], cover)
    calyx = step(0.2 - down - 0.12 * np.abs(v), 0.03) * step(0.42 - np.abs(v), 0.05) * (down > 0)
    sheet.lay(paint((92, 128, 62)) * shine[..., None], calyx)
