import io
from random import Random

import numpy as np
import pytest
from PIL import Image

from tests.conftest import encode, pixels
from train.pixels import augment, centre, decode


def test_a_jpeg_keeps_its_size_where_less_would_be_too_small() -> None:
    data = encode(pixels(1, (640, 480)), "JPEG")
    assert decode(data, 400).shape == (480, 640, 3)
    assert decode(data, 200).shape == (240, 320, 3)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF"])
def test_other_formats_are_decoded_too(kind: str) -> None:
    assert decode(encode(pixels(1, (60, 40)), kind), 32).shape == (40, 60, 3)


def test_what_was_cut_out_stands_on_white() -> None:
    data = encode(Image.new("RGBA", (8, 8), (10, 20, 30, 0)), "PNG")
    assert (decode(data, 8) == 255).all()


def test_a_cmyk_jpeg_keeps_its_colours() -> None:
    picture = pixels(1)
    data = encode(picture.convert("CMYK"), "JPEG", quality=95)
    assert np.abs(decode(data, 100) - np.asarray(picture, float)).mean() < 2


def test_half_a_jpeg_is_an_error() -> None:
    data = encode(pixels(1), "JPEG")
    with pytest.raises(ValueError, match="Premature end"):
        decode(data[: len(data) // 2], 32)


def test_augmentation_is_the_same_for_the_same_chance_and_another_for_another() -> None:
    picture = np.asarray(pixels(1))
    once, again = (augment(picture, 32, 0.25, Random("0/3/oak")) for _ in range(2))
    assert (once == again).all()
    assert once.shape == (32, 32, 3)
    assert (once != augment(picture, 32, 0.25, Random("0/4/oak"))).any()


def test_the_centre_is_what_lies_in_the_middle() -> None:
    picture = np.zeros((40, 100, 3), np.uint8)
    picture[:, 30:70] = 200
    assert (centre(picture, 16) == 200).all()


def test_the_smallest_pictures_and_crops_work() -> None:
    for size in ((1, 1), (1, 300), (300, 1)):
        data = io.BytesIO()
        Image.new("RGB", size, (9, 9, 9)).save(data, "PNG")
        picture = decode(data.getvalue(), 32)
        assert centre(picture, 16).shape == (16, 16, 3)
        for seed in range(20):
            assert augment(picture, 16, 0.01, Random(seed)).shape == (16, 16, 3)
