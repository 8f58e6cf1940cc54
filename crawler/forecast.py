"""What is still to be asked, engine by engine: queries, requests, days, dollars."""

from collections.abc import Sequence

import numpy as np

from crawler import planner
from crawler.config import CrawlerSettings
from crawler.planner import Supply
from crawler.rounds import Standing

_HEAD = ("engine", "species below", "queries", "requests", "a day", "days", "dollars")


def lines(here: Standing, settings: CrawlerSettings) -> list[str]:
    """Return two tables for people: the accepted names, and at most all names.

    Engines are asked in this order. What one brings, where that was measured, is taken off
    what the next is asked for; where it was not, no species is assumed to reach its target.
    """
    if not here.engines:
        return ["Search by name: none of crawler.sources is an engine."]
    have = here.photographs.copy()
    below = planner.below(have, settings.target)
    accepted, every = [], []
    for engine in here.engines:
        open_names = ~here.steps.answered(engine.name)
        short = planner.below(have, settings.target)
        first = short & open_names[here.steps.starts]
        accepted.append(_row(engine, int(short.sum()), int(first.sum())))
        names = below[here.steps.species] & open_names
        every.append(_row(engine, int(below.sum()), int(names.sum())))
        if engine.measured:
            have[first] += int(engine.gain)
    known = int(here.photographs.sum())
    goal = f"{settings.target} photographs each" if settings.target else "no target"
    return [
        f"Search by name: {len(have):,} species, {goal}; "
        + (f"{known:,} are listed." if known else "none are listed yet, and none assumed."),
        *_columns([_HEAD, *accepted]),
        f"With all other names ({settings.synonyms} synonyms), if all stay below, at most:",
        *_columns([_HEAD, *every]),
    ]


def _row(engine: Supply, species: int, queries: int) -> tuple[str, ...]:
    requests = int(np.ceil(queries * engine.per_query))
    pace = engine.a_second * 86400
    a_day = min(pace, engine.a_day) if engine.a_day else pace
    return (
        engine.name,
        f"{species:,}",
        f"{queries:,}",
        f"{requests:,}",
        f"{a_day:,.0f}",
        f"{requests / a_day:,.1f}",
        f"{requests * engine.price:,.2f}",
    )


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(
            [row[0].ljust(widths[0])]
            + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        )
        for row in rows
    ]
