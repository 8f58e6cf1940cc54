import io

import imagehash
import numpy as np
import pytest
from PIL import Image

from bench.loopback import photographs
from flora.hashes import pdq
from flora.pictures import DECODE_BYTES, FlawedPictureError, grey, inspect, rgb
from flora.records import Refusal
from tests.conftest import encode, picture, pixels
from tests.hostile import files


def look(data: bytes) -> Refusal | str:
    try:
        return inspect(data, max_pixels=80_000_000, min_side=32).format
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
    for seed in range(800):
        size = (110 + 37 * seed % 101, 130 + 53 * seed % 83)
        if seed % 8 == 0:  # these are scaled by their decoder
            size = (4 * size[0], 3 * size[1])
        data = files.jpeg(seed, size) if seed % 2 else picture(seed, size)
        with Image.open(io.BytesIO(data)) as image:
            reference = int(str(imagehash.phash(image)), 16)
        ours = inspect(data, max_pixels=10**7, min_side=32).phash
        apart.append((ours ^ reference).bit_count())
    assert np.mean(np.array(apart) <= 2) >= 0.99
    assert max(apart) <= 4


def test_a_scaled_decode_moves_few_bits_of_the_large_hash() -> None:
    apart = []
    for data in photographs(20, size=(1060, 790)):
        whole, quality = pdq(grey(data, 10_000))
        found = inspect(data, max_pixels=10**7, min_side=32)
        assert abs(found.quality - quality) <= 5
        apart.append(bits_apart(found.pdq, whole))
    assert np.median(apart) <= 8
    assert max(apart) < 31


def test_a_picture_has_nearly_one_hash_in_all_formats() -> None:
    for data in photographs(5, size=(700, 500)):
        with Image.open(io.BytesIO(data)) as image:
            one, *others = (
                inspect(encode(image, kind), max_pixels=10**7, min_side=32)
                for kind in ("PNG", "JPEG", "WEBP")
            )
        for other in others:
            assert bits_apart(one.pdq, other.pdq) < 31
            assert (one.phash ^ other.phash).bit_count() <= 4


def bits_apart(a: bytes, b: bytes) -> int:
    return (int.from_bytes(a, "big") ^ int.from_bytes(b, "big")).bit_count()


def agrees(data: bytes) -> bool:
    """Tell whether our hash of *data* is ImageHash's, but for rounding."""
    with Image.open(io.BytesIO(data)) as image:
        reference = int(str(imagehash.phash(image)), 16)
    ours = inspect(data, max_pixels=10**7, min_side=32).phash
    return (ours ^ reference).bit_count() <= 4


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP"])
def test_a_raster_is_shrunk_before_it_is_hashed_and_keeps_its_hash(kind: str) -> None:
    for seed in range(5):
        assert agrees(encode(pixels(seed, (700, 500)), kind))


def test_pictures_in_printing_inks_have_the_hash_and_colours_of_what_they_show() -> None:
    plain = inspect(files.jpeg(), max_pixels=10**6, min_side=32).phash
    for data in (encode(files.photograph().convert("CMYK"), "JPEG"), files.ycck()):
        assert agrees(data)
        inks = inspect(data, max_pixels=10**6, min_side=32).phash
        assert (inks ^ plain).bit_count() <= 4
        with Image.open(io.BytesIO(data)) as image:
            shown = np.asarray(image.convert("RGB"), dtype=int)
        assert np.abs(rgb(data) - shown).mean() < 2


def test_sixteen_bits_are_scaled_and_not_cut_off() -> None:
    found = grey(encode(files.deep(), "PNG"))
    flat = pixels(1, files.SIZE).convert("L")
    assert np.abs(found.astype(int) - grey(encode(flat, "PNG"))).max() <= 1


@pytest.mark.parametrize("progressive", [False, True])
def test_damaged_jpegs_are_refused(progressive: bool) -> None:
    rng = np.random.default_rng(1)
    for seed in range(30):
        data = files.jpeg(seed, (700, 500), progressive=progressive)
        at = int(rng.integers(2000, len(data) - 5000))
        for damaged in (data[:at], data[:at] + b"\xff\xd9", files.zeroed(data, at)):
            assert look(damaged) == Refusal.CORRUPT


def test_a_progressive_jpeg_that_ends_between_two_scans_is_refused() -> None:
    assert look(files.one_scan(files.jpeg(progressive=True))) == Refusal.CORRUPT


def test_flat_pictures_are_whole_though_their_data_are_zeros() -> None:
    for colour in ("white", "black", "grey", "red"):
        for how in ({}, {"optimize": True}, {"progressive": True}):
            flat = Image.new("RGB", (2000, 1500), colour)
            assert look(encode(flat, "JPEG", **how)) == "jpg"


def test_memory_is_reckoned_from_headers() -> None:
    side = int((DECODE_BYTES / 4) ** 0.5) + 50
    assert look(files.png_claiming(side, side)) == Refusal.TOO_MANY_PIXELS
    small = files.jpeg(progressive=True)
    assert look(files.claiming(small, 8000, 8000)) == Refusal.TOO_MANY_PIXELS
    assert look(files.webp_claiming(16_384, 16_384)) == Refusal.TOO_MANY_PIXELS
    assert look(files.many_scans((200, 200), 500)) == Refusal.CORRUPT


def test_a_ribbon_is_hashed_small() -> None:
    assert max(grey(files.jpeg(size=(20_000, 70))).shape) <= 1024


@pytest.mark.parametrize("kind", ["JPEG", "progressive", "PNG", "WEBP", "GIF"])
def test_no_bytes_raise_anything_but_a_flaw(kind: str) -> None:
    rng = np.random.default_rng(2)
    how = {"progressive": True} if kind == "progressive" else {}
    whole = encode(pixels(1), "JPEG" if how else kind, **how)
    for _ in range(400):
        data = bytearray(whole)
        for _ in range(rng.integers(1, 6)):
            data[int(len(data) * rng.random() ** 3)] = rng.integers(256)
        if rng.random() < 0.3:
            del data[int(rng.integers(len(data))) :]
        assert isinstance(look(bytes(data)), str)


def test_a_zip_or_a_pdf_inside_is_refused_and_a_comment_is_not() -> None:
    data = files.jpeg()
    assert look(data + files.archive()) == Refusal.POLYGLOT
    assert look(files.commented(data, b"%PDF-1.7")) == Refusal.POLYGLOT
    assert look(files.commented(data, b"<?php ?>")) == "jpg"
    assert look(data + b"a film") == "jpg"
