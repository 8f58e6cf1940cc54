from functools import lru_cache
from itertools import combinations

import numpy as np
import pytest
from PIL import Image

from bench.attacks import ATTACKS, jpeg
from bench.leaves import leaf
from dedup.config import DedupSettings
from dedup.pixels import correlation, mirrored, prepare
from demo.plants import draw
from demo.species import FLORA
from flora.hashes import Grey
from flora.pictures import grey

SIMILAR = DedupSettings().similarity


@lru_cache
def plant(number: int) -> Image.Image:
    return draw(FLORA[5 * number], number)


def pixels(number: int) -> Grey:
    return grey(jpeg(plant(number), 95))


@pytest.mark.parametrize("attack", [name for name in ATTACKS if name != "mirror"])
def test_a_copy_is_known_whatever_was_done_to_it(attack: str) -> None:
    rng = np.random.default_rng(1)
    found = [correlation(pixels(k), grey(ATTACKS[attack](plant(k), rng))) for k in range(4)]
    assert sum(each >= SIMILAR for each in found) >= 3


def test_a_mirrored_copy_is_known_by_its_mirror_image() -> None:
    rng = np.random.default_rng(1)
    copy = grey(ATTACKS["mirror"](plant(0), rng))
    assert correlation(pixels(0), copy) < 0.5
    assert correlation(pixels(0), mirrored(copy)) > 0.97


def test_other_plants_are_not_alike() -> None:
    assert max(correlation(pixels(j), pixels(k)) for j, k in combinations(range(8), 2)) < 0.6


def test_leaves_of_different_species_on_paper_are_not_alike() -> None:
    sheets = [prepare(grey(jpeg(leaf(species, 0)))) for species in range(12)]
    assert max(correlation(one, two) for one, two in combinations(sheets, 2)) < SIMILAR


def test_the_order_of_two_pictures_does_not_matter() -> None:
    one, two = pixels(0), pixels(0)[20:, :-20]
    assert correlation(one, two) == correlation(two, one) > SIMILAR
    assert correlation(one, pixels(1)) == correlation(pixels(1), one)


def test_a_prepared_picture_compares_as_its_pixels_do() -> None:
    assert correlation(prepare(pixels(2)), pixels(3)) == correlation(pixels(2), pixels(3))


def test_pictures_that_show_nothing_are_not_known_to_be_one() -> None:
    paper = np.random.default_rng(0).normal(240, 2, (160, 120)).astype(np.uint8)
    assert correlation(paper, paper) == 0.0
    assert correlation(paper, pixels(0)) == 0.0


def test_a_corner_in_common_is_not_enough() -> None:
    one, two = pixels(0), pixels(1).copy()
    half = [min(a, b) // 2 for a, b in zip(one.shape, two.shape, strict=True)]
    two[: half[0], : half[1]] = one[: half[0], : half[1]]
    assert correlation(one, two) < SIMILAR


@pytest.mark.parametrize("shape", [(1, 1), (3, 400), (64, 64)])
def test_pictures_of_any_shape_are_compared(shape: tuple[int, int]) -> None:
    odd = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    assert -1 <= correlation(odd, pixels(0)) <= 1
