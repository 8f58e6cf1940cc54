"""From the bytes of a picture to the square that the model sees."""

import io
import math
from random import Random

import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import Image

Pixels = npt.NDArray[np.uint8]
"""Height x width x 3, red first."""

CENTRE_SHARE = 0.875
"""How much of the shorter side an unaugmented picture keeps."""
_ASPECT = math.log(4 / 3)
_JITTER = 0.2
_GREY = np.array([0.299, 0.587, 0.114], np.float32)


def decode(data: bytes, side: int) -> Pixels:
    """Return the pixels of *data*; a JPEG may come at half its size, but no side below *side*.

    Raises some exception or other for bytes that are no whole picture.
    """
    if data[:2] == b"\xff\xd8":
        pixels: Pixels = simplejpeg.decode_jpeg(
            data, fastdct=True, min_height=side, min_width=side, min_factor=2
        )
        return pixels
    with Image.open(io.BytesIO(data)) as image:
        if not image.has_transparency_data:
            return np.asarray(image.convert("RGB"))
        page = Image.new("RGBA", image.size, "white")  # what was cut out stands on white
        return np.asarray(Image.alpha_composite(page, image.convert("RGBA")).convert("RGB"))


def centre(pixels: Pixels, size: int) -> Pixels:
    """Return the middle of *pixels* as a square of *size*."""
    height, width = pixels.shape[:2]
    side = min(height, width) * CENTRE_SHARE
    return _cut(pixels, (width - side) / 2, (height - side) / 2, side, side, size)


def augment(pixels: Pixels, size: int, smallest_crop: float, random: Random) -> Pixels:
    """Return a part of *pixels* as a square of *size*, perhaps mirrored, in another light.

    All chance is *random*'s, so the same generator and pixels give the same square.
    """
    height, width = pixels.shape[:2]
    area = height * width * random.uniform(smallest_crop, 1)
    aspect = math.exp(random.uniform(-_ASPECT, _ASPECT))
    w, h = min(width, math.sqrt(area * aspect)), min(height, math.sqrt(area / aspect))
    square = _cut(pixels, random.uniform(0, width - w), random.uniform(0, height - h), w, h, size)
    if random.random() < 0.5:
        square = square[:, ::-1]
    return _relight(square, *(random.uniform(1 - _JITTER, 1 + _JITTER) for _ in range(3)))


def _cut(pixels: Pixels, x: float, y: float, w: float, h: float, size: int) -> Pixels:
    box = (x, y, min(x + w, pixels.shape[1]), min(y + h, pixels.shape[0]))
    image = Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR, box=box)
    return np.asarray(image)


def _relight(pixels: Pixels, brightness: float, contrast: float, saturation: float) -> Pixels:
    """Change all three at once: each is linear in the pixels."""
    mix = saturation * np.eye(3, dtype=np.float32) + (1 - saturation) * _GREY[:, None]
    mean = pixels.mean(dtype=np.float32)
    light = (pixels @ (brightness * contrast * mix)) + brightness * (1 - contrast) * mean
    clipped: Pixels = np.clip(light, 0, 255).astype(np.uint8)
    return clipped
