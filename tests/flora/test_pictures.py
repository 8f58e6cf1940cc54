import io

import imagehash
import numpy as np
import pytest
from PIL import Image

from flora.pictures import FlawedPictureError, grey, inspect, rgb
from flora.records import Refusal
from tests.conftest import encode, picture, pixels


def look(data: bytes) -> Refusal | str:
    try:
        return inspect(data, max_pixels=10_000_000, min_side=32).format
    except FlawedPictureError as error:
        return error.flaw


@pytest.mark.parametrize(
    ("kind", "suffix"), [("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp"), ("GIF", "gif")]
)
def test_formats_are_told_by_their_bytes(kind: str, suffix: str) -> None:
    found = inspect(encode(pixels(1), kind), max_pixels=10**6, min_side=32)
    assert (found.format, found.width, found.height) == (suffix, 160, 120)


def test_a_jpeg_is_whole_or_refused() -> None:
    whole = picture(1, (400, 300))
    cut = whole[: len(whole) // 2]
    assert look(whole) == "jpg"
    assert look(cut) == Refusal.CORRUPT
    assert look(cut + b"\xff\xd9") == Refusal.CORRUPT
    zeroed = whole[:2000] + bytes(2000) + whole[4000:]
    assert look(zeroed) == Refusal.CORRUPT


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_a_truncated_file_of_another_format_is_refused(kind: str) -> None:
    data = encode(pixels(1), kind)
    assert look(data[: len(data) // 2]) == Refusal.CORRUPT


@pytest.mark.parametrize(
    ("data", "flaw"),
    [
        (b"", Refusal.EMPTY),
        (b"<html>not here</html>", Refusal.NOT_AN_IMAGE),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", Refusal.NOT_AN_IMAGE),
        (b"\xff\xd8\xff\xe0garbage", Refusal.CORRUPT),
        (b"\x89PNG\r\n\x1a\ngarbage", Refusal.CORRUPT),
        (b"RIFF\x00\x00\x00\x00WEBPgarbage", Refusal.CORRUPT),
        (b"GIF89a", Refusal.CORRUPT),
    ],
)
def test_what_is_no_picture_is_refused_by_name(data: bytes, flaw: Refusal) -> None:
    assert look(data) == flaw


def test_random_bytes_never_raise_anything_else() -> None:
    rng = np.random.default_rng(0)
    for start in (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF\x10\0\0\0WEBP", b""):
        for length in (1, 40, 4000):
            assert isinstance(look(start + rng.bytes(length)), (str, Refusal))


def test_a_pixel_bomb_is_refused_before_it_is_decoded() -> None:
    bomb = encode(Image.new("1", (20_000, 20_000)), "PNG")
    assert len(bomb) < 200_000
    assert look(bomb) == Refusal.TOO_MANY_PIXELS


def test_a_button_is_too_small() -> None:
    assert look(encode(pixels(1, (16, 400)), "PNG")) == Refusal.TOO_SMALL


def test_transparency_is_shown_on_white() -> None:
    clear = encode(Image.new("RGBA", (64, 64), (0, 0, 0, 0)), "PNG")
    assert grey(clear).min() == 255
    assert rgb(clear).shape == (64, 64, 3)


def test_the_hash_agrees_with_imagehash_within_two_bits() -> None:
    apart = []
    for seed in range(60):
        data = picture(seed, (200 + 7 * seed, 480 - 5 * seed))
        with Image.open(io.BytesIO(data)) as image:
            reference = int(str(imagehash.phash(image)), 16)
        ours = inspect(data, max_pixels=10**7, min_side=32).phash
        apart.append((ours ^ reference).bit_count())
    assert np.mean(np.array(apart) <= 2) >= 0.98
    assert max(apart) <= 4
