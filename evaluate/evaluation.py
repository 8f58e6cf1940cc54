"""The evaluation of a run of ours: all that it was asked, in one table, beside the run."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from evaluate import calibration, entries, page, plot, table
from evaluate.summary import summary
from evaluate.table import Figures
from evaluate.taxa import Taxa
from flora import predictions
from flora.ledger import Ledger, publish

_UNIT = "evaluate/"
_ELSEWHERE = ("run", "subset", "people")
"""Figures that are about the name of an entry; here that is the set's."""


def sets(folder: Path) -> list[str]:
    """Return the sets that the run in *folder* was evaluated on: val and test first."""
    units = [unit for unit in Ledger(folder).receipts() if unit.startswith(_UNIT)]
    names = sorted(unit.removeprefix(_UNIT) for unit in units)
    return sorted(names, key=lambda name: {"val": 0, "test": 1}.get(name, 2))


def temperature(folder: Path) -> float | None:
    """Return what the validation set of a run asks its logits to be divided by."""
    path = folder / "guesses-val.parquet"
    return calibration.fit(predictions.read(path)) if path.is_file() else None


def write(folder: Path, taxa: Taxa) -> str:
    """Write evaluation.json, .md and .html into the *folder* of a run; return its table as text."""
    receipts, heat = Ledger(folder).receipts(), temperature(folder)
    told: dict[str, Any] = {}
    found: list[Figures] = []
    for name in sets(folder):
        here = [replace(each, name=name) for each in entries.of_run(folder, name)]
        figures = [table.measure(each, taxa, heat) for each in here]
        detail = receipts[_UNIT + name].detail
        told[name] = {
            **summary(figures[0], here[0].rows, taxa),
            **{key: detail[key] for key in ("undecodable", "of_no_class", "copies")},
            "configurations": [
                {
                    key: value
                    for key, value in each.items()
                    if key not in ("run", "subset", "people")
                }
                for each in figures
            ],
        }
        found += figures
    notes = [*_accounts(told), *table.notes(found)]
    title = f"Evaluation of {folder.name}"
    tables = [
        ("Every configuration", table.overall(found)),
        ("By level, and by number of training pictures", table.parts(found)),
    ]
    _publish(folder / "evaluation.md", page.markdown(title, tables, notes))
    curves = plot.risk(table.plain_ones(found))
    _publish(folder / "evaluation.html", page.html(title, tables, notes, plot.svg(found), curves))
    _publish(folder / "evaluation.json", json.dumps(told, indent=1) + "\n")
    return table.text(found)


def _accounts(told: dict[str, Any]) -> list[str]:
    """Return what became of the pictures of each set, where some are not as they should be."""
    found = []
    for name, each in told.items():
        for key, words in (
            ("undecodable", "cannot be decoded and are left out"),
            ("of_no_class", "are of species that the model has no class for, and count as missed"),
            ("copies", "have a near-duplicate in training"),
        ):
            if each[key]:
                found.append(f"{name}: {each[key]:,} pictures {words}")
    return found


def _publish(path: Path, text: str) -> None:
    with publish(path) as draft:
        draft.write_text(text, encoding="utf-8")
