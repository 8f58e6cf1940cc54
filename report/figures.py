"""The drawings, as SVG that stands inside the page and takes its fonts."""

import html
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from report.page import Html

Ints = npt.NDArray[np.int64]

GREEN, ORANGE, BLUE, SKY = "#009e73", "#e69f00", "#0072b2", "#56b4e9"
"""Of Okabe and Ito's palette, which the colour-blind can tell apart."""
INK, SOFT, LINE = "#1d2a24", "#5b6a62", "#dfe5e0"
_STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": "#9aa69f",
    "axes.grid": True,
    "axes.labelcolor": SOFT,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 9.5,
    "grid.color": LINE,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "text.color": INK,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
}
_WIDTH = 6.0
"""Inches; the page stretches it to the room there is."""
_XLINK = 'xmlns:xlink="http://www.w3.org/1999/xlink"'
_WHOLE, _PER_CENT = "{x:,.0f}", "{x:.0%}"
_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}
_POINTS, _DOTS = 400, 40
"""Of a curve, at most; and of one whose points are marked."""


def bars(words: str, rows: Mapping[str, Sequence[int]], parts: Sequence[str] = ()) -> Html:
    """Return horizontal bars with their numbers; those of several *parts* are stacked."""
    colours = (GREEN, ORANGE, BLUE)
    places = range(len(rows))
    with _drawing(words, 0.3 + 0.3 * len(rows) + 0.3 * bool(parts)) as (drawn, axes):
        for place, counts in zip(places, rows.values(), strict=True):
            left = 0
            for count, colour in zip(counts, colours, strict=False):
                axes.barh(place, count, left=left, height=0.68, color=colour)
                left += count
            axes.annotate(f"{left:,}", (left, place), xytext=(4, 0), va="center",
                          textcoords="offset points")  # fmt: skip
        axes.set_yticks(places, list(rows))
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        longest = max(sum(counts) for counts in rows.values())
        axes.set(xticks=[], xlim=(0, longest * 1.15), ylim=(len(rows) - 0.5, -0.5))
        axes.spines[["bottom", "left"]].set_visible(False)
        axes.grid(visible=False)
        for part, colour in zip(parts, colours, strict=False):
            axes.bar(0, 0, color=colour, label=part)
        if parts:
            drawn.legend(loc="outside lower right", ncols=len(parts))
        return _svg(drawn, words)


def rank_frequency(words: str, curves: Mapping[str, Ints], whole: int = 0) -> Html:
    """Return numbers of pictures in order, most first, on logarithmic scales.

    A line stands at *whole*, the number of species there could be.
    """
    with _drawing(words, 3.6) as (drawn, axes):
        for (name, ordered), colour in zip(curves.items(), (SKY, GREEN, ORANGE), strict=False):
            places = np.unique(np.geomspace(1, max(len(ordered), 1), _POINTS).round().astype(int))
            if len(ordered):
                axes.plot(places, ordered[places - 1], color=colour, label=name, linewidth=2)
        if whole:
            axes.axvline(whole, color=SOFT, linewidth=0.8, linestyle=(0, (4, 3)))
        axes.set(xscale="log", yscale="log", xlabel="species, most pictures first",
                 ylabel="pictures", ylim=(0.9, None))  # fmt: skip
        for axis, largest in ((axes.xaxis, axes.get_xlim()[1]), (axes.yaxis, axes.get_ylim()[1])):
            axis.set_major_locator(LogLocator(subs=(1, 2, 5) if largest < 2000 else (1,)))
            axis.set_major_formatter(_WHOLE)
        axes.minorticks_off()
        axes.legend()
        return _svg(drawn, words)


def course(
    words: str,
    curves: Mapping[str, Sequence[tuple[float, float]]],
    phases: Mapping[str, float],
    *,
    per_cent: bool = False,
) -> Html:
    """Return *curves* over the steps of training; *phases* are the steps at which each begins."""
    curves = {name: points for name, points in curves.items() if points}
    with _drawing(words, 3.2 + 0.3 * (len(curves) > 1)) as (drawn, axes):
        for (name, points), colour in zip(curves.items(), (GREEN, ORANGE, BLUE), strict=False):
            few = np.unique(np.linspace(0, len(points) - 1, _POINTS).round().astype(int))
            x, y = zip(*(points[place] for place in few), strict=True)
            dots = "o" if len(points) <= _DOTS else None
            axes.plot(x, y, marker=dots, color=colour, label=name, markersize=3.5)
        for number, (name, begin) in enumerate(phases.items()):
            if number:
                axes.axvline(begin, color=SOFT, linewidth=0.8, linestyle=(0, (4, 3)))
            axes.annotate(name, (begin, 1), xytext=(4, 4), textcoords="offset points",
                          xycoords=("data", "axes fraction"), color=SOFT)  # fmt: skip
        axes.set(xlabel="steps", xlim=(0, None))
        if per_cent:
            axes.set_ylim(0, 1.02)
            axes.yaxis.set_major_formatter(_PER_CENT)
        else:
            axes.set_ylim(bottom=0)
        axes.xaxis.set_major_formatter(_WHOLE)
        if len(curves) > 1:
            drawn.legend(loc="outside lower right", ncols=len(curves))
        return _svg(drawn, words)


@contextmanager
def _drawing(words: str, height: float) -> Iterator[tuple[Figure, Axes]]:
    """Yield an empty drawing. What *words* say of it also keeps its ids apart from others'."""
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": words}):
        drawn = Figure(figsize=(_WIDTH, height), layout="constrained")
        yield drawn, drawn.subplots()


def _svg(drawn: Figure, words: str) -> Html:
    """Return the drawing as an element: no fonts, no dates, no names of its own parts."""
    buffer = io.StringIO()
    drawn.savefig(buffer, format="svg", transparent=True, metadata=_METADATA)
    text = buffer.getvalue()
    size = re.search(r'viewBox="[^"]*"', text)
    assert size is not None
    text = text[text.index(">", text.index("<svg")) + 1 :]
    for waste in (r"<metadata>.*?</metadata>", r"<style.*?</style>", r" font-family:[^;\"]*;",
                  r' id="[a-zA-Z.\d]+_\d+"'):  # fmt: skip
        text = re.sub(waste, "", text, flags=re.DOTALL)
    label = html.escape(words)
    return Html(f'<svg role="img" aria-label="{label}" {size[0]} {_XLINK}>{text.strip()}')
