import io
import re
from random import Random

import numpy as np
import pytest
import simplejpeg
from PIL import Image

from tests.conftest import encode, pixels
from train.tiles import decode_crop


def noisy(size: tuple[int, int], mode: str = "RGB") -> Image.Image:
    """Blobs with noise on them, so that every block has many coefficients."""
    noise = np.random.default_rng(size).integers(-30, 30, (size[1], size[0], 3))
    image = np.asarray(pixels(3, size), np.int64) + noise
    return Image.fromarray(image.clip(0, 255).astype(np.uint8)).convert(mode)


def whole(data: bytes) -> np.ndarray:
    return np.asarray(simplejpeg.decode_jpeg(data, "RGB", fastdct=True))


def boxes(size: tuple[int, int], count: int) -> list[tuple[int, int, int, int]]:
    random, (width, height) = Random(str(size)), size
    corners = [(0, 0, width, height), (0, 0, 1, 1), (width - 1, height - 1, width, height)]
    for _ in range(count):
        left, top = random.randrange(width), random.randrange(height)
        right, bottom = random.randint(left + 1, width), random.randint(top + 1, height)
        corners.append((left, top, right, bottom))
    return corners


@pytest.mark.parametrize("sampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize(("size", "interval"), [((320, 208), 4), ((250, 131), 1), ((30, 200), 2)])
def test_a_crop_has_the_pixels_of_the_whole(
    sampling: str, size: tuple[int, int], interval: int
) -> None:
    data = encode(noisy(size), "JPEG", subsampling=sampling, restart_marker_blocks=interval)
    expected = whole(data)
    for box in boxes(size, 40):
        left, top, right, bottom = box
        part, (x, y) = decode_crop(data, box)
        assert x <= left and y <= top and right <= x + part.shape[1]
        inside = part[top - y : bottom - y, left - x : right - x]
        assert np.array_equal(inside, expected[top:bottom, left:right]), box
        inner = part[1:-1, 1:-1]
        assert np.array_equal(inner, expected[y + 1 :, x + 1 :][: len(inner), : inner.shape[1]])


def test_only_the_tiles_under_the_crop_are_decoded() -> None:
    data = encode(noisy((640, 480)), "JPEG", subsampling="4:2:0", restart_marker_blocks=8)
    part, corner = decode_crop(data, (140, 100, 240, 200))
    assert part.shape == (208 - 96, 128, 3)
    assert corner == (128, 96)


def test_grey_pictures_have_tiles_too() -> None:
    data = encode(noisy((320, 200), "L"), "JPEG", restart_marker_blocks=5)
    expected = whole(data)
    part, (x, y) = decode_crop(data, (90, 50, 110, 90))
    assert part.shape == (48, 40, 3)
    assert np.array_equal(part, expected[y : y + 48, x : x + 40])


@pytest.mark.parametrize("sampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("shrink", [2, 4, 8])
def test_a_crop_comes_smaller_where_that_will_do(shrink: int, sampling: str) -> None:
    data = encode(noisy((640, 480)), "JPEG", subsampling=sampling, restart_marker_blocks=4)
    small = np.asarray(
        simplejpeg.decode_jpeg(
            data, "RGB", fastdct=True, min_factor=shrink,
            min_height=480 // shrink, min_width=640 // shrink,
        )
    )  # fmt: skip
    for box in ((200, 100, 400, 300), (65, 17, 128, 96), (639, 0, 640, 480)):
        left, top = (side // shrink for side in box[:2])
        right, bottom = (-(-side // shrink) for side in box[2:])
        part, (x, y) = decode_crop(data, box, shrink=shrink)
        assert part.shape[0] * part.shape[1] < small.shape[0] * small.shape[1] // 2
        inside = part[top - y : bottom - y, left - x : right - x]
        assert np.array_equal(inside, small[top:bottom, left:right])


@pytest.mark.parametrize(
    "how", [{}, {"progressive": True}, {"restart_marker_blocks": 3}, {"restart_marker_rows": 2}]
)
def test_a_picture_without_tiles_is_decoded_as_a_whole(how: dict[str, object]) -> None:
    data = encode(noisy((320, 208)), "JPEG", **how)
    part, corner = decode_crop(data, (50, 50, 60, 60))
    assert corner == (0, 0)
    assert np.array_equal(part, whole(data))


def test_metadata_and_what_follows_the_end_do_no_harm() -> None:
    plain = encode(noisy((320, 208)), "JPEG", restart_marker_blocks=4)
    exif = Image.Exif()
    exif[0x010E] = "an oak \xff\xd0\xff\xd9 in the rain"
    data = encode(noisy((320, 208)), "JPEG", restart_marker_blocks=4, exif=exif) + plain[-99:]
    part, corner = decode_crop(data, (150, 60, 200, 90))
    assert corner != (0, 0)
    expected, _ = decode_crop(plain, (150, 60, 200, 90))
    assert np.array_equal(part, expected)


def test_broken_bytes_are_an_error() -> None:
    data = encode(noisy((320, 208)), "JPEG", restart_marker_blocks=4)
    box = (0, 0, 320, 208)
    lost = re.sub(rb"\xff\xd3", b"\x01\x01", data, count=1)
    for broken in (b"", b"\xff\xd8", data[:100], data[: len(data) // 2], lost, b"GIF89a" + data):
        with pytest.raises(ValueError, match=r".+"):
            decode_crop(broken, box)


def test_a_crop_of_what_was_tampered_with_has_its_size_or_is_an_error() -> None:
    data = encode(noisy((160, 96)), "JPEG", restart_marker_blocks=1)
    rng, refused = np.random.default_rng(1), 0
    for _ in range(400):
        broken = bytearray(data[: rng.integers(2, len(data))] if rng.random() < 0.3 else data)
        broken[rng.integers(2, len(broken)) - 1] = rng.integers(256)
        try:
            part, (x, y) = decode_crop(bytes(broken), (40, 20, 100, 50))
        except ValueError:
            refused += 1
        else:
            assert part.ndim == 3 and x <= 40 and y <= 20
    assert 50 < refused < 400


@pytest.mark.parametrize("spoilt", [b"\xff\xd5", b"\xff\xd9", b"\xff\xd8"])
def test_markers_out_of_turn_are_left_to_the_decoder(spoilt: bytes) -> None:
    data = encode(noisy((320, 208)), "JPEG", restart_marker_blocks=4)
    broken = data.replace(b"\xff\xd1", spoilt, 1)
    with pytest.raises(ValueError, match=r".+"):
        decode_crop(broken, (150, 100, 200, 150))
    late = data[::-1].replace(b"\xd1\xff", spoilt[::-1], 1)[::-1]
    part, corner = decode_crop(late, (150, 20, 200, 50))
    assert corner != (0, 0)
    assert np.array_equal(part, decode_crop(data, (150, 20, 200, 50))[0])


def test_a_frame_that_lies_about_its_factors_is_an_error() -> None:
    data = bytearray(encode(noisy((64, 64)), "JPEG", restart_marker_blocks=1))
    frame = data.index(b"\xff\xc0")
    data[frame + 11 : frame + 18 : 3] = bytes(3)
    with pytest.raises(ValueError, match=r".+"):
        decode_crop(bytes(data), (0, 0, 9, 9))


def test_pillow_agrees() -> None:
    data = encode(noisy((320, 208)), "JPEG", subsampling="4:4:4", restart_marker_blocks=4)
    part, (x, y) = decode_crop(data, (96, 64, 120, 90))
    with Image.open(io.BytesIO(data)) as image:
        expected = np.asarray(image, int)[y : y + part.shape[0], x : x + part.shape[1]]
    assert np.abs(part - expected).max() <= 4  # the fast DCT is not the exact one
