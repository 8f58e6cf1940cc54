"""Charts and tables in HTML: no script, no colour alone, words for who cannot see them.

A plot is stretched to the width it gets; its words are HTML beside it and keep their size.
Colours: Okabe and Ito, "Color Universal Design" (2008), told apart with any kind of sight.
"""

import math
from collections.abc import Mapping, Sequence
from html import escape

PALETTE = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")
GREY = "#8c8c8c"


def areas(
    title: str,
    layers: Mapping[str, Sequence[float]],
    ends: tuple[str, str],
    unit: str,
    *,
    words: Sequence[str] = (),
) -> str:
    """Draw *layers* (name -> a value for each moment) on top of one another.

    *ends* are the words for the first and the last moment, *words* those beside each colour.
    Above six layers, the last has to be the rest, and is grey.
    """
    layers = {name: values if len(values) > 1 else [*values] * 2 for name, values in layers.items()}
    count = max(map(len, layers.values()))
    floor, drawn = [0.0] * count, []
    top = ceiling(max(map(sum, zip(*layers.values(), strict=True))))
    for values, colour in zip(layers.values(), [*PALETTE, GREY], strict=False):
        roof = [low + value for low, value in zip(floor, values, strict=True)]
        there = [f"{x},{_y(value, top)}" for x, value in enumerate(roof)]
        back = [f"{x},{_y(value, top)}" for x, value in enumerate(floor)][::-1]
        drawn.append(f'<polygon points="{" ".join([*there, *back])}" fill="{colour}"/>')
        floor = roof
    keys = [
        f'<li><i style="background:{colour}"></i>{escape(text)}</li>'
        for text, colour in zip(words, [*PALETTE, GREY], strict=False)
    ]
    legend = f'<ul class="key">{"".join(keys)}</ul>' if keys else ""
    alt = f"{title}: {short(floor[-1])} at {ends[1]}, at most {short(max(floor))}"
    plot = _plot(alt, count - 1, "".join(drawn))
    return _figure(title, f"{short(top)} {unit}", plot, ends, legend)


def histogram(title: str, values: Sequence[float], unit: str, top: float = 0.0) -> str:
    """Draw how many of *values* lie where, from 0 to *top*, or to where few are beyond.

    The last bar has those beyond.
    """
    ordered = sorted(values)
    top = top or ceiling(ordered[int(0.98 * len(ordered))])
    counts = [0] * _BARS
    for value in ordered:
        counts[min(max(int(value / top * _BARS), 0), _BARS - 1)] += 1
    most, more = ceiling(max(counts)), " or more" if ordered[-1] > top else ""
    bars = [
        f'<rect x="{x + 0.08}" width="0.84" y="{_y(count, most)}" height="{100 - _y(count, most)}"'
        f' fill="{PALETTE[0]}"><title>{short(x * top / _BARS)} to {short((x + 1) * top / _BARS)}'
        f"{more if x == _BARS - 1 else ''} {unit}: {count:,}</title></rect>"
        for x, count in enumerate(counts)
        if count
    ]
    low, middle, high = (short(ordered[i]) for i in (0, len(ordered) // 2, -1))
    spread = f"median {middle}, from {low} to {high} {unit}"
    plot = _plot(f"{title}, {len(ordered):,} workers: {spread}", _BARS, "".join(bars))
    ends = ("0", f"{short(top)} {unit}{more}")
    return _figure(title, f"{short(most)} workers", plot, ends, f"<p>{spread}</p>")


def table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table of cells in HTML, which becomes a list of cards in a narrow window."""
    head = "".join(f'<th role="columnheader" scope="col">{name}</th>' for name in heads)
    body = "".join(f'<tr role="row">{_cells(heads, row)}</tr>' for row in rows)
    return (
        f'<table role="table"><caption>{escape(title)}</caption>'
        f'<thead role="rowgroup"><tr role="row">{head}</tr></thead>'
        f'<tbody role="rowgroup">{body}</tbody></table>'
    )


def bar(part: float, words: str) -> str:
    """Draw *part* (0 to 1) of a bar with *words* beside it."""
    width = 100 * min(max(part, 0.0), 1.0)
    return f'{words}<span class="bar" aria-hidden="true"><i style="width:{width:.1f}%"></i></span>'


def short(value: float) -> str:
    """Return *value* in few characters: 0, 0.042, 3.1, 12,345, 12.3 M; 0 below a thousandth."""
    if value >= 1e6:
        return f"{value / 1e6:,.1f} M"
    if value < 0.001 or value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.2g}" if value < 10 else f"{value:.1f}"


def ceiling(value: float) -> float:
    """Return the next round number: 1, 2 or 5 times a power of ten."""
    if value <= 0:
        return 1.0
    power = 10 ** math.floor(math.log10(value))
    return float(next(step * power for step in (1, 2, 5, 10) if step * power >= value * 0.9999))


_BARS = 20


def _cells(heads: Sequence[str], row: Sequence[str]) -> str:
    named = zip(heads, row, strict=True)
    return "".join(f'<td role="cell" data-is="{name}">{cell}</td>' for name, cell in named)


def _y(value: float, top: float) -> float:
    return round(100 - 100 * value / top, 1)


def _plot(words: str, width: int, shapes: str) -> str:
    lines = "".join(f'<path d="M0 {y}H{width}"/>' for y in (0, 50, 100))
    return (
        f'<svg role="img" aria-label="{escape(words)}" viewBox="0 0 {width} 100" '
        f'preserveAspectRatio="none">{lines}{shapes}</svg>'
    )


def _figure(title: str, top: str, plot: str, ends: tuple[str, str], more: str) -> str:
    return (
        f"<figure><figcaption>{escape(title)}</figcaption><small>{escape(top)}</small>{plot}"
        f'<div class="ends"><span>{escape(ends[0])}</span><span>{escape(ends[1])}</span></div>'
        f"{more}</figure>"
    )
