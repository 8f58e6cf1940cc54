"""Photographs of the invented plants.

`draw(species, seed)` gives one: the same seed gives the same picture, another seed gives
another plant of the species in another place, light and camera.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import get_args

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from demo import flowers, leaves, sprites
from demo.growth import Plant, Point, grow
from demo.scenery import Backdrop, backdrop, develop, soften
from demo.species import FLORA, Species

VARIANTS = 4
"""Flowers and leaves of a species that are painted; a picture turns and bends them anew."""


def draw(species: Species, seed: int) -> Image.Image:
    """Return one photograph of *species*, 200 to 300 pixels on its longer side."""
    rng = np.random.default_rng([seed, *species.name.encode()])
    size = _frame(rng)
    traits = species.traits
    kind = rng.choice(get_args(Backdrop), p=_BACKDROPS[traits.form])
    picture = backdrop(kind, size, rng)
    if kind in ("bokeh", "meadow", "shade", "soil") and rng.random() < 0.6:
        picture = _neighbours(picture, species, rng)
    plant = grow(traits, rng)
    _paint(picture, plant, species, _framed(plant, size, rng), rng)
    if rng.random() < 0.2:
        _something_in_front(picture, rng)
    return develop(picture, rng)


# bokeh, meadow, sky, soil, stones, bricks, plaster, litter, shade
_BACKDROPS = {
    "herb": (0.2, 0.16, 0.16, 0.08, 0.06, 0.09, 0.06, 0.07, 0.12),
    "shrub": (0.18, 0.12, 0.22, 0.06, 0.04, 0.14, 0.1, 0.04, 0.1),
    "twig": (0.22, 0.06, 0.3, 0.02, 0.04, 0.12, 0.1, 0.02, 0.12),
    "rosette": (0.04, 0.12, 0.0, 0.26, 0.28, 0.04, 0.08, 0.14, 0.04),
    "mat": (0.04, 0.18, 0.0, 0.26, 0.26, 0.0, 0.02, 0.18, 0.06),
}


def _frame(rng: np.random.Generator) -> tuple[int, int]:
    longer = int(rng.integers(200, 301))
    shorter = int(longer * rng.choice([2 / 3, 3 / 4, 4 / 5, 1.0], p=[0.25, 0.35, 0.15, 0.25]))
    return (longer, shorter) if rng.random() < 0.55 else (shorter, longer)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Camera:
    """Where a point of the plant falls in the picture."""

    scale: float
    turn: float
    focus: Point
    middle: Point
    mirrored: bool

    def see(self, point: Point) -> Point:
        x, y = point[0] - self.focus[0], point[1] - self.focus[1]
        x = -x if self.mirrored else x
        sine, cosine = math.sin(self.turn), math.cos(self.turn)
        return (
            self.middle[0] + self.scale * (x * cosine - y * sine),
            self.middle[1] + self.scale * (x * sine + y * cosine),
        )

    def heading(self, angle: float) -> float:
        return self.turn + (-angle if self.mirrored else angle)


def _camera(plant: Plant, size: tuple[int, int], rng: np.random.Generator) -> _Camera:
    """Step back to see the whole plant, or close to see a flower of it."""
    shorter = min(size)
    left, top, right, bottom = plant.extent()
    across = max(right - left, bottom - top, 0.5)
    whole = shorter / across
    if rng.random() < 0.35:  # close
        flower = plant.flowers[int(rng.integers(len(plant.flowers)))]
        scale = min(whole * rng.uniform(1.4, 2.0), 0.55 * shorter / flower.size)
        scale = max(scale, whole)
        focus = flower.at
        spread = 0.16
    else:
        scale = whole * rng.uniform(0.8, 1.25)
        focus = ((left + right) / 2, (top + bottom) / 2)
        spread = 0.1
    return _Camera(
        scale=scale,
        turn=rng.normal(0, 0.14),
        focus=focus,
        middle=(
            size[0] * (0.5 + float(np.clip(rng.normal(0, spread), -0.24, 0.24))),
            size[1] * (0.5 + float(np.clip(rng.normal(0, spread), -0.24, 0.24))),
        ),
        mirrored=bool(rng.random() < 0.5),
    )


def _framed(plant: Plant, size: tuple[int, int], rng: np.random.Generator) -> _Camera:
    """Return a camera that has a flower well in sight: nobody uploads the others."""
    for _ in range(8):
        camera = _camera(plant, size, rng)
        for flower in plant.flowers:
            x, y = camera.see(flower.at)
            edge = 0.35 * flower.size * camera.scale
            if edge < x < size[0] - edge and edge < y < size[1] - edge:
                return camera
    return camera


def _paint(
    picture: Image.Image,
    plant: Plant,
    species: Species,
    camera: _Camera,
    rng: np.random.Generator,
) -> None:
    """Lay the plant on *picture*: leaves in the shade, stems, leaves in the light, flowers."""
    for depth in (0, 1):
        for part in plant.leaves:
            if part.depth == depth:
                sprites.stamp(
                    picture,
                    _leaf(species, int(rng.integers(2 + 2 * depth)), depth),
                    camera.see(part.at),
                    part.size * camera.scale,
                    angle=camera.heading(part.angle),
                    tilt=part.tilt,
                    foot=True,
                )
        if depth == 0:
            _stems(picture, plant, species, camera)
    hanging = species.traits.symmetry == "bell"
    for part in plant.flowers:
        sprites.stamp(
            picture,
            _face(species, int(rng.integers(VARIANTS))),
            camera.see(part.at),
            part.size * camera.scale,
            angle=part.angle if hanging else camera.heading(part.angle),
            tilt=part.tilt,
        )


def _stems(picture: Image.Image, plant: Plant, species: Species, camera: _Camera) -> None:
    woody = species.traits.form in ("twig", "shrub")
    colour = (96, 72, 52) if woody else tuple(int(c * 0.9) for c in species.traits.leaf_colours[0])
    fine = 3
    mask = Image.new("L", (picture.width * fine, picture.height * fine))
    pen = ImageDraw.Draw(mask)
    for line, width in plant.stems:
        dots = [(x * fine, y * fine) for x, y in map(camera.see, line)]
        pen.line(dots, fill=255, width=max(2, round(width * camera.scale * fine)), joint="curve")
    cover = mask.reduce(fine)
    dark = cover.point([k // 3 for k in range(256)])
    picture.paste((10, 16, 8), (2, 2), dark)
    picture.paste(colour, (0, 0), cover)


@lru_cache(maxsize=1024)
def _face(species: Species, variant: int) -> sprites.Sprite:
    t = species.traits
    return flowers.flower(
        symmetry=t.symmetry,
        petals=t.petals,
        shape=t.petal,
        slim=t.slim,
        pattern=t.pattern,
        colours=(t.colour, t.accent),
        centre=t.centre,
        centre_colour=t.centre_colour,
        whorls=t.whorls,
        rng=np.random.default_rng([variant, *species.name.encode()]),
    )


@lru_cache(maxsize=1024)
def _leaf(species: Species, variant: int, depth: int) -> sprites.Sprite:
    t = species.traits
    rng = np.random.default_rng([variant, *species.name.encode()])
    gain = rng.uniform(0.88, 1.1) * (1.0 if depth else 0.7)
    first, second = (
        (round(red * gain), round(green * gain), round(blue * gain))
        for red, green, blue in t.leaf_colours
    )
    slim = t.leaf_slim * rng.uniform(0.9, 1.1)
    return leaves.leaf(shape=t.leaf, pattern=t.leaf_pattern, colours=(first, second), slim=slim)


def _neighbours(picture: Image.Image, species: Species, rng: np.random.Generator) -> Image.Image:
    """Let leaves and a few flowers of other species stand behind, out of focus."""
    other = FLORA[int(rng.integers(len(FLORA)))]
    for k in range(int(rng.integers(8, 20))):
        at = (rng.uniform(0, picture.width), rng.uniform(0.2, 1.1) * picture.height)
        sprites.stamp(
            picture,
            _leaf(other, 0, 0),
            at,
            rng.uniform(0.12, 0.35) * min(picture.size),
            angle=rng.normal(0, 0.9),
            foot=True,
        )
        if k % 5 == 0 and other.genus != species.genus:
            size = rng.uniform(0.06, 0.13) * min(picture.size)
            sprites.stamp(picture, _face(other, 0), at, size)
    return soften(picture, rng.uniform(2.5, 6))


def _something_in_front(picture: Image.Image, rng: np.random.Generator) -> None:
    """Let a blade of grass or a leaf hang before the lens."""
    layer = Image.new("L", picture.size)
    pen = ImageDraw.Draw(layer)
    side = rng.choice([0.0, 1.0])
    x, y = side * picture.width, rng.uniform(0, 1) * picture.height
    reach = rng.uniform(0.15, 0.4) * picture.width * (1 if side == 0 else -1)
    thick = rng.uniform(0.03, 0.1) * picture.height
    rise = rng.normal(0, 0.3) * picture.height
    pen.polygon([(x, y - thick), (x + reach, y + rise), (x, y + thick)], fill=235)
    tone = tuple(int(c) for c in rng.normal((88, 118, 60), 18))
    picture.paste(tone, (0, 0), layer.filter(ImageFilter.GaussianBlur(rng.uniform(2, 5))))
