"""A data folder in which every stage has run, with something of everything; and a page read."""

import json
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from flora import records
from flora.command import Options
from flora.ledger import Ledger, Receipt
from report.__main__ import report
from tests import dataset

EVIL = "<script>alert('x')</script>"
"""What somebody named a picture."""
SPECIES = dataset.SPECIES

VOID = {"meta", "br", "img"}


class Page(HTMLParser):
    """The elements of a page, and the words of its chapters."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: dict[str, str] = {}
        self._open: list[str] = []
        self._chapter = ""
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)
        if tag == "section":
            self._chapter = str(dict(attrs)["id"])

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            so_far = self.words.get(self._chapter, "")
            self.words[self._chapter] = f"{so_far} {' '.join(data.split())}".strip()

    def values(self, name: str) -> list[str]:
        """Return all values of the attribute *name*."""
        return [str(attrs[name]) for _, attrs in self.tags if name in attrs]

    def pictures(self) -> list[dict[str, str | None]]:
        """Return the attributes of all pictures."""
        return [attrs for tag, attrs in self.tags if tag == "img"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a data folder with 60 pictures of 3 species, in which every stage has run."""
    return _grow(tmp_path / "garden")


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    """Return the page about such a folder."""
    return look(_grow(tmp_path_factory.mktemp("shared") / "garden"))


def look(data: Path, **how: Any) -> Page:
    """Return the page about *data*."""
    report(Options(data=data, **how))
    return Page((data / "report.html").read_text(encoding="utf-8"))


def _grow(data: Path) -> Path:
    dataset.write(data)
    ids = _crawl(data)
    _judge(data, ids)
    _pack(data, ids)
    _train(data, ids)
    for stage, seconds in (("images", 61.5), ("verdicts", 2.25)):
        receipt = Receipt(unit="all", recipe="r", bytes=2048, seconds=seconds,
                          finished_at="2018-05-04T10:20:30+00:00")  # fmt: skip
        Ledger(data / stage).write(receipt)
    return data


def _crawl(data: Path) -> list[str]:
    """Add candidates, a plan, refusals and names; return the ids of the pictures."""
    path = data / "images" / "tables" / "a.parquet"
    rows = records.read(path, records.IMAGES).to_pylist()
    ids = [str(row["image_id"]) for row in rows]
    rows[9] |= {"title": EVIL, "creator": EVIL, "page_url": "javascript:alert(1)"}
    rows[12] |= {"page_url": "https://flowers.example/12?a=1&b=2"}
    records.write(path, records.table(records.IMAGES, rows))
    nothing = dict.fromkeys(records.IMAGES.names)
    refused = [
        nothing | {"species_id": "s0", "source": "commons", "tier": "web", "status": status,
                   "url": f"https://{status}.example/{n}/{EVIL}.jpg", "http_status": code}
        for status, code, count in (("not_found", 404, 5), ("robots", None, 2))
        for n in range(count)
    ]  # fmt: skip
    path = data / "images" / "tables" / "b.parquet"
    records.write(path, records.table(records.IMAGES, refused))
    found = [{name: row[name] for name in records.CANDIDATES.names} for row in (*rows, *refused)]
    candidates = records.table(records.CANDIDATES, found)
    records.write(data / "images" / "plan-000.parquet", candidates)
    records.write(data / "candidates" / "tables" / "a.parquet", pa.concat_tables([candidates] * 2))
    asked = [
        {"query": f"Genus{n} species{n}", "species_id": f"s{n}", "how": "name", "suggestions": []}
        for n in (0, 1, 2, 3)
    ]
    lost = {"query": f"Genus {EVIL}", "species_id": None, "how": "not_in_list",
            "suggestions": ["Genus0 species0"]}  # fmt: skip
    records.write(
        data / "candidates" / "names.parquet", records.table(records.NAMES, [*asked, lost])
    )
    return ids


def _judge(data: Path, ids: list[str]) -> None:
    """Remove something for every reason: pictures 3, 1 and 2, 6 as s1, 7."""
    path = data / "verdicts" / "verdicts.parquet"
    rows = records.read(path, records.VERDICTS).to_pylist()

    def drop(number: int, species: str, reason: str, cluster: int, keeper: int | None) -> Any:
        return {**dict.fromkeys(records.VERDICTS.names),
                "image_id": ids[number], "species_id": species, "verdict": "drop",
                "reason": reason, "cluster_id": ids[cluster], "distance": 4, "similarity": 0.975,
                "keeper_id": None if keeper is None else ids[keeper]}  # fmt: skip

    rows = [row for row in rows if row["image_id"] not in {ids[n] for n in (1, 2, 3, 7)}]
    rows += [
        drop(3, "s0", "near_duplicate", 0, 0),
        drop(1, "s1", "conflict", 1, None),
        drop(2, "s2", "conflict", 1, None),
        drop(6, "s1", "outvoted", 6, 6),
        *(drop(7, species, "placeholder", 7, None) for species in ("s0", "s1", "s2")),
    ]
    rows.sort(key=lambda row: (row["image_id"], row["species_id"]))
    records.write(path, records.table(records.VERDICTS, rows))
    pairs = [
        {**dict.fromkeys(records.PAIRS.names), "a": min(ids[a], ids[b]), "b": max(ids[a], ids[b]),
         "distance": d, "similarity": s}
        for a, b, d, s in ((0, 3, 4, 0.975), (1, 2, 0, 1.0), (9, 12, 6, 0.5))
    ]  # fmt: skip
    records.write(data / "verdicts" / "pairs" / "x.parquet", records.table(records.PAIRS, pairs))


def _pack(data: Path, ids: list[str]) -> None:
    verdicts = records.read(data / "verdicts" / "verdicts.parquet", records.VERDICTS).to_pylist()
    kept = [row for row in verdicts if row["verdict"] == "keep"]
    index = [
        dict.fromkeys(records.INDEX.names)
        | {"key": row["image_id"], "image_id": row["image_id"], "species_id": row["species_id"],
           "label": int(row["species_id"][1:]), "split": "train", "source": "gbif",
           "tier": "citizen", "licence": licence}
        for row, licence in zip(kept, ["CC BY 4.0", "cc-by-4.0", None] * len(ids), strict=False)
    ]  # fmt: skip
    records.write(data / "shards" / "index.parquet", records.table(records.INDEX, index))
    classes = [
        {"label": n, "class_index": n, "species_id": f"s{n}", "name": f"Genus{n} species{n}",
         "genus": f"Genus{n}", "family": "Familiaceae", "train": 15, "val": 1, "test": 2}
        for n in range(SPECIES)
    ]  # fmt: skip
    records.write(data / "shards" / "classes.parquet", records.table(records.CLASSES, classes))


def _train(data: Path, ids: list[str]) -> None:
    """Add a run: of the pictures of s0, 3 in 10 are taken for s2."""
    run = data / "runs" / "main"
    guesses = [
        {"key": ids[n], "label": n % 3, "truth_rank": 1, "top_labels": [guess, 1],
         "top_probabilities": [0.9, 0.1]}
        for n, guess in zip(range(30, 60), [2, 1, 2] * 3 + [0, 1, 2] * 7, strict=True)
    ]  # fmt: skip
    path = run / "predictions-test.parquet"
    records.write(path, records.table(records.PREDICTIONS, guesses))
    figures = {"top1": 0.9, "top5": 1.0, "mrr": 0.951, "macro_top1": 0.9}
    split = {
        **figures, "images": 30, "classes": 3, "classes_tested": 3, "undecodable": 0,
        "random": figures | {"top1": 1 / 3}, "commonest": {"top1": 0.4},
        "tail": [
            {"train_images": "1", "classes": 0, "images": 0} | dict.fromkeys(figures),
            {"train_images": "11-100", "classes": 3, "images": 30} | figures,
        ],
    }  # fmt: skip
    (run / "evaluation.json").write_text(json.dumps({"val": split, "test": split}))
    lines: list[Mapping[str, object]] = [
        {"phase": phase, "epoch": n, "step": 10 * n, "lr": 1, "loss": 3 / n, "train_top1": n / 4,
         "val_top1": n / 5, "val_top5": n / 4, "seconds": n}
        for phase in ("head", "full") for n in (1, 2, 3)
    ]  # fmt: skip
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (run / "metrics.jsonl").write_text(text + '{"phase": "full", "st')
