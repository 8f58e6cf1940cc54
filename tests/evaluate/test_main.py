"""The commands, on files as they would lie on disk."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from evaluate.__main__ import main
from evaluate.guesses import lift
from flora import predictions, records
from tests.evaluate.made import predict, scores

CLASSES = 12
TRUTH = "".join(f"{n};s{n % 4};{'people' if n < 6 else 'rest'}\n" for n in range(40))
GOOD = "".join(f"{n};s{n % 4};0.8;1\n{n};s9;0.1;2\n" for n in range(40))
POOR = "".join(f"{n};s9;0.8;1\n{n};s{n % 4};0.1;2\n" for n in range(40))
BOTANIST = "".join(f"{n};s{n % 4};1;1\n" for n in range(5)) + "5;s11;1;1\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with run files, their truth, the classes, and a run of ours."""
    for name, text in (("truth", TRUTH), ("good", GOOD), ("poor", POOR), ("botanist", BOTANIST)):
        (tmp_path / f"{name}.csv").write_text(text, encoding="utf-8")
    rows = [
        {"label": n, "class_index": n, "species_id": f"s{n}", "name": f"Genus{n // 3} n{n}",
         "genus": f"Genus{n // 3}", "family": f"Family{n // 6}", "train": (0, 1, 5, 50, 500)[n % 5],
         "val": 1, "test": 1}
        for n in range(CLASSES)
    ]  # fmt: skip
    classes = tmp_path / "data" / "shards" / "classes.parquet"
    records.write(classes, records.table(records.CLASSES, rows))
    plants = np.arange(60) // 2
    probabilities, labels = scores(60, CLASSES)
    for run, power in (("old", 0.1), ("new", 1.0)):
        for split in ("val", "test"):
            made = np.repeat(labels[::2], 2)
            spoilt = probabilities**power
            guesses = predict(spoilt / spoilt.sum(1, keepdims=True), made, observations=plants)
            path = tmp_path / "data" / "runs" / run / f"guesses-{split}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            with predictions.writing(path) as append:
                append(lift(guesses, np.arange(CLASSES) // 3, np.arange(CLASSES) // 6))
    return tmp_path


def run(folder: Path, *arguments: str) -> int:
    return main([*arguments, "--data", str(folder / "data")])


def line(text: str, start: str) -> list[float]:
    """Return the first numbers of the cells of the line that begins with *start*."""
    (found,) = (each for each in text.splitlines() if each.startswith(start + "  "))
    return [float(each) for each in re.findall(r"(?<![\d.,\[])\d\.\d+(?= )", found)]


def test_people_and_machines_stand_in_one_table_and_plot(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(
        folder, "score", f"ours={folder / 'good.csv'}", str(folder / "poor.csv"),
        "--people", str(folder / "botanist.csv"), "--truth", str(folder / "truth.csv"),
        "--output", str(folder / "out"),
    )  # fmt: skip
    assert code == 0
    shown = capsys.readouterr().out
    assert line(shown, "ours")[0] == 1.0
    assert line(shown, "poor")[:2] == [0.0, 1.0]
    assert line(shown, "botanist (people)")[0] == 0.833
    found = json.loads((folder / "out" / "scores.json").read_text())
    botanist = next(each for each in found if each["people"] and each["subset"] == "people")
    assert botanist["levels"]["species"]["top1"]["value"] == 5 / 6
    assert botanist["levels"]["species"]["top1"]["chance"] == 1 / 12
    assert botanist["levels"]["species"]["top5"]["chance"] == 1 / 12  # it named one each
    drawing = (folder / "out" / "scores.svg").read_text()
    assert "botanist (people)" in drawing
    assert "at random" in drawing


def test_a_run_of_ours_has_levels_a_tail_and_a_temperature(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(folder, "score", "old", "--output", str(folder / "out")) == 0
    (found,) = json.loads((folder / "out" / "scores.json").read_text())
    assert [each["train_images"] for each in found["tail"]] == ["0", "1", "2-10", "11-100", ">100"]
    assert sum(each["images"] for each in found["tail"]) == 60
    tops = [found["levels"][name]["top1"] for name in ("species", "genus", "family")]
    assert [each["chance"] for each in tops] == pytest.approx([1 / 12, 1 / 4, 1 / 2])
    assert tops[0]["value"] < tops[1]["value"] < tops[2]["value"]
    assert found["calibration"]["after"]["temperature"] < 0.5  # it was ten times too timid
    assert found["calibration"]["after"]["nll"] < found["calibration"]["nll"]


def test_switches_make_every_combination(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "gone.txt").write_text("picture-0\npicture-5\n")
    code = run(
        folder, "score", "new", "--checklist", "family=Family0", "--fuse", "logs",
        "--without", str(folder / "gone.txt"), "--output", str(folder / "out"),
    )  # fmt: skip
    assert code == 0
    found = {
        tuple(each["configuration"]): each
        for each in json.loads((folder / "out" / "scores.json").read_text())
    }
    assert set(found) == {
        tuple(part for part, on in zip(("unseen", "checklist", "logs"), bits, strict=True) if on)
        for bits in np.ndindex(2, 2, 2)
    }
    assert found["unseen",]["images"] == 58
    assert found["logs",]["images"] == found["logs",]["observations"] == 30
    assert found["checklist",]["levels"]["species"]["top1"]["chance"] < 1 / 6
    assert found["checklist",]["truth_not_possible"] > 0
    assert found["checklist",]["levels"]["genus"]["top1"]["value"] is not None


def test_two_runs_are_compared_picture_by_picture(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["good.csv", "poor.csv"]
    paths = [str(folder / name) for name in arguments]
    assert run(folder, "compare", *reversed(paths), "--truth", str(folder / "truth.csv")) == 0
    shown = capsys.readouterr().out
    assert "good less poor: plain" in shown
    assert "+1.000 [+1.000, +1.000]*" in shown
    assert run(folder, "compare", "old", "new") == 0
    assert "*" not in capsys.readouterr().out  # the order of guesses is the same


def test_a_run_of_ours_is_written_as_a_run_file_and_scored_as_one(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [str(folder / name) for name in ("new.csv", "its-truth.csv")]
    assert run(folder, "write", "new", "--output", paths[0], "--truth", paths[1]) == 0
    first = (folder / "new.csv").read_text().partition("\n")[0]
    assert re.fullmatch(r"plant-0;s\d+;0\.\d+;1", first)
    assert run(folder, "score", f"itself={paths[0]}", "--truth", paths[1]) == 0
    assert run(folder, "score", "new", "--fuse", "logs") == 0
    shown = capsys.readouterr().out
    assert line(shown, "itself") == line(shown, "new + logs")


def test_the_form_of_2017_is_about_pictures(folder: Path) -> None:
    path = folder / "new.csv"
    assert run(folder, "write", "new", "--format", "2017", "--output", str(path)) == 0
    assert re.fullmatch(r"picture-0;s\d+;0\.\d+", path.read_text().partition("\n")[0])


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["score", "nothing"], "there is no run with guesses for test"),
        (["score"], "name a run"),
        (["compare", "old"], "compare takes two runs"),
        (["write", "old"], "--output FILE"),
        (["score", "old", "--checklist", "family=Nothing"], "names none of the 12 classes"),
        (["score", "old", "--checklist", "nothing.txt"], "cannot be read as a list"),
        (["score", "old", "--checklist", "planet=Mars"], "there is no planet"),
        (["score", "old", "--without", "nothing.txt"], "cannot be read as a list"),
    ],
)
def test_a_mistake_is_one_sentence(
    folder: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], what: str
) -> None:
    assert run(folder, *arguments) == 2
    assert what in capfd.readouterr().err


def test_a_run_file_needs_its_truth(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(folder, "score", str(folder / "good.csv")) == 2
    assert "--truth FILE" in capfd.readouterr().err
