"""The plots: people and machines on one scale, and what a model knows of its own mistakes."""

import io
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from flora.ledger import publish

_MACHINE, _PEOPLE, _CHANCE = "#0072b2", "#e69f00", "#5b6a62"
"""Of Okabe and Ito's palette, which the colour-blind can tell apart; shapes differ as well."""
_PANELS = (("top1", "top-1"), ("mrr", "mean reciprocal rank"))
_LINES = tuple(
    (colour, dashes)
    for dashes in ("-", "--", ":")
    for colour in ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#000000")
)


def draw(path: Path, found: Sequence[dict[str, Any]]) -> None:
    """Write the plot of *found* to *path*."""
    with publish(path) as draft:
        draft.write_text(svg(found), encoding="utf-8")


def svg(found: Sequence[dict[str, Any]]) -> str:
    """Return the figures of `evaluate.table.measure` as an SVG: best entry on top."""
    found = sorted(found, key=lambda each: _value(each, "top1"))
    with _style():
        drawn = Figure(figsize=(9, 1.1 + 0.32 * len(found)), layout="constrained")
        panels = drawn.subplots(1, len(_PANELS), sharey=True)
        for axes, (key, title) in zip(panels, _PANELS, strict=True):
            for place, each in enumerate(found):
                cell = each["levels"]["species"][key]
                if cell["value"] is None:
                    continue
                colour, mark = (_PEOPLE, "D") if each["people"] else (_MACHINE, "o")
                style: dict[str, Any] = {"color": colour, "clip_on": False}
                axes.plot([cell["low"], cell["high"]], [place] * 2, linewidth=2, **style)
                axes.plot(cell["value"], place, mark, markersize=6, **style)
                axes.plot(cell["chance"], place, "|", color=_CHANCE, markersize=9)
            axes.set(xlabel=title, xlim=(0, 1), ylim=(-0.6, len(found) - 0.4))
            axes.grid(axis="x", color="#dfe5e0")
            axes.spines[["top", "right", "left"]].set_visible(False)
        panels[0].set_yticks(range(len(found)), [_name(each) for each in found])
        for axes in panels:
            axes.tick_params(axis="y", length=0)
        for colour, mark, name in (
            (_MACHINE, "o", "machine"), (_PEOPLE, "D", "people"), (_CHANCE, "|", "at random"),
        ):  # fmt: skip
            panels[0].plot([], [], mark, color=colour, label=name)
        drawn.legend(loc="outside upper right", ncols=3, frameon=False)
        return _text(drawn)


def risk(found: Sequence[dict[str, Any]]) -> str:
    """Return the risk-coverage curves of those of *found* that give probabilities, as an SVG.

    That is the share of wrong first guesses among the pictures that a model is surest of
    (Geifman and El-Yaniv, arXiv:1705.08500). Empty where there are none.
    """
    shown = [each for each in found if each.get("calibration", {}).get("risk_coverage")]
    if not shown:
        return ""
    with _style():
        drawn = Figure(figsize=(6, 3.4), layout="constrained")
        axes = drawn.subplots()
        for each, (colour, dashes) in zip(shown, _LINES, strict=False):
            points = each["calibration"]["risk_coverage"]
            axes.plot(*zip(*points, strict=True), dashes, color=colour, label=_name(each))
        axes.set(xlabel="share of the pictures that are answered, surest first",
                 ylabel="wrong among these", xlim=(0, 1))  # fmt: skip
        axes.set_ylim(bottom=0)
        axes.grid(color="#dfe5e0")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
        return _text(drawn)


def _style() -> AbstractContextManager[None]:
    return matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "scores"})


def _text(drawn: Figure) -> str:
    out = io.StringIO()
    drawn.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    return text[text.index("<svg") :]


def _value(each: dict[str, Any], key: str) -> float:
    value = each["levels"]["species"][key]["value"]
    return -1.0 if value is None else float(value)


def _name(each: dict[str, Any]) -> str:
    name = " + ".join([each["run"], *each["configuration"]])
    return f"{name} ({each['subset']})" if each["subset"] else name
