from pathlib import Path

import numpy as np
import pytest

from evaluate import measures
from evaluate.runfiles import named, read_run, read_truth, score, write_run, write_truth
from flora.errors import ContractError
from flora.predictions import Predictions
from tests.evaluate.made import predict, scores

TRUTH = "1;oak;ManVsMachine\n2;elm;Other\n3;ash;Other\n4;fir;ManVsMachine\n"
RUN = """1;oak;0.6;1
1;elm;0.4;2
2;oak;0.9;1
2;elm;0.05;2
2;ash;0.05;3
4;oak;0.4;1
4;elm;0.3;2
4;ash;0.2;3
4;fir;0.1;4
"""


def scored(folder: Path, run: str, truth: str = TRUTH) -> Predictions:
    """Return *run* scored against *truth*, both as they would lie on disk."""
    (folder / "run.csv").write_text(run, encoding="utf-8")
    (folder / "truth.csv").write_text(truth, encoding="utf-8")
    guesses, right = read_run(folder / "run.csv"), read_truth(folder / "truth.csv")
    classes = sorted(named([guesses], right))
    return score(guesses, right, classes, len(classes))


def test_the_mean_reciprocal_rank_of_a_run_is_the_one_counted_by_hand(tmp_path: Path) -> None:
    rows = scored(tmp_path, RUN)
    assert rows.ranks.tolist() == [1, 2, 0, 4]  # 3 was not answered
    found = measures.figures(measures.places(rows)["species"])
    assert found["mrr"] == (1 + 1 / 2 + 0 + 1 / 4) / 4 == 0.4375
    assert found["top1"] == 0.25


def test_the_macro_average_is_over_the_species_of_the_test(tmp_path: Path) -> None:
    run = "1;oak;1;1\n2;elm;0.9;1\n2;oak;0.1;2\n3;elm;1;1\n"
    rows = scored(tmp_path, run, "1;oak\n2;oak\n3;elm\n")
    found = measures.figures(measures.places(rows)["species"])
    assert found["mrr"] == (1 + 1 / 2 + 1) / 3
    assert found["ma_mrr"] == ((1 + 1 / 2) / 2 + 1) / 2


@pytest.mark.parametrize(
    "run",
    [
        "1;oak;0.2\n1;elm;0.7\n1;ash;0.1\n",
        "MediaId;ClassId;Probability\r\n1;elm;0.7\r\n1;oak;0.2\r\n1;ash;0.1\r\n",
        "obsid;classid;probability;rank\n1;oak;0.2;2\n1;ash;0.1;3\n1;elm;0.7;1\n",
        "\ufeff1; ash; 0.1\n\n1; elm; 0.7\n1; oak; 0.2\n",
    ],
    ids=["2017", "2017 with a header", "2022 in no order", "with blanks"],
)
def test_each_years_form_says_the_same(tmp_path: Path, run: str) -> None:
    (tmp_path / "run.csv").write_text(run, encoding="utf-8")
    guesses = read_run(tmp_path / "run.csv").guesses
    assert guesses == {"1": [("elm", 0.7), ("oak", 0.2), ("ash", 0.1)]}


def test_equal_probabilities_stand_in_the_order_of_their_lines(tmp_path: Path) -> None:
    assert scored(tmp_path, "1;elm;0.5\n1;oak;0.5\n").ranks[0] == 2


def test_the_rank_decides_where_it_is_given(tmp_path: Path) -> None:
    assert scored(tmp_path, "1;oak;0.1;1\n1;elm;0.9;2\n").ranks[0] == 1


@pytest.mark.parametrize(
    ("run", "what"),
    [
        ("1;oak\n", "line 1: has 2 cells"),
        ("1;oak;0.5\n1;elm;much\n", "line 2: 'much' is no probability"),
        ("1;oak;0.5;1\n1;elm;0.5;first\n", "line 2: 'first' is no rank"),
        ("1;oak;0.5;1\n1;elm;0.5;3\n", "ranks are not 1, 2, 3"),
        ("1;oak;0.5\n1;oak;0.4\n", "guessed twice"),
        ("", "holds no guess"),
        ("9;oak;0.5\n", "about other pictures"),
    ],
)
def test_what_is_no_run_is_refused_with_its_place(tmp_path: Path, run: str, what: str) -> None:
    with pytest.raises(ContractError, match=what):
        scored(tmp_path, run)


def test_a_truth_may_name_pictures_observations_and_subsets(tmp_path: Path) -> None:
    path = tmp_path / "truth.csv"
    path.write_text("ClassId;ObservationId;MediaId;Source\noak;o1;m1;a\noak;o1;m2;b\n")
    truth = read_truth(path)
    assert truth.classes == {"m1": "oak", "m2": "oak"}
    assert truth.observations == {"m1": "o1", "m2": "o1"}
    assert truth.subsets == {"m1": "a", "m2": "b"}


def test_a_truth_of_two_minds_is_refused(tmp_path: Path) -> None:
    (tmp_path / "truth.csv").write_text("1;oak\n1;elm\n")
    with pytest.raises(ContractError, match="line 2: 1 has two classes"):
        read_truth(tmp_path / "truth.csv")


@pytest.mark.parametrize(("year", "ranked", "most"), [("2017", False, 100), ("2022", True, 30)])
def test_a_run_that_is_written_reads_the_same(
    tmp_path: Path, year: str, ranked: bool, most: int
) -> None:
    rows = predict(*scores(20, 150), kept=120)
    classes = [f"species-{label}" for label in range(150)]
    write_run(tmp_path / "run.csv", rows, classes, year)
    found = read_run(tmp_path / "run.csv")
    first = (tmp_path / "run.csv").read_text().partition("\n")[0].split(";")
    assert len(first) == 3 + ranked
    assert found.depth == most
    for key, labels, logs in zip(rows.keys, rows.top_labels, rows.top, strict=True):
        assert [name for name, _ in found.guesses[key]] == [classes[n] for n in labels[:most]]
        assert [p for _, p in found.guesses[key]] == pytest.approx(np.exp(logs[:most]).tolist())


def test_a_truth_that_is_written_reads_the_same(tmp_path: Path) -> None:
    rows = predict(*scores(20, 6))
    write_truth(tmp_path / "truth.csv", rows, [f"species-{label}" for label in range(6)])
    found = read_truth(tmp_path / "truth.csv").classes
    assert found == {
        key: f"species-{label}" for key, label in zip(rows.keys, rows.labels, strict=True)
    }
