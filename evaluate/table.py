"""The table: every figure with its interval, and what chance would give beside it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from evaluate import calibration, measures
from evaluate.calibration import Confidence
from evaluate.entries import Entry
from evaluate.intervals import DRAWS, differences, intervals
from evaluate.measures import NAMES, Places
from evaluate.taxa import Taxa
from flora.errors import ContractError
from flora.predictions import Predictions

Figures = dict[str, Any]
Rows = list[tuple[str, ...]]
"""Cells of a table for the eye; the first row names the columns."""
_SHOWN = ("top1", "top5", "top10", "top30", "mrr", "macro_top1", "ma_mrr")
_SURE = ("top1", "mrr", "ma_mrr")
"""Those whose intervals have room on a screen; scores.json has all."""
_CHANCE = "  at random"
_TITLES = ("top-1", "top-5", "top-10", "top-30", "MRR", "macro top-1", "MA-MRR")


def measure(
    entry: Entry, taxa: Taxa, temperature: float | None = None, draws: int = DRAWS
) -> Figures:
    """Return all figures of an entry, as they stand in JSON; nan is None.

    *temperature* is what validation gave; the calibration after it stands beside the one before.
    """
    rows = entry.rows
    found = measures.places(rows, taxa.genera, taxa.families)
    species = found["species"]
    figures: Figures = {
        "run": entry.name,
        "configuration": list(entry.how),
        "subset": entry.subset,
        "people": entry.people,
        **measures.support(species),
        "truth_not_possible": _share_impossible(rows, entry.depth),
        "levels": {name: _figures(at, entry.depth, draws) for name, at in found.items()},
    }
    if taxa.train_counts is not None:
        bins = measures.tail(species, taxa.train_counts)
        figures["tail"] = [
            {"train_images": name, **measures.support(at), **_figures(at, entry.depth, draws)}
            for name, at in bins.items()
        ]
    if len(rows) and rows.top.shape[1] and not entry.people:  # they name no probabilities
        figures["calibration"] = _calibration(rows, temperature)
    return figures


def compare(one: Entry, two: Entry, taxa: Taxa, draws: int = DRAWS) -> list[Figures]:
    """Return by how much *two* is better than *one*, on all pictures and in each bin of the tail.

    Raises ContractError where they are not about the same pictures.
    """
    order = {key: row for row, key in enumerate(one.rows.keys)}
    if order.keys() != set(two.rows.keys):
        missing = len(order.keys() ^ set(two.rows.keys))
        raise ContractError(
            f"{one.name} and {two.name}: {missing:,} pictures are in one of them alone. "
            "Only runs about the same pictures can be compared."
        )
    again = np.argsort([order[key] for key in two.rows.keys])
    sides = [measures.places(rows)["species"] for rows in (one.rows, two.rows.take(again))]
    parts: list[tuple[str, list[Places]]] = [("all", sides)]
    if taxa.train_counts is not None:
        bins = [measures.tail(side, taxa.train_counts) for side in sides]
        parts += [(name, [side[name] for side in bins]) for name in measures.BINS]
    found = []
    for name, (left, right) in parts:
        delta = differences(left, right, draws)
        values = {key: _cell(value, interval) for key, (value, interval) in delta.items()}
        found.append({"train_images": name, **measures.support(left), **values})
    return found


def overall(found: Sequence[Figures]) -> Rows:
    """Return the figures of species as rows of cells: one an entry, chance below."""
    lines: Rows = [("", "images", "species", *_TITLES)]
    before: tuple[str, ...] = ()
    for each in found:
        species = each["levels"]["species"]
        name = " + ".join([each["run"], *each["configuration"]])
        name += f" ({each['subset']})" if each["subset"] else ""
        lines.append((name, f"{each['images']:,}", f"{each['classes']:,}",
                      *_cells(species)))  # fmt: skip
        chance = tuple(_number(species[key]["chance"]) for key in _SHOWN)
        if chance != before:
            lines.append((_CHANCE, "", "", *chance))
        before = chance
    return lines


def parts(found: Sequence[Figures]) -> Rows:
    """Return the plain entries by level and by bin of the tail, as rows of cells."""
    lines: Rows = [("", "images", "species", *_TITLES)]
    for each in plain_ones(found):
        for level, cells in list(each["levels"].items())[1:]:  # species are in the other table
            lines.append((f"{each['run']}: {level}", "", "", *_cells(cells)))
            chance = (_number(cells[key]["chance"]) for key in _SHOWN)
            lines.append((_CHANCE, "", "", *chance))
        for part in filter(lambda part: part["images"], each.get("tail", [])):
            name = f"{each['run']}: {part['train_images']} training pictures"
            count = f"{part['images']:,}", f"{part['classes']:,}"
            lines.append((name, *count, *_cells(part)))
    return lines


def notes(found: Sequence[Figures]) -> list[str]:
    """Return what is to be said of the checklist, and of the calibration of the plain entries."""
    listed = [each for each in found if each["configuration"] == ["checklist"]]
    said = [
        f"{each['run']}: {each['truth_not_possible']:.1%} are of species that are not on the "
        "checklist, and count as missed there"
        for each in listed
        if each["truth_not_possible"]
    ]
    return said + [text for each in plain_ones(found) for text in _notes(each)]


def text(found: Sequence[Figures]) -> str:
    """Return all of that for the eye."""
    return "\n\n".join([_aligned(overall(found)), _aligned(parts(found)), "\n".join(notes(found))])


def plain_ones(found: Sequence[Figures]) -> list[Figures]:
    """Return those without any switch."""
    return [each for each in found if not each["configuration"] and not each["subset"]]


def _notes(each: Figures) -> list[str]:
    if "calibration" not in each:
        return []
    found = each["calibration"]
    text = "{run}{at}: ECE {ece}, NLL {nll}, AURC {aurc}"
    said = [(found, "")]
    if "after" in found:
        said.append((found["after"], f" at temperature {found['after']['temperature']:.3g}"))
    return [
        text.format(run=each["run"], at=at, **{k: _number(v[k]) for k in ("ece", "nll", "aurc")})
        for v, at in said
    ]


def text_compared(found: Sequence[Figures]) -> str:
    """Return differences as a table for the eye; those sure not to be 0 have a star."""
    lines: Rows = [("training pictures", "images", "species", *_TITLES)]
    for each in found:
        cells = []
        for key in _SHOWN:
            low, high = each[key]["low"], each[key]["high"]
            sure = low is not None and (low > 0 or high < 0)
            cells.append(_shown(each[key], "+", interval=key in _SURE) + ("*" if sure else " "))
        lines.append((each["train_images"], f"{each['images']:,}", f"{each['classes']:,}", *cells))
    return _aligned(lines)


def _figures(at: Places, depth: int | None, draws: int) -> Figures:
    values, sure = measures.figures(at), intervals(at, draws)
    luck = measures.chance(at, depth)
    return {key: _cell(values[key], sure[key]) | {"chance": _plain(luck[key])} for key in NAMES}


def _calibration(rows: Predictions, temperature: float | None) -> Figures:
    found = _confidence(calibration.confidence(rows))
    found["risk_coverage"] = calibration.curve(calibration.confidence(rows))
    found["not_stored"] = float(np.clip(1 - np.exp(rows.top.astype(float)).sum(1), 0, 1).mean())
    if temperature is not None:
        after = _confidence(calibration.confidence(rows, temperature))
        found["after"] = {"temperature": temperature, **after}
    return found


def _confidence(at: Confidence) -> Figures:
    loss, impossible = calibration.loss(at)
    return {
        "ece": _plain(calibration.expected_error(at)),
        "nll": _plain(loss),
        "without_probability": impossible,
        "aurc": _plain(calibration.area(at)),
    }


def _share_impossible(rows: Predictions, depth: int | None) -> float | None:
    """Return the share of truths that were no candidate: outside the list, or of no class."""
    if not len(rows):
        return None
    impossible = rows.candidates == 0 if depth else rows.ranks == 0
    return float(impossible.mean())


def _cell(value: float, interval: tuple[float, float]) -> Figures:
    return {"value": _plain(value), "low": _plain(interval[0]), "high": _plain(interval[1])}


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _cells(figures: Mapping[str, Any]) -> list[str]:
    """Return the measures of _SHOWN, as they stand in a line."""
    return [_shown(figures[key], interval=key in _SURE) for key in _SHOWN]


def _shown(cell: Mapping[str, Any], sign: str = "", *, interval: bool = True) -> str:
    if cell["value"] is None:
        return "–"
    value = f"{cell['value']:{sign}.3f}"
    return f"{value} [{cell['low']:{sign}.3f}, {cell['high']:{sign}.3f}]" if interval else value


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _aligned(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
