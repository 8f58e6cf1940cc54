import re

import numpy as np

from report import figures


def test_drawings_take_the_fonts_of_the_page_and_ask_for_nothing() -> None:
    drawn = figures.bars("Plants & pots", {"oak": [3], "elm": [2, 1]}, ("train", "val"))
    assert 'aria-label="Plants &amp; pots"' in drawn
    assert "font-family" not in drawn
    assert "<style" not in drawn
    assert re.findall(r'href="(?!#)', drawn) == []


def test_the_same_numbers_give_the_same_drawing() -> None:
    curves = {"kept": np.array([5, 1, 1]), "listed": np.arange(3000, 0, -1)}
    assert figures.rank_frequency("x", curves) == figures.rank_frequency("x", curves)


def test_names_inside_one_drawing_are_not_those_of_another() -> None:
    points = {"loss": [(1.0, 2.0), (2.0, 1.0)]}
    one, other = (set(re.findall(r' id="([^"]*)"', figures.course(words, points, {"head": 0})))
                  for words in ("one", "other"))  # fmt: skip
    assert one
    assert not one & other


def test_a_long_curve_is_thinned() -> None:
    assert len(figures.rank_frequency("x", {"kept": np.arange(300_000, 0, -1)})) < 40_000
    points = [(float(step), 1 / step) for step in range(1, 100_000)]
    assert len(figures.course("x", {"loss": points}, {"head": 0})) < 40_000


def test_no_species_at_all_can_be_drawn() -> None:
    curves = {"listed": np.array([], np.int64), "kept": np.array([1])}
    assert "</svg>" in figures.rank_frequency("x", curves, 350_000)
