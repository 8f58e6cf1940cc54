import io
import struct

import numpy as np
import pytest
import simplejpeg
from PIL import Image, ImageCms

from flora.pictures import FlawedPictureError
from shards import coded
from shards.config import ShardSettings
from shards.form import convert, fitted
from tests.conftest import encode, pixels

SETTINGS = ShardSettings(side=128)
RED, GREEN, BLUE = (200, 30, 40), (30, 160, 40), (20, 40, 190)


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def corners(data: bytes) -> list[tuple[int, ...]]:
    """The colours of a picture's corners: top left, top right, bottom left."""
    image = np.asarray(opened(data).convert("RGB"), int)
    return [tuple(image[y, x]) for y, x in ((8, 8), (8, -8), (-8, 8))]


def near(one: list[tuple[int, ...]], other: list[tuple[int, ...]]) -> bool:
    return bool(np.abs(np.array(one) - np.array(other)).max() < 12)


def quarters(size: tuple[int, int]) -> Image.Image:
    """Red at the top left, green at the top right, blue at the bottom left."""
    image, (width, height) = Image.new("RGB", size, "white"), size
    image.paste(RED, (0, 0, width // 2, height // 2))
    image.paste(GREEN, (width // 2, 0, width, height // 2))
    image.paste(BLUE, (0, height // 2, width // 2, height))
    return image


def swapped() -> bytes:
    """An ICC profile that takes red for green and green for red: sRGB's, with its tags crossed."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = struct.unpack(">I", profile[128:132])[0]
    for at in range(132, 132 + 12 * count, 12):
        name = bytes(profile[at : at + 4])
        profile[at : at + 4] = {b"rXYZ": b"gXYZ", b"gXYZ": b"rXYZ"}.get(name, name)
    return bytes(profile)


def srgb() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize(
    ("size", "form"),
    [
        ((640, 480), (160, 120)),  # 171 pixels would be 11 MCUs wide
        ((480, 640), (128, 171)),
        ((128, 900), (128, 900)),
        ((900, 129), (893, 128)),
        ((129, 129), (128, 128)),
    ],
)
def test_the_shorter_side_is_what_was_asked_for(
    size: tuple[int, int], form: tuple[int, int]
) -> None:
    data, format = convert(encode(pixels(1, size), "JPEG"), "jpg", SETTINGS)
    assert format == "jpg"
    width, height = opened(data).size
    assert abs(width - form[0]) <= 0.05 * form[0]
    assert abs(height - form[1]) <= 0.05 * form[1]
    assert min(width, height) <= 128
    assert abs(width / height / (size[0] / size[1]) - 1) < 0.02


def test_widths_without_even_tiles_become_a_little_narrower() -> None:
    assert fitted((2048, 1536), 512) == (672, 504)  # 43 MCUs are a prime number of them
    assert fitted((1536, 2048), 512) == (512, 683)
    assert fitted((1500, 1000), 512) == (768, 512)
    assert fitted((683, 512), 512) == (683, 512)  # small enough: no pixel is touched


def test_what_is_scaled_down_is_near_what_a_slow_way_gives() -> None:
    picture = pixels(5, (900, 700))
    data, _ = convert(encode(picture, "JPEG", quality=95), "jpg", SETTINGS)
    small = opened(data)
    expected = np.asarray(picture.resize(small.size, Image.Resampling.LANCZOS), float)
    assert np.abs(np.asarray(small, float) - expected).mean() < 2


def test_a_jpeg_small_enough_keeps_its_pixels_and_loses_its_metadata() -> None:
    exif = Image.Exif()
    exif[0x010F] = "A camera"
    original = encode(pixels(2, (128, 160)), "JPEG", exif=exif, icc_profile=srgb(), comment=b"Hi")
    data, _ = convert(original, "jpg", SETTINGS)
    before, after = (simplejpeg.decode_jpeg(each) for each in (original, data))
    assert np.array_equal(before, after)
    assert set(opened(data).info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
    assert b"camera" not in data


@pytest.mark.parametrize("progressive", [False, True])
def test_a_small_progressive_jpeg_becomes_baseline_with_the_same_pixels(progressive: bool) -> None:
    original = encode(pixels(2, (100, 120)), "JPEG", progressive=progressive)
    data, _ = convert(original, "jpg", SETTINGS)
    assert b"\xff\xc0" in data and b"\xff\xc2" not in data
    assert np.array_equal(simplejpeg.decode_jpeg(original), simplejpeg.decode_jpeg(data))


@pytest.mark.parametrize("side", [128, 1000])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_stand_upright(orientation: int, side: int) -> None:
    back = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    image = quarters((320, 240))
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = image if back is None else image.transpose(back)
    data, _ = convert(encode(stored, "JPEG", exif=exif), "jpg", ShardSettings(side=side))
    assert near(corners(data), [RED, GREEN, BLUE])
    assert opened(data).width > opened(data).height
    assert 0x0112 not in opened(data).getexif()


@pytest.mark.parametrize("side", [128, 1000])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_colours_become_srgb(kind: str, side: int) -> None:
    format = {"JPEG": "jpg"}.get(kind, kind.lower())
    data = encode(quarters((320, 240)), kind, icc_profile=swapped(), quality=95)
    form, _ = convert(data, format, ShardSettings(side=side))
    assert near(corners(form), [(30, 200, 40), (160, 30, 40), (40, 20, 190)])
    assert "icc_profile" not in opened(form).info


@pytest.mark.parametrize("profile", [b"no profile at all", srgb()[:200]])
def test_a_broken_profile_is_none(profile: bytes) -> None:
    original = encode(pixels(2, (100, 120)), "JPEG", icc_profile=profile)
    data, _ = convert(original, "jpg", SETTINGS)
    assert np.array_equal(simplejpeg.decode_jpeg(original), simplejpeg.decode_jpeg(data))


@pytest.mark.parametrize("side", [64, 1000])
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF"])
def test_other_formats_become_jpegs(kind: str, side: int) -> None:
    data = encode(quarters((160, 120)), kind)
    form, format = convert(data, kind.lower(), ShardSettings(side=side))
    assert (format, form[:3]) == ("jpg", b"\xff\xd8\xff")
    assert near(corners(form), [RED, GREEN, BLUE]) or kind == "WEBP"
    assert min(opened(form).size) == min(side, 120)


def test_what_was_cut_out_stands_on_white() -> None:
    data = encode(Image.new("RGBA", (80, 80), (10, 20, 30, 0)), "PNG")
    form, _ = convert(data, "png", SETTINGS)
    assert np.asarray(opened(form)).min() > 250


@pytest.mark.parametrize("size", [(300, 200), (120, 80)])
def test_grey_stays_grey_and_cmyk_becomes_rgb(size: tuple[int, int]) -> None:
    for kind, mode in (("L", "L"), ("CMYK", "RGB")):
        image = quarters(size).convert(kind)
        form, _ = convert(encode(image, "JPEG", quality=95), "jpg", SETTINGS)
        assert opened(form).mode == mode
        expected = corners(encode(image.convert("RGB"), "PNG"))
        assert near(corners(form), expected)
    form, _ = convert(encode(quarters(size).convert("L"), "PNG"), "png", SETTINGS)
    assert opened(form).mode == "L"


@pytest.mark.parametrize("size", [(640, 480), (100, 80)])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_every_form_has_even_tiles(size: tuple[int, int], mode: str) -> None:
    form, _ = convert(encode(pixels(4, size).convert(mode), "JPEG"), "jpg", SETTINGS)
    picture = coded.read(form)
    at = form.index(b"\xff\xdd\0\4") + 4
    interval = form[at] << 8 | form[at + 1]
    assert picture.columns % interval == 0
    assert 16 <= interval * picture.mcu <= 128
    assert form.count(b"\xff\xda") == 1


def test_the_same_bytes_give_the_same_form() -> None:
    for size in ((640, 480), (100, 80)):
        data = encode(pixels(7, size), "JPEG")
        assert convert(data, "jpg", SETTINGS) == convert(data, "jpg", SETTINGS)


def test_what_does_not_decode_to_its_end_is_refused() -> None:
    for size in ((640, 480), (100, 80)):
        for kind, format in (("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp"), ("GIF", "gif")):
            data = encode(pixels(1, size), kind)
            for broken in (b"", data[:20], data[: len(data) // 2]):
                with pytest.raises(FlawedPictureError):
                    convert(broken, format, SETTINGS)
