"""Image bytes: what they are, whether they are whole, and their grey pixels.

Nothing here believes a header field or a file name. JPEGs are decoded by libjpeg-turbo in
strict mode, so a truncated or patched file is an error and not a grey stripe. What a decoder
would need is reckoned from the headers before it is started, so a small file cannot ask for
much memory or time.
"""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import Image, PngImagePlugin

from flora import jpegs
from flora.hashes import Grey, pdq, phash
from flora.records import Refusal

HASH_SIDE = 256
"""A JPEG is decoded at the smallest DCT scale whose sides are at least this, for its hashes; what
is not JPEG is reduced by whole numbers to sides of at least this. Change it, and raise
`flora.hashes.PIPELINE`: PDQ moves by several bits."""

DECODE_BYTES = 100_000_000
"""Most that a decoder may hold: 25 megapixels of PNG, 6 of WebP, 16 to 33 of progressive JPEG.
Baseline JPEGs and GIFs never come near it."""

_BYTES_PER_PIXEL = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2}
"""By Pillow's mode; all others take four."""
_WEBP_BYTES_PER_PIXEL = 17
_LONGEST_SIDE = 4 * HASH_SIDE
_STRIP_PIXELS = 1_000_000
_PILLOW_FORMATS = ("PNG", "WEBP", "GIF")

Image.MAX_IMAGE_PIXELS = None  # the limit is ours, and is checked before anything is decoded
PngImagePlugin.MAX_TEXT_MEMORY = 4_000_000  # compressed text is unpacked when a file is opened


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
    pdq: bytes
    quality: int
    """PDQ's, 0 (blank) to 100."""


def inspect(data: bytes, *, max_pixels: int, min_side: int) -> Picture:
    """Return what *data* is, having decoded it once for its integrity and its hashes.

    Raises FlawedPictureError, never anything else, whatever the bytes.
    """
    kind = sniff(data)
    if _is_more_than_a_picture(data):
        raise FlawedPictureError(Refusal.POLYGLOT)
    width, height, memory = _measure(data, kind)
    if width * height > max_pixels or memory > DECODE_BYTES:
        raise FlawedPictureError(Refusal.TOO_MANY_PIXELS, f"{width} x {height}")
    if min(width, height) < min_side:
        raise FlawedPictureError(Refusal.TOO_SMALL, f"{width} x {height}")
    pixels = grey(data).astype(np.float32)  # once for both hashes
    bits, quality = pdq(pixels)
    return Picture(
        format=kind, width=width, height=height, phash=phash(pixels), pdq=bits, quality=quality
    )


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
    if data[:3] != b"\xff\xd8\xff":
        return _raster(data, "L", side)
    try:
        pixels = simplejpeg.decode_jpeg(
            data, "GRAY", min_height=side, min_width=side, min_factor=1, strict=True
        )[:, :, 0]
    except (ValueError, MemoryError) as error:
        raise FlawedPictureError(Refusal.CORRUPT, str(error)) from error
    if max(pixels.shape) > _LONGEST_SIDE:  # a ribbon: its hash would take more than its picture
        pixels = _shrunk(Image.fromarray(pixels), side)
    return np.asarray(pixels)


def rgb(data: bytes, side: int = 0) -> npt.NDArray[np.uint8]:
    """Return colour pixels (height x width x 3) of *data*. Raises FlawedPictureError.

    With a *side*, a JPEG comes at the smallest DCT scale whose sides are at least that.
    """
    if data[:3] != b"\xff\xd8\xff":
        return _raster(data, "RGB")
    try:
        return np.asarray(
            simplejpeg.decode_jpeg(data, "RGB", min_height=side, min_width=side, strict=True)
        )
    except (ValueError, MemoryError) as error:
        raise FlawedPictureError(Refusal.CORRUPT, str(error)) from error


def _is_more_than_a_picture(data: bytes) -> bool:
    """Tell whether *data* also opens as a PDF or as a zip (jar, docx, apk).

    Text in a comment and bytes after the end of the picture are common and harmless: cameras
    append second pictures and films there, and we hand no byte of it to anything.
    """
    reach = 1_000 if data[-2:] == b"\xff\xd9" else 65_557  # as far as a zip's end may begin
    end = data.rfind(b"PK\5\6", max(0, len(data) - reach))
    if end >= 0 and end + 22 + int.from_bytes(data[end + 20 : end + 22], "little") == len(data):
        return True
    return b"%PDF-" in data[:1024]


def _measure(data: bytes, kind: str) -> tuple[int, int, int]:
    """Return width, height and the bytes that decoding takes, from the headers."""
    if kind == "jpg":
        try:
            frame = jpegs.frame(data)
        except (ValueError, LookupError) as error:
            raise FlawedPictureError(Refusal.CORRUPT, str(error)) from error
        return frame.width, frame.height, frame.memory
    with _flaws():
        if kind == "webp":  # not by Pillow: it allocates the canvas when it opens the file
            width, height = _webp_size(data)
            return width, height, _WEBP_BYTES_PER_PIXEL * width * height
        with _opened(data) as image:
            width, height = image.size
            return width, height, _BYTES_PER_PIXEL.get(image.mode, 4) * width * height


def _webp_size(data: bytes) -> tuple[int, int]:
    """Return the size that the first chunk of a WebP file tells."""
    kind, body = data[12:16], data[20:30]
    if len(body) < 10:
        raise ValueError("only a header")
    if kind == b"VP8X":
        return _little(body[4:7]) + 1, _little(body[7:10]) + 1
    if kind == b"VP8L":
        sides = _little(body[1:5])
        return (sides & 0x3FFF) + 1, (sides >> 14 & 0x3FFF) + 1
    return _little(body[6:8]) & 0x3FFF, _little(body[8:10]) & 0x3FFF


def _little(data: bytes) -> int:
    return int.from_bytes(data, "little")


def _raster(data: bytes, mode: str, side: int | None = None) -> npt.NDArray[np.uint8]:
    """Decode with Pillow what is not JPEG: the first frame, transparency over white.

    Only the raster itself is ever there as a whole: it is converted in strips, each shrunk
    towards *side* at once.
    """
    with _flaws(), _opened(data) as image:
        image.load()
        width, height = image.size
        step = height // side if side and height > side else 1
        rows = step * max(1, _STRIP_PIXELS // (width * step))
        strips = []
        for top in range(0, height, rows):
            strip = image.crop((0, top, width, min(top + rows, height)))
            strips.append(np.asarray(_shrunk(_on_paper(strip, mode), side, step)))
        return np.concatenate(strips)


def _on_paper(image: Image.Image, mode: str) -> Image.Image:
    """Return *image* in *mode*, transparency over white."""
    if image.mode.startswith("I"):  # 16 bits, which Pillow would cut off at 255
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    elif image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        paper = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(paper, image.convert("RGBA"))
    return image.convert(mode)


def _shrunk(image: Image.Image, side: int | None, step: int | None = None) -> Image.Image:
    """Return *image* reduced by whole numbers, its sides still at least *side*."""
    if side is None:
        return image
    across, down = max(1, image.width // side), step or max(1, image.height // side)
    return image.reduce((across, down)) if across > 1 or down > 1 else image


@contextmanager
def _opened(data: bytes) -> Iterator[Image.Image]:
    """Open *data* with Pillow, whose remarks on odd files are not for users."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(data), formats=_PILLOW_FORMATS) as image:
            yield image


@contextmanager
def _flaws() -> Iterator[None]:
    """Turn what Pillow raises over broken bytes into FlawedPictureError."""
    try:
        yield
    except Exception as error:  # its readers raise whatever a broken file leads them to
        raise FlawedPictureError(Refusal.CORRUPT, str(error)) from error
