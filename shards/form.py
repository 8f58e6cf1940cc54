"""The `train` form of a picture: small, upright, sRGB, in tiles that decode by themselves.

A picture of more than `side` pixels on its shorter side is scaled down to that, once, for every
epoch to come. A JPEG that is small enough keeps its pixels to the last bit: it is only coded anew
(shards/recode.py). All are JPEGs with Huffman tables made for them and restart markers; no
metadata stays. The same bytes give the same form on any machine with the same libraries.
"""

import io
import warnings
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import simplejpeg
from PIL import Image, ImageCms

from flora import pictures
from flora.pictures import FlawedPictureError
from flora.records import Refusal
from shards.config import ShardSettings
from shards.recode import recode, restart_interval
from shards.scale import Pixels, shrink

KEPT_QUALITY = 95
"""Least quality of a JPEG that is not made smaller and yet cannot be kept: what was PNG, lies on
its side, or has colours that are not sRGB."""

_FORMATS = ("JPEG", "PNG", "WEBP", "GIF")
_MCU = 16
_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_LYING = frozenset({5, 6, 7, 8})
_SRGB = ImageCms.createProfile("sRGB")
_UNSEEN = 2
"""Of 255: what a profile may change in a colour and still be taken for sRGB."""


def convert(data: bytes, format: str, settings: ShardSettings) -> tuple[bytes, str]:
    """Return the train form of the picture *data*, and its format, which is always jpg.

    Raises FlawedPictureError, never anything else, for bytes that do not decode to their end.
    """
    try:
        look = _look(data)
        size = fitted(look.size, settings.side)
        smaller = size != look.size
        if format == "jpg" and not smaller and look.turn is None and look.colours is None:
            try:
                return recode(data), "jpg"
            except (ValueError, LookupError):
                pass  # CMYK, RGB that is not YCbCr; what is broken fails below
        stored = size[::-1] if look.lying else size
        image = _upright(shrink(_drawn(data, look, stored), stored), look)
        quality = settings.quality if smaller else max(settings.quality, KEPT_QUALITY)
        return encode(image, quality), "jpg"
    except FlawedPictureError:
        raise
    except Exception as error:  # Pillow's readers raise whatever a broken file leads them to
        raise FlawedPictureError(Refusal.CORRUPT, str(error)) from error


def encode(image: Image.Image, quality: int) -> bytes:
    """Return *image* (L, RGB or RGBX) as a baseline JPEG, 4:2:0, in tiles, with its own tables."""
    colour = image.mode != "L"
    mcu = _MCU if colour else 8
    out = io.BytesIO()
    image.save(
        out, "JPEG", quality=quality, optimize=True,
        restart_marker_blocks=restart_interval(-(-image.width // mcu), mcu),
        **({"subsampling": "4:2:0"} if colour else {}),
    )  # fmt: skip
    return out.getvalue()


def fitted(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Return width and height of the form of an upright picture of *size*.

    Its shorter side is *side*, or as it was if that is less. Where the MCUs of a row cannot be
    shared out evenly (43 are a prime number), the picture is made one of them narrower.
    """
    width, height = size
    if min(size) <= side:
        return size
    narrower = _share(width, side, min(size))
    columns = -(-narrower // _MCU)
    if columns > 1 and restart_interval(columns, _MCU) == 1:
        narrower = (columns - 1) * _MCU
    return narrower, max(1, min(_share(height, narrower, width), height))


def _share(whole: int, part: int, of: int) -> int:
    """Return *whole* x *part* / *of*, rounded."""
    return (2 * whole * part + of) // (2 * of)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """What the headers of a picture tell."""

    size: tuple[int, int]
    """Width and height as it is meant to be seen."""
    mode: str
    """L, RGB or CMYK."""
    turn: Image.Transpose | None
    """What makes it upright."""
    lying: bool
    """Whether that swaps width and height."""
    colours: "ImageCms.ImageCmsTransform | None"
    """To sRGB; None where they are."""


def _look(data: bytes) -> _Look:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's remarks on odd files are not for users
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            orientation = image.getexif().get(_ORIENTATION, 1)
            grey = image.mode.startswith(("1", "L", "I"))
            mode = "L" if grey else "CMYK" if image.mode == "CMYK" else "RGB"
            profile = image.info.get("icc_profile") or b""
            width, height = image.size
    lying = orientation in _LYING
    return _Look(
        size=(height, width) if lying else (width, height),
        mode=mode,
        turn=_TURNS.get(orientation),
        lying=lying,
        colours=_to_srgb(profile, mode) if profile else None,
    )


@lru_cache(maxsize=64)  # most profiles are one of a few
def _to_srgb(profile: bytes, mode: str) -> "ImageCms.ImageCmsTransform | None":
    """Return what takes the colours of *profile* to sRGB; None if they are, or it is broken."""
    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        transform = ImageCms.buildTransform(own, _SRGB, mode, "RGB")
    except (ImageCms.PyCMSError, OSError):
        return None
    if mode == "CMYK":
        return transform
    levels = np.linspace(0, 255, 9).astype(np.uint8)
    colours = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(81, 9, 3)
    some = Image.fromarray(colours if mode == "RGB" else colours[:9, :, 2])
    seen = ImageCms.applyTransform(some, transform)
    moved = np.abs(np.asarray(seen, int) - np.asarray(some.convert("RGB"), int))
    return transform if moved.max() > _UNSEEN else None


def _drawn(data: bytes, look: _Look, size: tuple[int, int]) -> Pixels:
    """Return the pixels of *data* as stored, in *size* or more: a JPEG at half or less."""
    if data[:3] != b"\xff\xd8\xff":
        image = Image.fromarray(pictures.rgb(data))
        return np.asarray(image.convert("L" if look.mode == "L" else "RGBX"))
    width, height = size
    if look.mode == "CMYK" and look.colours:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
            image.draft("CMYK", size)
            return np.asarray(image)
    kind = "GRAY" if look.mode == "L" else "RGBX"
    pixels = simplejpeg.decode_jpeg(  # factors below 2 take longer than all pixels do
        data, kind, min_height=height, min_width=width, min_factor=2, strict=True
    )
    return np.asarray(pixels[:, :, 0] if kind == "GRAY" else pixels)


def _upright(pixels: Pixels, look: _Look) -> Image.Image:
    """Return *pixels* as a picture (L, RGB or RGBX) in sRGB and upright."""
    mode = "L" if pixels.ndim == 2 else "CMYK" if look.mode == "CMYK" and look.colours else "RGBX"
    size = pixels.shape[1::-1]
    image = Image.frombuffer(mode, size, np.ascontiguousarray(pixels), "raw", mode, 0, 1)
    if look.colours:
        image = image.convert("RGB") if mode == "RGBX" else image
        image = ImageCms.applyTransform(image, look.colours) or image
        image = image.convert("L") if mode == "L" else image
    return image if look.turn is None else image.transpose(look.turn)
