from dataclasses import replace

import numpy as np
import pytest

from evaluate.intervals import differences, intervals
from evaluate.measures import Places
from flora.errors import ContractError


def drawn(count: int, each: int, share: float, seed: int = 0) -> Places:
    """Return places of *count* plants with *each* pictures, all of a plant right or wrong."""
    rng = np.random.default_rng(seed)
    right = np.repeat(rng.random(count) < share, each)
    return Places(
        ranks=np.where(right, 1, 7),
        labels=np.repeat(rng.integers(0, 20, count), each),
        candidates=np.full(count * each, 20),
        observations=np.repeat(np.arange(count), each),
    )


def test_the_interval_of_a_share_is_that_of_the_normal_law() -> None:
    at = drawn(2000, 1, 0.3)
    share = (at.ranks == 1).mean()
    half = 1.96 * (share * (1 - share) / 2000) ** 0.5
    low, high = intervals(at)["top1"]
    assert low == pytest.approx(share - half, abs=0.002)
    assert high == pytest.approx(share + half, abs=0.002)


def test_more_pictures_of_the_same_plants_make_no_one_surer() -> None:
    one, five = (intervals(drawn(500, each, 0.5))["mrr"] for each in (1, 5))
    assert five == pytest.approx(one)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    held = 0
    for seed in range(120):
        low, high = intervals(drawn(150, 2, 0.4, seed), draws=150)["top1"]
        held += low <= 0.4 <= high
    assert 0.88 <= held / 120 <= 0.99


def test_the_same_run_twice_differs_by_nothing() -> None:
    at = drawn(100, 2, 0.5)
    assert all(found == (0, (0, 0)) for found in differences(at, at).values())


def test_a_paired_difference_is_surer_than_two_intervals() -> None:
    one = drawn(400, 1, 0.5)
    better = np.where((np.arange(400) % 20 == 0) & (one.ranks != 1), 1, one.ranks)
    delta, (low, high) = differences(one, replace(one, ranks=better))["top1"]
    assert delta == pytest.approx(((better == 1).sum() - (one.ranks == 1).sum()) / 400)
    assert 0 < low < delta < high
    alone = intervals(one)["top1"]
    assert high - low < (alone[1] - alone[0]) / 2


def test_runs_about_other_pictures_are_not_compared() -> None:
    with pytest.raises(ContractError, match="not about the same pictures"):
        differences(drawn(10, 1, 0.5), drawn(11, 1, 0.5))


def test_no_pictures_have_no_interval() -> None:
    assert np.isnan(intervals(drawn(0, 1, 0.5))["top1"][0])
