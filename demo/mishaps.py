"""What befalls a picture on the web: it is copied, marked, cut short, mistaken for another."""

import io
import math
import struct
import zlib
from collections.abc import Callable
from enum import StrEnum

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps


class Kind(StrEnum):
    """The truth about one listing of a picture."""

    CLEAN = "clean"
    """What it says it is (perhaps listed twice, at the same URL, by two sources)."""
    WRONG_LABEL = "wrong_label"
    """A good picture, listed under a species that it does not show."""

    EXACT_COPY = "exact_copy"
    """The same bytes under another URL."""
    REENCODED = "reencoded"
    RESIZED = "resized"
    CROPPED = "cropped"
    WATERMARKED = "watermarked"
    TWO_SPECIES = "two_species"
    """The same bytes, or a re-encoded copy, listed under another species."""
    PLACEHOLDER = "placeholder"
    """"No image available", listed for many species."""

    FLAKY = "flaky"
    """429 with `Retry-After: 1` at first, then the picture."""
    UNSTEADY = "unsteady"
    """503 at first, then the picture."""
    SLOW = "slow"
    """Drips, but arrives."""
    REDIRECTED = "redirected"

    SPECIMEN = "specimen"
    """A dried plant on paper: a GBIF record whose basis is PRESERVED_SPECIMEN."""
    UNRESOLVED = "unresolved"
    """A good picture, under a name that the checklist does not resolve."""
    OPTED_OUT = "opted_out"
    """Sent with `X-Robots-Tag: noai, noimageai`."""
    FORBIDDEN = "forbidden"
    """Its host's robots.txt does not want us there."""

    TRUNCATED = "truncated"
    HTML = "html"
    """A page named .jpg."""
    MISSING = "missing"
    """404."""
    REDIRECT_LOOP = "redirect_loop"
    BOMB = "bomb"
    """400 million pixels in 50 kB."""
    TINY = "tiny"
    """One pixel."""


def encode(image: Image.Image, form: str = "JPEG", quality: int = 88) -> bytes:
    """Return *image* as the bytes of a file."""
    buffer = io.BytesIO()
    image.save(buffer, form, quality=quality)
    return buffer.getvalue()


def _reencoded(image: Image.Image, _: bytes, rng: np.random.Generator) -> bytes:
    return encode(image, quality=int(rng.integers(40, 91)))


def _resized(image: Image.Image, _: bytes, rng: np.random.Generator) -> bytes:
    scale = rng.uniform(0.5, 0.9) if rng.random() < 0.7 else rng.uniform(1.1, 1.5)
    size = (round(image.width * scale), round(image.height * scale))
    return encode(image.resize(size, Image.Resampling.LANCZOS), quality=int(rng.integers(75, 93)))


def _cropped(image: Image.Image, _: bytes, rng: np.random.Generator) -> bytes:
    """Cut 3 to 10 % of the width and of the height away, unevenly from both sides."""
    lost_x = round(rng.uniform(0.03, 0.10) * image.width)
    lost_y = round(rng.uniform(0.03, 0.10) * image.height)
    left, top = int(rng.integers(0, lost_x + 1)), int(rng.integers(0, lost_y + 1))
    right, bottom = left + image.width - lost_x, top + image.height - lost_y
    return encode(image.crop((left, top, right, bottom)), quality=int(rng.integers(75, 93)))


def _watermarked(image: Image.Image, _: bytes, rng: np.random.Generator) -> bytes:
    layer = Image.new("L", image.size)
    pen = ImageDraw.Draw(layer)
    text = ("© plantpics.example", "www.greenstock.example", "GARDEN·ARCHIVE")[int(rng.integers(3))]
    wide = image.width * rng.uniform(0.4, 0.65)
    font = ImageFont.load_default(
        max(9, 20 * wide / pen.textlength(text, ImageFont.load_default(20)))
    )
    right, bottom = pen.textbbox((0, 0), text, font)[2:]
    x = (4, image.width - right - 4)[int(rng.integers(2))]
    y = (4, image.height - bottom - 6)[int(rng.integers(2))]
    pen.text((x, y), text, fill=190, font=font)
    image.paste((255, 255, 255), (0, 0), layer)
    return encode(image, quality=int(rng.integers(75, 93)))


def _truncated(_: Image.Image, data: bytes, rng: np.random.Generator) -> bytes:
    return data[: int(len(data) * rng.uniform(0.3, 0.9))]


def _pressed(image: Image.Image, _: bytes, rng: np.random.Generator) -> bytes:
    """Return *image* as a herbarium sheet: brown on paper, with a label."""
    brown = ImageOps.colorize(ImageOps.grayscale(image), "#38281a", "#efe6cf", mid="#8a7350")
    wide, high = image.width + 40, image.height + 90
    sheet = Image.new("RGB", (wide, high), "#efe8d6")
    sheet.paste(brown, (20, 20))
    pen = ImageDraw.Draw(sheet)
    pen.rectangle((wide - 126, high - 62, wide - 12, high - 12), fill="#faf7ee", outline="#6b5f4b")
    for line in range(4):
        y = high - 54 + line * 10
        pen.line((wide - 118, y, wide - int(rng.integers(30, 80)), y), fill="#55493a")
    return encode(sheet)


_Copier = Callable[[Image.Image, bytes, np.random.Generator], bytes]
_COPIERS: dict[Kind, _Copier] = {
    Kind.REENCODED: _reencoded,
    Kind.RESIZED: _resized,
    Kind.CROPPED: _cropped,
    Kind.WATERMARKED: _watermarked,
    Kind.TRUNCATED: _truncated,
    Kind.SPECIMEN: _pressed,
}


ALTERED = frozenset(_COPIERS)
"""The kinds whose bytes are made from those of a picture."""


def alter(data: bytes, kind: Kind, seed: int) -> bytes:
    """Return what became of the picture *data* on its way to another site."""
    image = Image.open(io.BytesIO(data)).convert("RGB")
    return _COPIERS[kind](image, data, np.random.default_rng(seed))


def placeholder(which: int) -> bytes:
    """Return one of two pictures that stand for no picture."""
    image = Image.new("RGB", (240, 180), ("#e4e6e2", "#2f3437")[which % 2])
    pen = ImageDraw.Draw(image)
    ink = ("#9aa096", "#8b949a")[which % 2]
    petals = 5 + which
    for k in range(petals):
        x, y = 120 + 26 * math.sin(k * math.tau / petals), 68 - 26 * math.cos(k * math.tau / petals)
        pen.ellipse((x - 15, y - 15, x + 15, y + 15), outline=ink, width=3)
    text = ("No image available", "photo unavailable")[which % 2]
    pen.text((120, 140), text, fill=ink, font=ImageFont.load_default(18), anchor="mm")
    return encode(image)


def html() -> bytes:
    """Return the page that some sites send where a picture was."""
    return (
        b"<!doctype html>\n<html><head><title>Sign in</title></head>\n"
        b"<body><p>Please sign in to see this picture.</p></body></html>\n"
    )


def bomb(side: int = 20_000) -> bytes:
    """Return a small PNG of *side* x *side* black pixels."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    deflate = zlib.compressobj(9)
    row = bytes(1 + (side + 7) // 8)
    rows = b"".join(deflate.compress(row) for _ in range(side)) + deflate.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", rows), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def tiny() -> bytes:
    """Return a picture of one pixel."""
    return encode(Image.new("P", (1, 1)), "GIF")
