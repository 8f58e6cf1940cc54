import numpy as np
import pytest

from evaluate.guesses import Fusion, fuse, lift, within, without
from flora.predictions import Real
from tests.evaluate.made import predict, scores

CLASSES = 25
PROBABILITIES, LABELS = scores(90, CLASSES)
PLANTS = np.arange(90) // 3
TRUTHS = LABELS[::3]


def fused(how: Fusion) -> Real:
    """Return the probabilities of each plant, from whole rows."""
    rows = PROBABILITIES.reshape(30, 3, CLASSES)
    made: Real = {
        "logs": np.exp(np.log(rows).mean(1)), "mean": rows.mean(1), "max": rows.max(1)
    }[how]  # fmt: skip
    return made / made.sum(1, keepdims=True)


@pytest.mark.parametrize("how", ["logs", "mean", "max"])
def test_fusion_of_whole_rows_is_exact(how: Fusion) -> None:
    found = fuse(predict(PROBABILITIES, np.repeat(TRUTHS, 3), observations=PLANTS), how)
    order = np.argsort([int(name.split("-")[1]) for name in found.keys])
    found, truly = found.take(order), predict(fused(how), TRUTHS)
    assert found.ranks.tolist() == truly.ranks.tolist()
    assert found.top_labels.tolist() == truly.top_labels.tolist()
    assert found.truths == pytest.approx(truly.truths, abs=1e-5)  # of float32 guesses


def test_many_plants_are_fused_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = predict(PROBABILITIES, np.repeat(TRUTHS, 3), observations=PLANTS)
    at_once = fuse(rows, "mean")
    monkeypatch.setattr("evaluate.guesses._AT_ONCE", 7)
    found = fuse(rows, "mean")
    assert found.keys.tolist() == at_once.keys.tolist()
    assert found.ranks.tolist() == at_once.ranks.tolist()


@pytest.mark.parametrize("how", ["logs", "mean", "max"])
def test_fusion_of_the_best_guesses_has_the_first_right(how: Fusion) -> None:
    few = fuse(predict(PROBABILITIES, np.repeat(TRUTHS, 3), 10, observations=PLANTS), how)
    all_of = fuse(predict(PROBABILITIES, np.repeat(TRUTHS, 3), observations=PLANTS), how)
    assert (few.top_labels[:, 0] == all_of.top_labels[:, 0]).mean() > 0.95


def test_a_checklist_leaves_what_it_names_and_makes_it_sum_to_one() -> None:
    allowed = np.arange(CLASSES) % 2 == 0
    found = within(predict(PROBABILITIES, LABELS), allowed)
    masked = np.where(allowed, PROBABILITIES, 0)
    truly = predict(masked / masked.sum(1, keepdims=True) + 1e-300, LABELS)
    inside = allowed[LABELS]
    assert found.ranks[inside].tolist() == truly.ranks[inside].tolist()
    assert found.truths[inside] == pytest.approx(truly.truths[inside], abs=1e-5)
    assert not found.ranks[~inside].any()
    assert found.candidates.tolist() == np.where(inside, allowed.sum(), 0).tolist()
    assert np.exp(found.top).sum(1) == pytest.approx(1, abs=1e-5)


def test_pictures_on_the_list_are_left_out() -> None:
    rows = predict(PROBABILITIES, LABELS)
    assert without(rows, ["picture-0", "picture-7"]).keys[:2].tolist() == ["picture-1", "picture-2"]


def test_a_genus_is_the_sum_of_its_species() -> None:
    genera = np.arange(CLASSES) // 3
    families = genera // 4
    found = lift(predict(PROBABILITIES, LABELS), genera, families)
    for ranks, of, candidates in (
        (found.genus_ranks, genera, found.genus_candidates),
        (found.family_ranks, families, found.family_candidates),
    ):
        sums = np.stack([PROBABILITIES[:, of == each].sum(1) for each in range(of.max() + 1)], 1)
        assert ranks.tolist() == predict(sums, of[LABELS]).ranks.tolist()
        assert set(candidates) == {of.max() + 1}
