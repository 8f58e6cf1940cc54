import io
from random import Random

import numpy as np
import pytest
from PIL import Image

from tests.conftest import encode, pixels
from train.pixels import augment, centre, choose, crop, measure

WIDE = pixels(1, (640, 480))
BOXES = [(0, 0, 640, 480), (100, 60, 500, 400), (611, 3, 640, 31), (333, 470, 340, 480)]


def pillow(data: bytes, box: tuple[int, int, int, int], size: int) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, box=box), float)


@pytest.mark.parametrize("box", BOXES)
def test_a_crop_is_what_pillow_makes_of_the_whole(box: tuple[int, int, int, int]) -> None:
    data = encode(WIDE, "JPEG", quality=90)
    assert np.abs(crop(data, box, 64) - pillow(data, box, 64)).mean() < 1.5


@pytest.mark.parametrize("box", BOXES)
def test_a_crop_is_the_same_with_tiles_and_without(box: tuple[int, int, int, int]) -> None:
    plain = encode(WIDE, "JPEG", quality=90)
    tiled = encode(WIDE, "JPEG", quality=90, restart_marker_blocks=10)
    assert tiled != plain
    assert (crop(tiled, box, 300) == crop(plain, box, 300)).all()


def test_only_what_is_wanted_is_decoded() -> None:
    tiled = bytearray(encode(WIDE, "JPEG", quality=90, restart_marker_blocks=10))
    before = crop(bytes(tiled), (0, 0, 300, 200), 64)
    end = len(tiled) * 9 // 10
    tiled[end : end + 40] = bytes(40)
    assert (crop(bytes(tiled), (0, 0, 300, 200), 64) == before).all()


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF"])
def test_other_formats_are_decoded_too(kind: str) -> None:
    data = encode(pixels(1, (60, 40)), kind)
    assert measure(data) == (60, 40)
    assert crop(data, (10, 0, 50, 40), 32).shape == (32, 32, 3)


def test_what_was_cut_out_stands_on_white() -> None:
    data = encode(Image.new("RGBA", (8, 8), (10, 20, 30, 0)), "PNG")
    assert (crop(data, (0, 0, 8, 8), 8) == 255).all()


@pytest.mark.parametrize("mode", ["CMYK", "L"])
def test_a_jpeg_of_other_colours_keeps_them(mode: str) -> None:
    picture = pixels(1).convert(mode)
    data = encode(picture, "JPEG", quality=95)
    square = crop(data, (0, 0, 120, 120), 120)
    asked = np.asarray(picture.convert("RGB"), float)[:120, :120]
    assert np.abs(square - asked).mean() < 2


def test_half_a_jpeg_is_an_error() -> None:
    data = encode(pixels(1), "JPEG")
    with pytest.raises(ValueError, match="Premature end"):
        crop(data[: len(data) // 2], (0, 0, 160, 120), 32)


def test_augmentation_is_the_same_for_the_same_chance_and_another_for_another() -> None:
    picture = encode(pixels(1), "PNG")
    once, again = (augment(picture, 32, 0.25, Random("0/3/oak")) for _ in range(2))
    assert (once == again).all()
    assert once.shape == (32, 32, 3)
    assert (once != augment(picture, 32, 0.25, Random("0/4/oak"))).any()


def test_another_light_changes_all_of_a_picture_alike() -> None:
    grey = encode(Image.new("RGB", (64, 64), (100, 100, 100)), "PNG")
    found = [augment(grey, 32, 0.25, Random(seed)) for seed in range(20)]
    assert all(np.ptp(square) <= 1 and 79 <= square.mean() <= 121 for square in found)
    assert len({square.mean() for square in found}) > 10


def test_a_chosen_box_lies_in_the_picture_and_is_no_smaller_than_asked() -> None:
    boxes = [choose(640, 480, 0.25, Random(seed)) for seed in range(200)]
    for left, top, right, bottom in boxes:
        assert 0 <= left < right <= 640
        assert 0 <= top < bottom <= 480
    areas = [(right - left) * (bottom - top) / 640 / 480 for left, top, right, bottom in boxes]
    assert min(areas) > 0.24
    assert max(areas) > 0.9


def test_the_centre_is_what_lies_in_the_middle() -> None:
    picture = np.zeros((40, 100, 3), np.uint8)
    picture[:, 30:70] = 200
    assert (centre(encode(Image.fromarray(picture), "PNG"), 16) == 200).all()


def test_the_smallest_pictures_and_crops_work() -> None:
    for size in ((1, 1), (1, 300), (300, 1)):
        for kind in ("PNG", "JPEG"):
            picture = encode(Image.new("RGB", size, (9, 9, 9)), kind)
            assert centre(picture, 16).shape == (16, 16, 3)
            for seed in range(20):
                assert augment(picture, 16, 0.01, Random(seed)).shape == (16, 16, 3)
