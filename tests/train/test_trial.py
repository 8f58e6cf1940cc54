from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flora.errors import ConfigError
from train.trial import Source, Trial, configurations, fusions, sources


def test_every_combination_of_the_switches_is_tried() -> None:
    trial = Trial(views=4, fusions=("logs", "max"))
    ways = configurations(trial, np.ones(3, np.bool_), {"k"})
    names = [way.name for way in ways]
    assert len(names) == len(set(names)) == 2 * 2 * 2 * 3 + 1
    assert names[0] == ""
    assert {"apart", "unseen-views-checklist-logs", "views-max", "unseen"} <= set(names)


def test_a_switch_that_is_off_makes_no_configuration() -> None:
    assert [way.name for way in configurations(Trial(), None, None)] == [""]


def test_unseen_has_a_name_though_no_picture_goes() -> None:
    assert [way.name for way in configurations(Trial(unseen=True), None, set())] == ["", "unseen"]


def test_sets_are_named_by_themselves_or_as_one_says(tmp_path: Path) -> None:
    folder = tmp_path / "my garden-2018"
    folder.mkdir()
    assert sources(f"test,{folder},again={folder}") == (
        Source("test", "test"),
        Source("my_garden_2018", str(folder)),
        Source("again", str(folder)),
    )


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "name each set once"),
        ("test,test", "name each set once"),
        ("nowhere", "there is no nowhere"),
        ("a-b=test", "letters, digits and _ only"),
    ],
)
def test_what_names_no_set_is_a_mistake(text: str, what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        sources(text)


def test_what_names_no_fusion_is_a_mistake() -> None:
    assert fusions(["max", "logs"]) == ("logs", "max")
    with pytest.raises(ConfigError, match="--fuse sum: must be of logs, mean, max"):
        fusions(["sum"])
    with pytest.raises(ConfigError, match="--views 11: must be from 1 to 10"):
        Trial(views=11)


def test_another_question_is_another_recipe(tmp_path: Path) -> None:
    (tmp_path / "garden").mkdir()
    (tmp_path / "list.txt").write_text("Rosa", encoding="utf-8")
    source = Source("garden", str(tmp_path / "garden"))
    trial = Trial(sets=(source,), checklist=str(tmp_path / "list.txt"))
    seen = {trial.recipe(source)}
    (tmp_path / "list.txt").write_text("Morus", encoding="utf-8")
    seen.add(trial.recipe(source))
    (tmp_path / "garden" / "a.jpg").write_bytes(b"picture")
    seen.add(trial.recipe(source))
    seen.add(replace(trial, views=2).recipe(source))
    assert len(seen) == 4
    assert trial.recipe(source) in seen
