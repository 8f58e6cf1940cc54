from pathlib import Path

import pytest

from evaluate import runfiles
from evaluate.mapping import read
from evaluate.taxa import Taxa
from flora.errors import ConfigError

TAXA = Taxa(
    ids=["wfo-1", "wfo-2", "wfo-3"],
    names={
        "species_id": ["wfo-1", "wfo-2", "wfo-3"],
        "name": ["Rosa canina", "Rosa gallica", "Abelia × grandiflora"],
    },
)


def put(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_classes_are_mapped_by_id_or_by_name_however_it_is_written(tmp_path: Path) -> None:
    lines = [
        "class_id;species",
        "10;wfo-1",
        "20;rosa_gallica",
        "30;Abelia x grandiflora (André) Rehder",
        "40;Nemo nullus",
        "50;Rosa canina L.",
    ]
    path = put(tmp_path / "m.csv", "\n".join(lines))
    found = read(path, TAXA)
    assert found.ours == {"10": "wfo-1", "20": "wfo-2", "30": "wfo-3", "50": "wfo-1"}
    assert found.strange == ["Nemo nullus"]
    assert found.theirs(["wfo-3", "wfo-1", "wfo-9"]) == ["30", "10", None]


def test_two_of_their_classes_that_are_one_of_ours_are_one_guess(tmp_path: Path) -> None:
    mapping = read(put(tmp_path / "m.csv", "10,wfo-1\n50,wfo-1\n20,wfo-2\n"), TAXA)
    run = runfiles.read_run(
        put(tmp_path / "run.csv", "7;20;0.5;1\n7;10;0.25;2\n7;99;0.125;3\n7;50;0.125;4\n")
    )
    assert mapping.run(run).guesses == {"7": [("wfo-2", 0.5), ("wfo-1", 0.375), ("99", 0.125)]}
    truth = runfiles.read_truth(put(tmp_path / "truth.csv", "7;50\n8;99\n"))
    assert mapping.truth(truth).classes == {"7": "wfo-1", "8": "99"}


def test_a_mapping_of_nothing_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="maps no class to one of ours"):
        read(put(tmp_path / "m.csv", "10,Nemo nullus\n"), TAXA)
    with pytest.raises(ConfigError, match="cannot be read"):
        read(tmp_path / "nothing.csv", TAXA)
