"""The plot: people and machines on one scale, each with its interval."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from flora.ledger import publish

_MACHINE, _PEOPLE, _CHANCE = "#0072b2", "#e69f00", "#5b6a62"
"""Of Okabe and Ito's palette, which the colour-blind can tell apart; shapes differ as well."""
_PANELS = (("top1", "top-1"), ("mrr", "mean reciprocal rank"))


def draw(path: Path, found: Sequence[dict[str, Any]]) -> None:
    """Write the plot of *found* to *path*."""
    with publish(path) as draft:
        draft.write_text(svg(found), encoding="utf-8")


def svg(found: Sequence[dict[str, Any]]) -> str:
    """Return the figures of `evaluate.table.measure` as an SVG: best entry on top."""
    found = sorted(found, key=lambda each: _value(each, "top1"))
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "scores"}):
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
