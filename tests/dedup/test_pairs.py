import numpy as np
import pytest

from dedup.pairs import near_pairs, similarity
from flora.pictures import grey
from tests.conftest import encode, picture, pixels


def test_near_pairs_are_those_of_a_loop() -> None:
    rng = np.random.default_rng(1)
    hashes = rng.integers(0, 2**64, 700, dtype=np.uint64)
    hashes[600:] = hashes[:100] ^ (np.uint64(1) << rng.integers(0, 64, 100).astype(np.uint64))
    found = set(zip(*(column.tolist() for column in near_pairs(hashes, 8)), strict=True))
    expected = {
        (i, j, apart)
        for i in range(700)
        for j in range(i + 1, 700)
        if (apart := (int(hashes[i]) ^ int(hashes[j])).bit_count()) <= 8
    }
    assert found == expected
    assert len(found) >= 100


def test_no_hashes_have_no_pairs() -> None:
    assert [len(column) for column in near_pairs(np.empty(0, np.uint64), 8)] == [0, 0, 0]


@pytest.mark.parametrize("quality", [30, 60, 90])
@pytest.mark.parametrize("scale", [0.5, 1, 1.5])
def test_copies_are_similar_and_others_are_not(quality: int, scale: float) -> None:
    image = pixels(1, (320, 240))
    copy = image.resize((round(320 * scale), round(240 * scale)))
    one = grey(picture(1, (320, 240)))
    assert similarity(one, grey(encode(copy, "JPEG", quality=quality))) > 0.95
    assert similarity(one, grey(picture(2, (320, 240)))) < 0.5


def test_blank_pictures_are_alike() -> None:
    blank = np.full((64, 64), 200, np.uint8)
    assert similarity(blank, blank[:50]) == 1.0
    assert similarity(blank, grey(picture(1))) == 0.0
