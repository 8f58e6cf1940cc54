"""What is around a plant in a photograph: the ground or wall behind it, the light, the camera."""

import math
from functools import lru_cache
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from demo.sprites import Array, Colour, paint

Backdrop = Literal[
    "bokeh", "meadow", "sky", "soil", "stones", "bricks", "plaster", "litter", "shade"
]


def _clouds(size: tuple[int, int], cells: int, rng: np.random.Generator) -> Array:
    """Return smooth noise around 0, about *cells* hills across."""
    rough = Image.fromarray(rng.standard_normal((cells + 2, cells + 2)).astype(np.float32))
    if cells < 10:
        eighth = (max(2, size[0] // 8), max(2, size[1] // 8))
        rough = rough.resize(eighth, Image.Resampling.BICUBIC)
    return np.asarray(rough.resize(size, Image.Resampling.BILINEAR))


def _wash(size: tuple[int, int], top: Colour, bottom: Colour) -> Image.Image:
    column = np.linspace(0, 1, size[1], dtype=np.float32)[:, None, None]
    rows = paint(top) * (1 - column) + paint(bottom) * column
    return Image.fromarray(np.broadcast_to(rows, (size[1], size[0], 3)).astype(np.uint8))


def _tones(colour: Colour, count: int, rng: np.random.Generator, spread: float) -> list[Colour]:
    """Return *count* colours near *colour*."""
    near = np.clip(np.array(colour) + rng.normal(0, spread, (count, 3)), 0, 255)
    return [(red, green, blue) for red, green, blue in near.astype(int).tolist()]


def _vary(colour: Colour, rng: np.random.Generator, spread: float = 18) -> Colour:
    return _tones(colour, 1, rng, spread)[0]


def backdrop(kind: Backdrop, size: tuple[int, int], rng: np.random.Generator) -> Image.Image:
    """Return what stands behind the plant; most kinds are out of focus."""
    small = (size[0] // 2, size[1] // 2)
    dark, mid = _vary((48, 74, 34), rng), _vary((104, 138, 66), rng, 22)
    if kind == "sky":
        high, low = _vary((88, 142, 210), rng, 14), _vary((200, 222, 238), rng, 12)
        canvas = _wash(small, high, low)
        veil = np.clip(_clouds(small, int(rng.integers(2, 5)), rng) * 90, 0, 200).astype(np.uint8)
        canvas.paste((246, 248, 250), (0, 0), Image.fromarray(veil))
        if rng.random() < 0.6:
            _hedge(canvas, dark, rng)
    elif kind in ("bokeh", "shade"):
        canvas = _wash(small, mid if kind == "bokeh" else (34, 46, 30), dark)
        _discs(canvas, rng, bright=kind == "bokeh")
        canvas = soften(canvas, rng.uniform(2, 5))
    elif kind == "meadow":
        canvas = _wash(small, _vary((150, 172, 104), rng), dark)
        _blades(canvas, rng)
        canvas = soften(canvas, rng.uniform(1, 2.5))
    elif kind == "litter":
        canvas = _wash(small, _vary((84, 62, 42), rng, 10), _vary((58, 44, 32), rng, 10))
        _leaf_litter(canvas, rng)
        canvas = soften(canvas, 1.25)
    elif kind == "stones":
        canvas = _wash(small, (58, 54, 48), (44, 40, 36))
        _stones(canvas, rng)
        canvas = soften(canvas, 1.25)
    elif kind == "bricks":
        canvas = soften(_bricks(small, rng), rng.uniform(1, 1.8))
    elif kind == "plaster":
        tone = _vary((206, 196, 178), rng, 12)
        canvas = _wash(small, tone, _vary(tone, rng, 14))
    else:
        tone = _vary((104, 82, 60), rng, 10)
        canvas = _wash(small, tone, _vary(tone, rng, 10))
    canvas = canvas.resize(size, Image.Resampling.BICUBIC)
    texture = np.asarray(canvas, np.float32) + _relief(kind, size, rng)[..., None]
    return Image.fromarray(np.clip(texture, 0, 255).astype(np.uint8))


def _relief(kind: Backdrop, size: tuple[int, int], rng: np.random.Generator) -> Array:
    """Return light and dark patches, and on rough ground its crumbs."""
    relief = _clouds(size, int(rng.integers(2, 6)), rng) * 14
    rough = {"soil": 20.0, "plaster": 6.0, "stones": 5.0, "litter": 8.0, "bricks": 7.0}.get(kind)
    if rough:
        for cells in (14, 37, 90):
            relief = relief + _clouds(size, cells, rng) * rough * 0.6
    return relief


def soften(canvas: Image.Image, blur: float) -> Image.Image:
    """Return *canvas* out of focus: shrunk, and stretched again."""
    small = (max(2, round(canvas.width / blur)), max(2, round(canvas.height / blur)))
    shrunk = canvas.resize(small, Image.Resampling.BICUBIC)
    return shrunk.resize(canvas.size, Image.Resampling.BICUBIC)


def _hedge(canvas: Image.Image, colour: Colour, rng: np.random.Generator) -> None:
    pen = ImageDraw.Draw(canvas)
    level = canvas.height * rng.uniform(0.6, 0.95)
    for x, tone in enumerate(_tones(colour, canvas.width // 9 + 2, rng, 9)):
        y, radius = level + rng.normal(0, 6), rng.uniform(8, 20)
        pen.ellipse((x * 9 - radius, y - radius, x * 9 + radius, y + radius), fill=tone)
    pen.rectangle((0, level, canvas.width, canvas.height), fill=_vary(colour, rng, 9))
    canvas.paste(soften(canvas, 3))


def _discs(canvas: Image.Image, rng: np.random.Generator, *, bright: bool) -> None:
    pen = ImageDraw.Draw(canvas, "RGBA")
    colour = (150, 176, 96) if bright else (64, 84, 50)
    for tone in _tones(colour, int(rng.integers(14, 30)), rng, 34):
        x, y = rng.uniform(0, canvas.width), rng.uniform(0, canvas.height)
        radius = rng.uniform(5, 26)
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(*tone, 110))


def _blades(canvas: Image.Image, rng: np.random.Generator) -> None:
    pen = ImageDraw.Draw(canvas)
    feet = np.sort(rng.uniform(0.1, 1.25, 110)).tolist()
    for foot, tone in zip(feet, _tones((96, 130, 58), 110, rng, 20), strict=True):
        x, y = rng.uniform(-5, canvas.width + 5), foot * canvas.height
        tall, lean = rng.uniform(14, 52), rng.normal(0, 9)
        pen.polygon([(x - 1.6, y), (x + lean, y - tall), (x + 1.6, y)], fill=tone)


def _leaf_litter(canvas: Image.Image, rng: np.random.Generator) -> None:
    pen = ImageDraw.Draw(canvas)
    outline = np.array([(0, 1), (0.45, 0.3), (0.35, -0.5), (0, -1), (-0.35, -0.5), (-0.45, 0.3)])
    for tone in _tones((132, 96, 62), 110, rng, 17):
        turn, long = rng.uniform(0, 6.3), rng.uniform(6, 15)
        at = rng.uniform(0, canvas.width), rng.uniform(0, canvas.height)
        spin = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
        points = outline @ spin * long + at
        pen.polygon([(x, y) for x, y in points.tolist()], fill=tone)


def _stones(canvas: Image.Image, rng: np.random.Generator) -> None:
    pen = ImageDraw.Draw(canvas)
    largest = rng.uniform(9, 22)
    for tone in _tones((138, 134, 124), int(3600 / largest), rng, 5):
        x, y = rng.uniform(0, canvas.width), rng.uniform(0, canvas.height)
        rx, ry = rng.uniform(0.4, 1) * largest, rng.uniform(0.4, 0.8) * largest
        pale = rng.uniform(0.7, 1.3)
        for inset, gain in ((0.0, 0.5), (0.1, 0.82), (0.3, 0.95), (0.55, 1.05)):
            dx, dy = rx * (1 - inset), ry * (1 - inset)
            cx, cy = x - rx * inset * 0.35, y - ry * inset * 0.45
            red, green, blue = (min(255, int(c * gain * pale)) for c in tone)
            pen.ellipse((cx - dx, cy - dy, cx + dx, cy + dy), fill=(red, green, blue))


def _bricks(size: tuple[int, int], rng: np.random.Generator) -> Image.Image:
    canvas = Image.new("RGB", size, _vary((184, 174, 160), rng, 10))
    pen = ImageDraw.Draw(canvas)
    high = int(rng.integers(11, 22))
    wide, shift = int(high * 2.7), int(rng.integers(0, 40))
    tones = _tones(_vary((158, 84, 62), rng, 16), 64, rng, 8)
    for row in range(-1, size[1] // high + 1):
        for x in range(-shift - wide * (row % 2) // 2, size[0], wide):
            y = row * high + shift % high
            tone = tones[int(rng.integers(64))]
            pen.rectangle((x, y, x + wide - 3, y + high - 3), fill=tone)
    return canvas


@lru_cache(maxsize=1)
def _grain() -> Array:
    """Return film grain, one tile for all pictures."""
    return np.random.default_rng(7).standard_normal((448, 448, 1)).astype(np.float32)


def develop(canvas: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Return *canvas* as a camera would: light, shade, white balance, focus, grain."""
    if rng.random() < 0.25:
        canvas = canvas.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 0.8)))
    wide, high = canvas.size
    light = 1 + _clouds(canvas.size, 1, rng) * 0.14
    if rng.random() < 0.4:  # sun through leaves
        light = light * (1 + 0.3 * np.tanh(2 * _clouds(canvas.size, int(rng.integers(3, 7)), rng)))
    light = light * rng.uniform(0.82, 1.16)
    warmth = rng.normal(0, 0.05)
    balance = np.array((1 + warmth, 1 + rng.normal(0, 0.015), 1 - warmth), np.float32)
    x, y = (int(rng.integers(0, 448 - 330)) for _ in range(2))
    grain = _grain()[y : y + high, x : x + wide] * rng.uniform(1, 6)
    picture = np.asarray(canvas, np.float32) * light[..., None] * balance + grain
    haze = rng.uniform(0, 14)
    curve = haze + picture * (1 - haze / 255) * rng.uniform(0.92, 1.08)
    return Image.fromarray(np.clip(curve, 0, 255).astype(np.uint8))
