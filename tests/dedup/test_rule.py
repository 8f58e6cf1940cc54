import numpy as np
import pytest

from dedup.config import DedupSettings
from dedup.rule import Answer, sort_out
from flora.errors import ConfigError

RULE = DedupSettings(pdq_sure=20, pdq_radius=31, phash_radius=10, pdq_limit=100, min_quality=50)


def answer(pdq: int, phash: int, quality: int = 100) -> Answer:
    found = sort_out(
        np.array([pdq], np.uint16),
        np.array([phash], np.uint16),
        np.array([quality], np.uint8),
        RULE,
    )
    return Answer(found[0])


def test_good_pictures_that_pdq_finds_very_near_are_one() -> None:
    assert answer(pdq=20, phash=64) is Answer.SAME


def test_what_pdq_finds_near_is_a_question() -> None:
    assert answer(pdq=21, phash=64) is Answer.LOOK
    assert answer(pdq=31, phash=64) is Answer.LOOK
    assert answer(pdq=32, phash=64) is Answer.DIFFERENT


def test_what_phash_alone_says_is_a_question() -> None:
    assert answer(pdq=32, phash=10) is Answer.LOOK
    assert answer(pdq=100, phash=0) is Answer.LOOK
    assert answer(pdq=32, phash=11) is Answer.DIFFERENT


def test_pictures_far_apart_in_pdq_are_two_whatever_phash_says() -> None:
    assert answer(pdq=101, phash=0) is Answer.DIFFERENT


def test_pictures_of_poor_quality_are_never_one_unseen() -> None:
    assert answer(pdq=0, phash=0, quality=49) is Answer.LOOK
    assert answer(pdq=0, phash=0, quality=50) is Answer.SAME


def test_many_pairs_are_sorted_out_at_once() -> None:
    pdq, phash = np.array([0, 50, 200], np.uint16), np.array([0, 4, 4], np.uint16)
    found = sort_out(pdq, phash, np.full(3, 90, np.uint8), RULE)
    assert found.dtype == np.uint8
    assert found.tolist() == [Answer.SAME, Answer.LOOK, Answer.DIFFERENT]
    assert len(sort_out(pdq[:0], phash[:0], np.empty(0, np.uint8), RULE)) == 0


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"pdq_sure": 32}, r"dedup.pdq_sure is 32, but must be 0 to dedup.pdq_radius \(31\)"),
        ({"pdq_radius": 101}, "dedup.pdq_radius is 101, but must be 0 to dedup.pdq_limit"),
        ({"phash_radius": 33}, "dedup.phash_radius is 33, but must be 0 to 32"),
        ({"pdq_limit": 129}, "dedup.pdq_limit is 129, but must be 0 to 128"),
        ({"placeholder_copies": 1}, "dedup.placeholder_copies is 1, but must be 2 or more"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(wrong: dict[str, int], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        DedupSettings(**wrong)
