"""From the bytes of a picture to the square that the model sees.

What part of it is wanted is settled first, from its header alone, so that no more is decoded.
"""

import io
import math
from random import Random

import numpy as np
import numpy.typing as npt
import simplejpeg
import torch
from PIL import Image
from torch.nn import functional

from flora import pictures
from train.tiles import Box, decode_crop

Pixels = npt.NDArray[np.uint8]
"""Height x width x 3, red first."""

CENTRE_SHARE = 0.875
"""How much of the shorter side an unaugmented picture keeps."""
_ASPECT = math.log(4 / 3)
_JITTER = 0.2
_GREY = np.array([0.299, 0.587, 0.114], np.float32)


def measure(data: bytes) -> tuple[int, int]:
    """Return width and height of the picture *data*. Raises some exception if it is none."""
    if _is_jpeg(data):
        height, width, *_ = simplejpeg.decode_jpeg_header(data)
        return width, height
    with Image.open(io.BytesIO(data)) as image:
        return image.size


def crop(data: bytes, box: Box, size: int, *, mirrored: bool = False) -> Pixels:
    """Return what is within *box* of the picture *data* as a square of *size*.

    Only the tiles below the box are decoded where a JPEG has tiles, and these at half (a quarter,
    an eighth of) their size where that is enough. Raises some exception or other for bytes that
    are no whole picture, as far as they are looked at.
    """
    left, top, right, bottom = box
    if _is_jpeg(data):
        spare = min(right - left, bottom - top) / size
        shrink = next(times for times in (8, 4, 2, 1) if times <= max(spare, 1))
        pixels, (x, y) = decode_crop(data, box, shrink=shrink)
        left, top = left // shrink - x, top // shrink - y
        right, bottom = -(-right // shrink) - x, -(-bottom // shrink) - y
    else:
        pixels = np.array(pictures.rgb(data))
    return resize(pixels[top:bottom, left:right], size, mirrored=mirrored)


def resize(part: Pixels, size: int, *, mirrored: bool = False) -> Pixels:
    """Return *part* as a square of *size*, left for right if *mirrored*.

    The filter is bilinear and as wide as it must be for a smaller picture, as Pillow's is, which
    takes four times as long for the same pixels.
    """
    picture = torch.from_numpy(part)[None].permute(0, 3, 1, 2)  # where they are: channels last
    square = functional.interpolate(picture, (size, size), mode="bilinear", antialias=True)
    if mirrored:
        square = square.flip(3)
    return np.asarray(square[0].permute(1, 2, 0))


def centre(data: bytes, size: int) -> Pixels:
    """Return the middle of the picture *data* as a square of *size*. Raises as `crop` does."""
    width, height = measure(data)
    side = max(1, round(min(width, height) * CENTRE_SHARE))
    left, top = (width - side) // 2, (height - side) // 2
    return crop(data, (left, top, left + side, top + side), size)


def augment(data: bytes, size: int, smallest_crop: float, random: Random) -> Pixels:
    """Return a part of *data* as a square of *size*, perhaps mirrored, in another light.

    All chance is *random*'s, so the same generator and bytes give the same square. Raises as `crop`
    does.
    """
    box, mirrored = choose(*measure(data), smallest_crop, random), random.random() < 0.5
    square = crop(data, box, size, mirrored=mirrored)
    return _relight(square, *(random.uniform(1 - _JITTER, 1 + _JITTER) for _ in range(3)))


def choose(width: int, height: int, smallest_crop: float, random: Random) -> Box:
    """Return a box of *smallest_crop* or more of the area of a picture, of a likely shape."""
    area = height * width * random.uniform(smallest_crop, 1)
    aspect = math.exp(random.uniform(-_ASPECT, _ASPECT))
    w = max(1, min(width, round(math.sqrt(area * aspect))))
    h = max(1, min(height, round(math.sqrt(area / aspect))))
    left, top = round(random.uniform(0, width - w)), round(random.uniform(0, height - h))
    return left, top, left + w, top + h


def _is_jpeg(data: bytes) -> bool:
    return data[:2] == b"\xff\xd8"


def _relight(pixels: Pixels, brightness: float, contrast: float, saturation: float) -> Pixels:
    """Change all three at once: each is linear in the pixels."""
    mix = saturation * np.eye(3, dtype=np.float32) + (1 - saturation) * _GREY[:, None]
    mean = pixels.sum(dtype=np.uint32) / pixels.size
    light = pixels.reshape(-1, 3) @ (brightness * contrast * mix).astype(np.float32)
    light += np.array(brightness * (1 - contrast) * mean, np.float32)
    np.clip(light, 0, 255, out=light)
    clipped: Pixels = light.astype(np.uint8).reshape(pixels.shape)
    return clipped
