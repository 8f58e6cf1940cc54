import numpy as np
import pytest
from sklearn import metrics as sklearn

from evaluate import measures
from evaluate.measures import DEPTHS, Places, chance, figures, places, tail
from tests.evaluate.made import predict, scores

CLASSES = 40
PROBABILITIES, LABELS = scores(600, CLASSES)
FIGURES = figures(places(predict(PROBABILITIES, LABELS))["species"])
EXACT = {"rel": 0, "abs": 1e-9}


def at(ranks: list[int], labels: list[int], candidates: int = 100) -> Places:
    """Return places, each of an observation of its own."""
    count = len(ranks)
    return Places(
        ranks=np.array(ranks, np.int64),
        labels=np.array(labels, np.int64),
        candidates=np.full(count, candidates, np.int64),
        observations=np.arange(count),
    )


@pytest.mark.parametrize("depth", DEPTHS)
def test_top_k_is_that_of_scikit_learn(depth: int) -> None:
    theirs = sklearn.top_k_accuracy_score(LABELS, PROBABILITIES, k=depth, labels=range(CLASSES))
    assert FIGURES[f"top{depth}"] == pytest.approx(theirs, **EXACT)


@pytest.mark.parametrize("depth", DEPTHS)
def test_macro_top_k_is_the_mean_of_that_of_scikit_learn_over_species(depth: int) -> None:
    theirs = np.mean([top_hits(depth, label) for label in np.unique(LABELS)])
    assert FIGURES[f"macro_top{depth}"] == pytest.approx(theirs, **EXACT)


def top_hits(depth: int, label: int) -> float:
    """Return scikit-learn's top-k over the pictures of one species."""
    mine = label == LABELS
    return float(
        sklearn.top_k_accuracy_score(
            LABELS[mine], PROBABILITIES[mine], k=depth, labels=range(CLASSES)
        )
    )


def test_the_mean_reciprocal_rank_is_that_of_scikit_learn() -> None:
    truths = np.eye(CLASSES)[LABELS]
    theirs = sklearn.label_ranking_average_precision_score(truths, PROBABILITIES)
    assert FIGURES["mrr"] == pytest.approx(theirs, **EXACT)


def test_the_macro_average_is_the_mean_of_that_of_scikit_learn_over_species() -> None:
    truths = np.eye(CLASSES)[LABELS]
    theirs = [
        sklearn.label_ranking_average_precision_score(truths[mine], PROBABILITIES[mine])
        for mine in (label == LABELS for label in np.unique(LABELS))
    ]
    assert FIGURES["ma_mrr"] == pytest.approx(np.mean(theirs), **EXACT)


def test_the_figures_are_those_counted_by_hand() -> None:
    found = figures(at([1, 1, 2, 40], [0, 0, 0, 1]))
    assert found["top1"] == 0.5
    assert found["top30"] == 0.75
    assert found["mrr"] == (1 + 1 + 1 / 2 + 1 / 40) / 4
    assert found["macro_top1"] == (2 / 3 + 0) / 2
    assert found["ma_mrr"] == ((1 + 1 + 1 / 2) / 3 + 1 / 40) / 2


def test_a_truth_that_was_not_named_gains_nothing() -> None:
    assert figures(at([1, 0], [0, 1]))["mrr"] == 0.5


def test_chance_is_what_guessing_at_random_comes_to() -> None:
    rng = np.random.default_rng(0)
    guessed = at(rng.integers(1, 51, 200_000).tolist(), [0] * 200_000, candidates=50)
    found, luck = figures(guessed), chance(guessed)
    for name in measures.NAMES:
        assert found[name] == pytest.approx(luck[name], abs=0.004)


def test_chance_of_a_short_list_is_that_of_so_many_guesses() -> None:
    luck = chance(at([0, 0], [0, 0], candidates=10), depth=2)
    assert luck["top1"] == 1 / 10
    assert luck["top5"] == luck["top30"] == 2 / 10
    assert luck["mrr"] == (1 + 1 / 2) / 10


def test_chance_cannot_find_what_is_no_candidate() -> None:
    assert chance(at([1, 0], [0, -1], candidates=10))["top1"] == pytest.approx(0.05)


def test_the_tail_is_told_by_the_number_of_training_pictures() -> None:
    bins = tail(at([1] * 6, [0, 1, 2, 3, 4, -1]), np.array([0, 1, 10, 11, 101]))
    assert {name: each.labels.tolist() for name, each in bins.items()} == {
        "0": [0, -1],
        "1": [1],
        "2-10": [2],
        "11-100": [3],
        ">100": [4],
    }


def test_no_pictures_have_no_figures_but_fail_nothing() -> None:
    assert np.isnan(figures(at([], []))["top1"])
    assert np.isnan(chance(at([], []))["mrr"])
