"""What is written beside a run, from the tables and receipts that its evaluation left there."""

import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from evaluate.__main__ import main
from evaluate.guesses import fuse, lift
from flora import predictions, records
from flora.ledger import Ledger, Receipt
from flora.predictions import Predictions
from tests.evaluate.made import predict, scores

CLASSES = 12
GENERA, FAMILIES = np.arange(CLASSES) // 3, np.arange(CLASSES) // 6


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was asked about val, test and a garden, and tabulated."""
    data = tmp_path_factory.mktemp("data")
    rows = [
        {"label": n, "class_index": n, "species_id": f"s{n}", "name": f"Genus{n // 3} n{n}",
         "genus": f"Genus{n // 3}", "family": f"Family{n // 6}", "train": (1, 5, 50, 500)[n % 4],
         "val": 1, "test": 1}
        for n in range(CLASSES)
    ]  # fmt: skip
    records.write(data / "shards" / "classes.parquet", records.table(records.CLASSES, rows))
    folder = data / "runs" / "main"
    probabilities, labels = scores(80, CLASSES)
    plants = np.arange(80) // 2
    plain = predict(probabilities, np.repeat(labels[::2], 2), observations=plants)
    for name in ("garden", "test", "val"):
        put(folder / f"guesses-{name}.parquet", plain)
        detail = {"undecodable": 3 if name == "garden" else 0, "of_no_class": 0, "copies": None}
        Ledger(folder).write(Receipt(unit=f"evaluate/{name}", recipe="r", detail=detail))
    put(folder / "guesses-test-views-logs.parquet", fuse(plain, "logs"))
    listed = lift(plain, GENERA, FAMILIES)
    outside = replace(listed, ranks=listed.ranks * (listed.labels < CLASSES // 2))
    with predictions.writing(folder / "guesses-test-checklist.parquet") as append:
        append(outside)
    assert main(["table", "main", "--data", str(data)]) == 0
    return folder


def put(path: Path, rows: Predictions) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with predictions.writing(path) as append:
        append(lift(rows, GENERA, FAMILIES))


def test_the_table_has_a_row_for_every_set_and_configuration(run: Path) -> None:
    text = (run / "evaluation.md").read_text(encoding="utf-8")
    first = text.partition("## By level")[0]
    names = [line.split("|")[1].strip() for line in first.splitlines() if line.startswith("|")]
    random = "at random"
    listed = ["test + checklist", random, "test + views + logs", random]
    assert names == ["", "---", "val", random, "test", *listed, "garden"]
    assert "- garden: 3 pictures cannot be decoded and are left out" in text
    assert "val: ECE" in text
    labels = predictions.read(run / "guesses-test.parquet").labels
    outside = (labels >= CLASSES // 2).mean()
    assert f"test: {outside:.1%} are of species that are not on the checklist" in text


def test_the_figures_of_each_set_are_in_one_file(run: Path) -> None:
    found = json.loads((run / "evaluation.json").read_text(encoding="utf-8"))
    assert list(found) == ["val", "test", "garden"]
    test = found["test"]
    assert (test["images"], test["classes"], found["garden"]["undecodable"]) == (80, CLASSES, 3)
    assert test["random"]["top1"] == pytest.approx(1 / CLASSES)
    assert test["top1"] == test["configurations"][0]["levels"]["species"]["top1"]["value"]
    assert test["configurations"][2]["configuration"] == ["views", "logs"]
    assert [(part["train_images"], part["classes"]) for part in test["tail"]] == [
        ("1", 3), ("2-10", 3), ("11-100", 3), (">100", 3)
    ]  # fmt: skip
    tested = sum(part["images"] for part in test["tail"])
    assert tested == 80


def test_the_page_stands_alone(run: Path) -> None:
    page = (run / "evaluation.html").read_text(encoding="utf-8")
    seen = Tags()
    seen.feed(page)
    assert seen.open == []
    assert {"table", "svg", "h1"} <= seen.known
    assert "surest first" in page  # the curve of risk and coverage
    assert not [link for link in seen.links if not link.startswith("#")]


def test_a_run_that_was_not_evaluated_says_so(
    tmp_path: Path, run: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "shards").symlink_to(run.parent.parent / "shards")
    assert main(["table", "main", "--data", str(tmp_path)]) == 2
    assert "Evaluate it first" in capfd.readouterr().err
    (tmp_path / "runs" / "main").mkdir(parents=True)
    (tmp_path / "runs" / "main" / "evaluate.sbatch").touch()
    assert main(["table", "main", "--data", str(tmp_path)]) == 0
    assert "the job is not done yet" in capfd.readouterr().err


class Tags(HTMLParser):
    """What is open, what there is, and what is linked to."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.known: set[str] = set()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.known.add(tag)
        if tag != "meta":
            self.open.append(tag)
        self.links += [str(v) for k, v in attrs if k in ("href", "src", "xlink:href")]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.known.add(tag)
        self.links += [str(v) for k, v in attrs if k in ("href", "src", "xlink:href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
