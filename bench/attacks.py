"""What happens to a photograph on its way through the web: 22 ways to make a copy of it.

    for name, attack in ATTACKS.items():
        copy: bytes = attack(photograph, rng)

Each takes an RGB picture and returns the bytes of its copy, saved as a JPEG of quality 85 unless
the attack says otherwise. A crop of 10% keeps 0.9 of the width and of the height; where one that is
askew lies is drawn from *rng*.
"""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps

Attack = Callable[[Image.Image, np.random.Generator], bytes]

QUALITY = 85


def jpeg(image: Image.Image, quality: int = QUALITY) -> bytes:
    """Return *image* as a JPEG."""
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return out.getvalue()


def _recompressed(quality: int) -> Attack:
    return lambda image, _: jpeg(image, quality)


def _resized(across: float, down: float | None = None) -> Attack:
    def attack(image: Image.Image, _: np.random.Generator) -> bytes:
        width, height = image.size
        size = round(width * across), round(height * (down or across))
        return jpeg(image.resize(size, Image.Resampling.LANCZOS))

    return attack


def _cropped(share: float, *, centred: bool = True) -> Attack:
    """Cut *share* off the width and off the height: as much on both sides, or as it falls."""

    def attack(image: Image.Image, rng: np.random.Generator) -> bytes:
        width, height = (round(side * (1 - share)) for side in image.size)
        right, down = (0.5, 0.5) if centred else rng.random(2)
        left, top = round((image.width - width) * right), round((image.height - height) * down)
        return jpeg(image.crop((left, top, left + width, top + height)))

    return attack


def _framed(share: float, colour: str) -> Attack:
    """Add a frame, *share* of the longer side wide."""
    return lambda image, _: jpeg(ImageOps.expand(image, round(share * max(image.size)), colour))


def _enhanced(kind: Callable[[Image.Image], ImageEnhance._Enhance], amount: float) -> Attack:
    return lambda image, _: jpeg(kind(image).enhance(amount))


def _watermarked(image: Image.Image, _: np.random.Generator) -> bytes:
    """Write over the middle, half transparent, two thirds of the width."""
    font = ImageFont.load_default(size=image.width / 9)
    layer = Image.new("L", image.size)
    ImageDraw.Draw(layer).text(
        (image.width / 2, image.height / 2), "© Flora Photos", 140, font, anchor="mm"
    )
    marked = image.copy()
    marked.paste((255, 255, 255), (0, 0), layer)
    return jpeg(marked)


def _rotated(image: Image.Image, _: np.random.Generator) -> bytes:
    """Turn by one degree and cut off the corners that this leaves empty."""
    edge = round(max(image.size) * np.sin(np.radians(1)))
    turned = image.rotate(1, Image.Resampling.BICUBIC)
    return jpeg(ImageOps.crop(turned, edge))


ATTACKS: dict[str, Attack] = {
    "jpeg 90": _recompressed(90),
    "jpeg 70": _recompressed(70),
    "jpeg 50": _recompressed(50),
    "jpeg 30": _recompressed(30),
    "resize 0.25": _resized(0.25),
    "resize 0.5": _resized(0.5),
    "resize 2": _resized(2),
    "squash 10%": _resized(1, 0.9),
    "brighter": _enhanced(ImageEnhance.Brightness, 1.3),
    "darker": _enhanced(ImageEnhance.Brightness, 0.7),
    "contrast": _enhanced(ImageEnhance.Contrast, 1.4),
    "grey": _enhanced(ImageEnhance.Color, 0),
    "blur": lambda image, _: jpeg(image.filter(ImageFilter.GaussianBlur(2))),
    "watermark": _watermarked,
    "border 2% white": _framed(0.02, "white"),
    "border 5% black": _framed(0.05, "black"),
    "rotate 1°": _rotated,
    "crop 5%": _cropped(0.05),
    "crop 10%": _cropped(0.10),
    "crop 10% askew": _cropped(0.10, centred=False),
    "crop 20%": _cropped(0.20),
    "mirror": lambda image, _: jpeg(ImageOps.mirror(image)),
}
