import pytest
import torch

from train.best import best


@pytest.mark.parametrize("classes", [7, 200, 30_000, 52_345])
@pytest.mark.parametrize("levels", [0, 3, 5000])
def test_the_best_are_those_that_sorting_finds(classes: int, levels: int) -> None:
    torch.manual_seed(classes + levels)
    scores = torch.randn(5, classes)
    if levels:  # many equals
        scores = (scores * levels).round()
    count = min(50, classes)
    values, places = scores.sort(dim=1, descending=True, stable=True)
    found, kept = best(scores, count)
    assert torch.equal(kept, values[:, :count])
    assert torch.equal(found, places[:, :count])


def test_a_row_of_equals_is_taken_from_its_start() -> None:
    found, _ = best(torch.zeros(2, 60_000), 100)
    assert found.tolist() == [list(range(100))] * 2


def test_equals_beyond_the_chosen_blocks_are_not_forgotten() -> None:
    scores = torch.zeros(1, 60_000)
    scores[0, 59_990:] = 1
    scores[0, 300] = scores[0, 40_000] = 2
    found, _ = best(scores, 20)
    assert found[0].tolist() == [300, 40_000, *range(59_990, 60_000), *range(8)]
