"""Our page on the Dask dashboard, as one piece of HTML: what runs, how fast, what holds it up.

It is the same for two workers and for a thousand: what is many is counted (histograms), what is
slow is named (the slowest lanes). It reads without JavaScript, which only keeps it up to date,
asks nobody for anything, and fits a window of 360 pixels.
"""

import base64
import hashlib
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flora.charts import PALETTE, areas, bar, histogram, short, table
from flora.console import size

if TYPE_CHECKING:
    from flora.tally import Stage, Tally

_SILENT = 30.0
"""Seconds after which a worker that says nothing is called silent."""
_NOUNS = {"search": "candidates", "fetch": "images", "gather": "images", "shards": "images"}
_WATCHED = 300.0
"""Seconds that a disk has to be watched before a pace is made of it."""
_MIB = 2**20
_UNITS = ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s"))

_STYLE = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
_SCRIPT = """
const draw = async () => {
  try {
    const answer = await fetch(location.href, {signal: AbortSignal.timeout(5000)});
    if (!answer.ok) throw answer;
    const next = new DOMParser().parseFromString(await answer.text(), "text/html");
    document.querySelector("main").replaceWith(next.querySelector("main"));
    document.body.className = "";
  } catch { document.body.className = "gone"; }
};
const later = async () => {
  if (!document.hidden) await draw();
  setTimeout(later, 2000);
};
setTimeout(later, 2000);
"""
_DIGEST = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; connect-src 'self'; "
    f"script-src 'sha256-{_DIGEST}'"
)
"""Nothing is loaded from anywhere, and no script runs but ours, whatever a host's name says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What Dask knows of one worker."""

    address: str
    memory: float
    """The part of its limit that it takes."""
    processor: float
    """Per cent of one core."""
    silent: float
    """Seconds since it was last heard."""


def draw(tally: "Tally", workers: Sequence[Health], now: float, *, live: bool) -> str:
    """Return the page as it is at *now* (Unix seconds); one that is not *live* stays as it is."""
    parts = [
        _head(tally, workers, now),
        _stages(tally.stages, now),
        "<section>",
        *(_speed(name, stage, now) for name, stage in tally.stages.items()),
        *(_refusals(name, stage, now) for name, stage in tally.stages.items()),
        "</section>",
        _slowest(tally, now),
        _quota(tally.quota),
        _disks(tally),
        _workers(tally, workers, now),
    ]
    refresh = '<noscript><meta http-equiv="refresh" content="5"></noscript>' if live else ""
    script = f"<script>{_SCRIPT}</script>" if live else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>worldflora</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">{refresh}'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="data:,"><style>{_STYLE}</style></head>'
        '<body><p class="lost" role="alert">The scheduler does not answer: the run is over, or the '
        f"connection is. This is its last word.</p><main>{''.join(parts)}</main>{script}</body>"
        "</html>"
    )


def _head(tally: "Tally", workers: Sequence[Health], now: float) -> str:
    running = [name for name, stage in tally.stages.items() if stage.ended is None]
    began = min((tally.stages[name].began for name in running), default=now)
    silent = sum(each.silent > _SILENT for each in workers)
    words = ["Nothing runs"]
    if running:
        words = [f"{' and '.join(running)} for {_span(now - began)} so far"]
    left = max(filter(None, (stage.left(now) for stage in tally.stages.values())), default=None)
    if left is not None:
        words.append(f"time left: {_left(left)}")
    words.append(f"{len(workers):,} workers")
    words += [f"{silent:,} of them silent"] if silent else []
    words += [f"{tally.lost:,} lost so far"] if tally.lost else []
    moment = time.strftime("%-d %B %Y, %H:%M:%S UTC", time.gmtime(now))
    return f"<h1>worldflora</h1><p>{escape('; '.join(words))}.</p><p>{moment}</p>"


def _stages(stages: Mapping[str, "Stage"], now: float) -> str:
    if not stages:
        return "<p>Nothing has run on this cluster yet.</p>"
    rows = [_row(name, [stage], now, _NOUNS.get(name, "rows")) for name, stage in stages.items()]
    total = [_row("in total", list(stages.values()), now, "rows")] if len(rows) > 1 else []
    heads = ("stage", "units", "done", "a second", "bytes", "MiB a second", "refused", "time left")
    return table("Stages", heads, [*rows, *total])


def _row(name: str, stages: Sequence["Stage"], now: float, noun: str) -> list[str]:
    """Return the cells of one stage, or of several together."""
    totals = [stage.totals for stage in stages]
    done, units = sum(t.units_done for t in totals), sum(t.units for t in totals)
    rows, refused = sum(t.rows for t in totals), sum(t.refused.total() for t in totals)
    running = [stage for stage in stages if stage.ended is None]
    left = max(filter(None, (stage.left(now) for stage in running)), default=None)
    failed = sum(t.failed for t in totals)
    states = "not known yet" if running else "ended" if done < units else "done"
    return [
        f"<b>{escape(name)}</b>",
        bar(done / max(units, 1), f"{done:,} of {units:,}")
        + (f"<span>{failed:,} tries failed</span>" if failed else ""),
        f"{rows:,} {noun}",
        short(sum(stage.rows.value(now) for stage in running)),
        size(sum(t.bytes for t in totals)),
        short(sum(stage.bytes.value(now) for stage in running) / _MIB),
        f"{refused:,} ({100 * refused / max(rows, 1):.1f}%)" if refused else "0",
        escape(_left(left)) if left else states,
    ]


def _speed(name: str, stage: "Stage", now: float) -> str:
    until, ends = _stretch(stage, now)
    rows = stage.series.rates("rows", until)
    if not any(rows):
        return ""
    noun = _NOUNS.get(name, "rows")
    charts = areas(f"{name}: {noun} a second", {noun: rows}, ends, "a second")
    if stage.totals.bytes:
        sizes = [rate / _MIB for rate in stage.series.rates("bytes", until)]
        charts += areas(f"{name}: MiB a second", {"MiB": sizes}, ends, "MiB a second")
    return charts


def _refusals(name: str, stage: "Stage", now: float) -> str:
    """Draw refusals by reason over time, the most common at the bottom, and count them."""
    if not stage.totals.refused:
        return ""
    until, ends = _stretch(stage, now)
    ordered = stage.totals.refused.most_common()
    named, rest = ordered[: len(PALETTE)], ordered[len(PALETTE) :]
    layers = {reason: stage.series.rates(reason, until) for reason, _ in named}
    words = [
        f"{reason} {count:,} ({100 * count / max(stage.totals.rows, 1):.1f}%)"
        for reason, count in named
    ]
    if rest:
        every = [stage.series.rates(reason, until) for reason, _ in rest]
        layers["the others"] = [sum(rates) for rates in zip(*every, strict=True)]
        words.append(", ".join(f"{reason} {count:,}" for reason, count in rest))
    title = f"{name}: refused a second, by reason"
    return areas(title, layers, ends, "a second", words=words)


def _slowest(tally: "Tally", now: float) -> str:
    left = Counter[str]()
    for stage in tally.stages.values():
        left |= Counter(stage.totals.left)
    states = {lane: state for hand in tally.hands.values() for lane, state in hand.lanes.items()}
    rows = [
        [escape(lane), _span(seconds), *_budget(states.get(lane), now)]
        for lane, seconds in left.most_common(12)
    ]
    heads = ("host or engine", "least time left", "budget", "now")
    return table("Slowest hosts", heads, rows) if rows else ""


def _budget(state: Mapping[str, Any] | None, now: float) -> tuple[str, str]:
    """Return what a host bears, and how it is asked now."""
    if state is None:
        return "", "waits for a worker"
    budget = f"{short(state['a_second'])} a second, {state['connections']} at a time"
    if state["megabits"]:
        budget += f", {short(state['megabits'])} Mbit/s"
    if state["down"]:
        return budget, "given up: it only failed"
    if state["until"] > now:
        return budget, f"pauses, {_span(state['until'] - now)} more"
    if state["pace"] < 1:
        return budget, f"{100 * state['pace']:.0f}% of it: errors, or it gets slow"
    return budget, "all of it"


def _quota(quota: Mapping[str, Mapping[str, Any]]) -> str:
    rows = []
    for engine, state in sorted(quota.items()):
        left, a_day = state["left"], state.get("a_day")
        words = "no limit" if left is None else f"{left:,}" + (f" of {a_day:,}" if a_day else "")
        shown = bar(left / a_day, words) if left is not None and a_day else words
        spent = f"{state['dollars']:.2f} dollars" if state.get("dollars") else "nothing"
        rows.append([escape(engine), shown, f"{state['today']:,}", spent])
    heads = ("engine", "left today", "asked today", "cost so far")
    return table("Search engines", heads, rows) if rows else ""


def _disks(tally: "Tally") -> str:
    rows = []
    for folder, seen in tally.disks.items():
        (before, first), (at, room) = seen[0], seen[-1]
        full = "not known yet"
        if at - before >= _WATCHED:
            spent = [(first[name] - room[name], room[name]) for name in ("free", "files_free")]
            ends = [(at - before) / gone * left for gone, left in spent if gone > 0]
            full = _span(min(ends)) if ends else "not at this pace"
        rows.append(
            [
                escape(folder),
                _room(room["free"], room["size"], size),
                _room(room["files_free"], room["files"], "{:,}".format),
                full,
            ]
        )
    heads = ("folder", "free", "files (inodes) free", "full in")
    return table("Disk", heads, rows) if rows else ""


def _room(free: int, of: int, words: Callable[[int], str]) -> str:
    return bar(free / of, f"{words(free)} of {words(of)}") if of else "no limit"


def _workers(tally: "Tally", workers: Sequence[Health], now: float) -> str:
    if not workers:
        return "<h2>Workers</h2><p>There are none.</p>"
    hands = [tally.hands.get(each.address) for each in workers]
    rates = [hand.rows.value(now) if hand else 0.0 for hand in hands]
    charts = [
        histogram("Rows a second", rates, "a second"),
        histogram("Memory", [100 * each.memory for each in workers], "% of its limit", 100),
        histogram("Processor", [each.processor for each in workers], "% of a core"),
        histogram("Last heard", [round(each.silent, 1) for each in workers], "seconds ago"),
    ]
    title = f"<h2>{len(workers):,} workers: how many are where</h2>"
    return f'{title}<section class="four">{"".join(charts)}</section>'


def _stretch(stage: "Stage", now: float) -> tuple[float, tuple[str, str]]:
    """Return where the series ends, having drawn it out to there, and the words for both ends."""
    start, until = stage.series.start, now if stage.ended is None else stage.ended
    stage.series.reach(until)
    form = "%H:%M:%S" if until - start < 86400 else "%-d %b %H:%M"
    first, last = (time.strftime(form, time.gmtime(at)) for at in (start, until))
    return until, (first, last)


def _left(left: tuple[float, str]) -> str:
    seconds, lane = left
    return f"{_span(seconds)} at least, for {lane}" if lane else _span(seconds)


def _span(seconds: float) -> str:
    """Return a duration in two parts: `2 d 3 h`, `3 h 12 min`, `4 min 10 s`."""
    whole = round(seconds)
    for length, unit, part, smaller in _UNITS:
        if whole >= length:
            return f"{whole // length:,} {unit} {whole % length // part} {smaller}"
    return f"{whole} s"
