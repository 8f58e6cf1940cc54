"""Single leaves on plain paper: what hashes confuse most.

A species is an outline, its margin and its veins; a picture is one leaf of it, a little turned,
bent and shifted, as a botanist lays them down. All fill the same upright sheet.
"""

import numpy as np
from PIL import Image

from demo.sprites import Array, blade, step

SIZE = (240, 320)


def leaf(species: int, seed: int) -> Image.Image:
    """Return a picture (RGB, 240 x 320) of one leaf of *species*; another *seed*, another leaf."""
    traits, rng = np.random.default_rng([species]), np.random.default_rng([species, seed])
    x, y = _sheet(rng)
    length = rng.uniform(0.82, 0.92) * 2
    u = (y + length / 2) / length
    v = (x - rng.normal(0, 0.05) * u * (1 - u) * 4) / length  # a midrib is seldom straight
    half = _outline(u, traits) * rng.uniform(0.94, 1.06)
    cover = step(half - np.abs(v), 0.008)
    stalk = step(0.012 - np.abs(v), 0.008) * ((u < 0.02) & (u > -0.12))
    tone = _blade(u, v, half, traits) * (0.9 + 0.2 * _clouds(rng, 24))
    green = np.array([traits.uniform(60, 120), traits.uniform(105, 160), traits.uniform(40, 80)])
    light = 1 + rng.normal(0, 0.04) * x + rng.normal(0, 0.04) * y
    paper = np.array([240.0, 238, 230]) + rng.normal(0, 6)
    cover = np.maximum(cover, stalk)[..., None]
    shadow = 1 - 0.12 * step(half + 0.02 * (half > 0) - np.abs(v - 0.008), 0.04)[..., None] * (
        1 - cover
    )
    colour = paper * shadow * (1 - cover) + green * tone[..., None] * cover
    noise = rng.normal(0, 1.5, (*colour.shape[:2], 1))
    return Image.fromarray((colour * light[..., None] + noise).clip(0, 255).astype(np.uint8))


def _sheet(rng: np.random.Generator) -> tuple[Array, Array]:
    """Return x and y of each pixel, the height being -1 (below) to 1, a little turned."""
    width, height = SIZE
    down, right = np.mgrid[0:height, 0:width]
    x, y = (right - width / 2) / (height / 2), (height / 2 - down) / (height / 2)
    turn = rng.normal(0, 0.05)
    x, y = x - rng.normal(0, 0.03), y - rng.normal(0, 0.02)
    return x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)


def _outline(u: Array, traits: np.random.Generator) -> Array:
    """Return half the leaf's width at *u* (0 at its base, 1 at its tip), in lengths."""
    half = blade(u, traits.uniform(0.35, 1.1), traits.uniform(0.5, 1.2))
    half = half * traits.uniform(0.16, 0.34)
    margin = traits.choice(["entire", "teeth", "lobes"], p=[0.5, 0.3, 0.2])
    if margin == "teeth":
        half = half * (1 - traits.uniform(0.05, 0.12) * ((u * traits.integers(12, 30)) % 1))
    elif margin == "lobes":
        depth = traits.uniform(0.15, 0.35)
        half = half * (1 - depth + depth * np.cos(u * 2 * np.pi * traits.uniform(2, 4.5)))
    return np.asarray(half)


def _blade(u: Array, v: Array, half: Array, traits: np.random.Generator) -> Array:
    """Return how light the leaf is at each place: midrib, side veins, a paler margin."""
    across = np.abs(v) / np.maximum(half, 0.02)
    pairs, slope, bend = traits.uniform(5, 16), traits.uniform(0.3, 1.6), traits.uniform(0, 0.15)
    veins = np.cos((u - slope * np.abs(v) - bend * across**2) * 2 * np.pi * pairs)
    rib = np.exp(-((v / traits.uniform(0.006, 0.014)) ** 2))
    side = np.where(v < 0, 1.04, 0.97)
    light = side * (0.92 + 0.14 * step(veins - 0.75, 0.2) + 0.3 * rib)
    return np.asarray(light - traits.uniform(-0.1, 0.1) * across**2)


def _clouds(rng: np.random.Generator, grain: int) -> Array:
    """Return smooth noise from 0 to 1 over the sheet."""
    coarse = Image.fromarray(rng.integers(0, 256, (grain, grain), dtype=np.uint8))
    return np.asarray(coarse.resize(SIZE, Image.Resampling.BICUBIC), np.float64) / 255
