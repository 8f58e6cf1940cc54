import re

import numpy as np
import pytest
import simplejpeg
from PIL import Image

from shards import coded
from shards.huffman import best, codes, lookup
from shards.recode import recode, restart_interval
from tests.conftest import encode, pixels

SIZES = [(1, 1), (7, 9), (16, 16), (17, 33), (100, 75), (256, 144), (333, 251)]
MODES = ["4:4:4", "4:2:2", "4:2:0", "L"]


def drawn(size: tuple[int, int], kind: str = "RGB", noise: int = 25) -> Image.Image:
    rng = np.random.default_rng([*size, noise])
    grain = rng.integers(-noise, noise + 1, (size[1], size[0], 3))
    image = (np.asarray(pixels(sum(size), size), np.int64) + grain).clip(0, 255)
    return Image.fromarray(image.astype(np.uint8)).convert("L" if kind == "L" else "RGB")


def jpeg(size: tuple[int, int], kind: str, **how: object) -> bytes:
    sampling = {} if kind == "L" else {"subsampling": kind}
    return encode(drawn(size, kind), "JPEG", **{"quality": 90, **sampling, **how})


def same(data: bytes, again: bytes) -> bool:
    """Whether libjpeg-turbo gets the same pixels from both, without a complaint."""
    one, two = (simplejpeg.decode_jpeg(each, "RGB", strict=True) for each in (data, again))
    return np.array_equal(one, two)


def markers(data: bytes) -> list[int]:
    scan = data[data.index(b"\xff\xda") :]
    return [found[1] for found in re.findall(rb"\xff[\xd0-\xd7]", scan)]


@pytest.mark.parametrize("kind", MODES)
@pytest.mark.parametrize("size", SIZES)
def test_pixels_stay_and_so_do_coefficients(size: tuple[int, int], kind: str) -> None:
    for how in ({}, {"progressive": True}, {"restart_marker_blocks": 3}, {"quality": 30}):
        data = jpeg(size, kind, **how)
        again = recode(data)
        assert same(data, again)
        before, after = coded.read(data), coded.read(again)
        seen = np.concatenate([part.grid[: part.rows, : part.columns].ravel()
                               for part in before.parts])  # fmt: skip
        assert np.array_equal(before.blocks[seen], after.blocks[seen])


@pytest.mark.parametrize("quality", [1, 50, 100])
@pytest.mark.parametrize("noise", [0, 255])
def test_flat_and_wild_pictures_of_any_quality_stay(quality: int, noise: int) -> None:
    for progressive in (False, True):
        image = drawn((130, 70), noise=noise)
        data = encode(image, "JPEG", quality=quality, progressive=progressive)
        assert same(data, recode(data))


def test_progressive_scans_with_restart_markers_are_read() -> None:
    data = jpeg((200, 100), "4:2:0", progressive=True, restart_marker_rows=1)
    assert len(markers(data)) > 10
    assert same(data, recode(data))


def test_quantisation_tables_of_16_bits_stay() -> None:
    tables = [[1 + 40 * n for n in range(64)], [300] * 64]
    data = encode(drawn((90, 60)), "JPEG", qtables=tables, subsampling=0)
    assert b"\xff\xc1" in data
    assert b"\xff\xc1" in recode(data)
    assert same(data, recode(data))


def test_a_second_time_changes_nothing() -> None:
    once = recode(jpeg((256, 144), "4:2:0"))
    assert recode(once) == once


@pytest.mark.parametrize("kind", MODES)
def test_restart_markers_stand_at_the_promised_interval(kind: str) -> None:
    data = recode(jpeg((512, 384), kind))
    picture = coded.read(data)
    interval = restart_interval(picture.columns, picture.mcu)
    assert data.index(b"\xff\xdd\0\4" + interval.to_bytes(2, "big")) > 0
    assert picture.columns % interval == 0
    assert interval * picture.mcu == 32
    across, down = picture.columns // interval, -(-384 // (16 if kind == "4:2:0" else 8))
    assert markers(data) == [0xD0 + n % 8 for n in range(across * down - 1)]


def test_tiles_are_about_32_pixels_wide() -> None:
    assert [restart_interval(columns, 16) for columns in (1, 2, 5, 32, 42, 43, 45, 49)] == [
        1, 2, 1, 2, 2, 1, 3, 1,
    ]  # fmt: skip
    assert restart_interval(64, 8) == 4
    assert restart_interval(65, 8) == 5


def test_it_gets_shorter_as_with_optimised_tables() -> None:
    data = jpeg((512, 384), "4:2:0")
    peer = jpeg((512, 384), "4:2:0", optimize=True, restart_marker_blocks=2)
    assert len(recode(data)) < len(data)
    assert len(recode(data)) == len(peer)


def test_metadata_is_gone() -> None:
    exif = Image.Exif()
    exif[0x010E] = "Quercus robur"
    data = jpeg((64, 64), "4:2:0", exif=exif, comment=b"a secret", icc_profile=b"profile")
    again = recode(data)
    for part in (b"Quercus", b"secret", b"profile", b"Exif"):
        assert part in data
        assert part not in again


def test_what_cannot_stay_is_refused() -> None:
    cmyk = encode(drawn((64, 64)).convert("CMYK"), "JPEG")
    rgb = encode(drawn((64, 64)), "JPEG", keep_rgb=True)
    for data in (cmyk, rgb):
        with pytest.raises(ValueError, match="neither grey nor YCbCr"):
            recode(data)


@pytest.mark.parametrize("progressive", [False, True])
def test_broken_bytes_are_refused_or_stay_readable(progressive: bool) -> None:
    data = jpeg((96, 64), "4:2:0", progressive=progressive, restart_marker_rows=1)
    rng, refused = np.random.default_rng(1), 0
    for _ in range(300):
        broken = bytearray(data[: rng.integers(2, len(data))] if rng.random() < 0.3 else data)
        broken[rng.integers(2, len(broken)) - 1] = rng.integers(256)
        try:
            again = recode(bytes(broken))
        except (ValueError, LookupError):
            refused += 1
        else:
            simplejpeg.decode_jpeg(again, "RGB", strict=True)
    assert refused > 50


def test_codes_are_the_shortest_and_none_is_all_ones() -> None:
    counts = np.zeros(256, np.int64)
    counts[[3, 7, 200]] = 90, 9, 1
    lengths, values = best(counts)
    assert (lengths[:3], values) == (b"\1\1\1", b"\3\7\xc8")
    code, length = codes(lengths, values)
    assert [(code[n], length[n]) for n in (3, 7, 200)] == [(0b0, 1), (0b10, 2), (0b110, 3)]


def test_codes_have_16_bits_at_most() -> None:
    counts = np.zeros(256, np.int64)
    counts[:40] = np.cumsum(1.6 ** np.arange(40)).astype(np.int64) + 1
    lengths, values = best(counts)
    assert sum(lengths) == len(values) == 40
    assert set(values) == set(range(40))
    code, length = codes(lengths, values)
    table = lookup(lengths, values)
    for symbol in range(40):
        entry = table[code[symbol] << (16 - length[symbol])]
        assert entry == length[symbol] << 8 | symbol
    assert table[-1] == 0


def test_tables_with_more_codes_than_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot be"):
        lookup(b"\3" + bytes(15), b"\0\1\2")
