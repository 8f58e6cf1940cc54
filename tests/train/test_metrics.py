import numpy as np
import pytest

from train.metrics import summary


def test_the_figures_are_those_counted_by_hand() -> None:
    ranks, labels = np.array([1, 1, 2, 10]), np.array([0, 0, 0, 1])
    found = summary(ranks, labels, np.array([200, 1, 5]))
    assert found["top1"] == 0.5
    assert found["top5"] == 0.75
    assert found["mrr"] == pytest.approx((1 + 1 + 1 / 2 + 1 / 10) / 4)
    assert found["macro_top1"] == pytest.approx((2 / 3 + 0) / 2)
    assert (found["images"], found["classes"], found["classes_tested"]) == (4, 3, 2)
    assert found["random"]["mrr"] == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)
    assert found["commonest"]["top1"] == 0.75


def test_the_tail_is_told_by_the_number_of_training_pictures() -> None:
    ranks, labels = np.array([1, 2, 1, 3]), np.array([0, 1, 2, 3])
    tail = summary(ranks, labels, np.array([1, 10, 11, 101]))["tail"]
    names = ("train_images", "classes", "images", "top1")
    assert [tuple(each[name] for name in names) for each in tail] == [
        ("1", 1, 1, 1.0),
        ("2-10", 1, 1, 0.0),
        ("11-100", 1, 1, 1.0),
        (">100", 1, 1, 0.0),
    ]


def test_a_split_without_pictures_has_no_figures_but_does_not_fail() -> None:
    nothing = np.zeros(0, np.int64)
    found = summary(nothing, nothing, np.array([3, 3]))
    assert found["images"] == 0
    assert found["top1"] is None
