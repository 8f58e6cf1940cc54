"""Image bytes: what they are, whether they are whole, and their grey pixels.

Nothing here believes a header field or a file name. JPEGs are decoded by libjpeg-turbo in
strict mode, so a truncated or patched file is an error and not a grey stripe.
"""

import io
import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import Image, UnidentifiedImageError

from flora.hashes import Grey, phash
from flora.records import Refusal

HASH_SIDE = 128
"""A JPEG is decoded at the smallest DCT scale whose sides are at least this, for its hash."""

_PILLOW_FORMATS = ("PNG", "WEBP", "GIF")

Image.MAX_IMAGE_PIXELS = None  # the limit is ours, and is checked before anything is decoded


class FlawedPictureError(ValueError):
    """These bytes are no picture for us; `flaw` says why."""

    def __init__(self, flaw: Refusal, why: str = "") -> None:
        super().__init__(f"{flaw}: {why}" if why else str(flaw))
        self.flaw = flaw


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """What one look at the bytes told."""

    format: str
    """Also the file's suffix: jpg, png, webp or gif."""
    width: int
    height: int
    phash: int


def inspect(data: bytes, *, max_pixels: int, min_side: int) -> Picture:
    """Return what *data* is, having decoded it once for both its integrity and its hash.

    Raises FlawedPictureError, never anything else, whatever the bytes.
    """
    kind = sniff(data)
    width, height = _size(data, kind)
    if width * height > max_pixels:
        raise FlawedPictureError(Refusal.TOO_MANY_PIXELS, f"{width} x {height}")
    if min(width, height) < min_side:
        raise FlawedPictureError(Refusal.TOO_SMALL, f"{width} x {height}")
    return Picture(format=kind, width=width, height=height, phash=phash(grey(data)))


def sniff(data: bytes) -> str:
    """Return jpg, png, webp or gif from the first bytes. Raises FlawedPictureError."""
    if not data:
        raise FlawedPictureError(Refusal.EMPTY)
    if data[:3] == b"\xff\xd8\xff":
        return "jpg"
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return "png"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return "gif"
    raise FlawedPictureError(Refusal.NOT_AN_IMAGE, repr(data[:12]))


def grey(data: bytes, side: int = HASH_SIDE) -> Grey:
    """Return grey pixels (height x width) of *data*, at *side* or more where it has them.

    Raises FlawedPictureError for bytes that do not decode to their end.
    """
    if data[:3] == b"\xff\xd8\xff":
        try:
            pixels = simplejpeg.decode_jpeg(
                data, "GRAY", min_height=side, min_width=side, min_factor=1, strict=True
            )
        except (ValueError, MemoryError) as error:
            raise FlawedPictureError(Refusal.CORRUPT, str(error)) from error
        return np.asarray(pixels[:, :, 0])
    return np.asarray(_load(data, "L"))


def rgb(data: bytes) -> npt.NDArray[np.uint8]:
    """Return colour pixels (height x width x 3) of *data*. Raises FlawedPictureError."""
    if data[:3] == b"\xff\xd8\xff":
        try:
            return np.asarray(simplejpeg.decode_jpeg(data, "RGB", strict=True))
        except (ValueError, MemoryError) as error:
            raise FlawedPictureError(Refusal.CORRUPT, str(error)) from error
    return np.asarray(_load(data, "RGB"))


def _size(data: bytes, kind: str) -> tuple[int, int]:
    try:
        if kind == "jpg":
            height, width, _, _ = simplejpeg.decode_jpeg_header(data)
            return width, height
        with Image.open(io.BytesIO(data), formats=_PILLOW_FORMATS) as image:
            return image.size
    except (ValueError, OSError, SyntaxError, UnidentifiedImageError) as error:
        raise FlawedPictureError(Refusal.CORRUPT, str(error)) from error


def _load(data: bytes, mode: str) -> Image.Image:
    """Decode with Pillow what is not JPEG: the first frame, transparency over white."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's remarks on odd files are not for users
            with Image.open(io.BytesIO(data), formats=_PILLOW_FORMATS) as opened:
                opened.load()
                image: Image.Image = opened
                if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
                    paper = Image.new("RGBA", image.size, "white")
                    image = Image.alpha_composite(paper, image.convert("RGBA"))
                return image.convert(mode)
    except (ValueError, OSError, SyntaxError, EOFError, MemoryError) as error:
        raise FlawedPictureError(Refusal.CORRUPT, str(error)) from error
