"""The funnel: what each step left, what was lost on the way to it, and why."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from flora.console import size
from flora.ledger import Receipt
from flora.records import KEPT
from report import figures
from report.counts import SPLITS, Counts
from report.page import Chapter, Html, beside, chapter, figure, join, table, tag

_REASONS = 8


class Step(NamedTuple):
    """How far something came."""

    name: str
    what: str
    left: Sequence[int]
    """In parts, where it has some."""
    lost: Mapping[str, int]
    """Since the step before, by reason."""


def funnel(counts: Counts, work: Mapping[str, Sequence[Receipt]]) -> Chapter:
    """Return what each step left, and what it cost (*work* has the receipts of each stage)."""
    steps = [step for step in _steps(counts, work) if sum(step.left)]
    if not steps:
        return chapter("funnel", "The funnel", "No names have been asked for yet.")
    bars = {step.name: step.left for step in steps}
    drawn = figures.bars("What each step left", bars, SPLITS if any(counts.packed) else ())
    rows: list[tuple[object, ...]] = [
        (
            join([step.name, tag("small", step.what)], Html("<br>")),
            tag("small", _why(step.lost)),
            sum(step.lost.values()) or None,
            sum(step.left),
        )
        for step in steps
    ]
    if any(counts.packed):
        rows += [
            (Html(f"&emsp;{name}"), "", "", n)
            for name, n in zip(SPLITS, counts.packed, strict=True)
        ]
    took = [
        (stage, len(done), _size(sum(receipt.bytes for receipt in done)),
         f"{sum(receipt.seconds for receipt in done):,.1f}")
        for stage, done in work.items()
    ]  # fmt: skip
    said = "Seconds are those of all units, of which some ran side by side."
    return chapter(
        "funnel",
        "The funnel",
        beside(
            figure(drawn, "From the names that were asked for to the pictures to learn from."),
            tag("div", table(["stage", "units", "bytes", "seconds"], took), tag("small", said)),
        ),
        table(["step", "lost on the way to it", "lost", "left"], rows, words=2),
    )


def words(name: str) -> str:
    """Return a reason as people write it."""
    return name.replace("_", " ")


def _steps(counts: Counts, work: Mapping[str, Sequence[Receipt]]) -> Iterator[Step]:
    asked, packed = sum(n for _, n in counts.names), sum(counts.packed)
    found = counts.scope[0] if asked else 0
    yield Step("names asked for", "as they were given", [asked], {})
    lost = _lost(counts.names, asked - found, "another name of the same")
    yield Step("species", "accepted, that they lead to", [found], lost)
    yield Step("listings found", "by all sources", [counts.listed], {})
    lost = _lost([], counts.listed - counts.planned, "the same photograph, or not planned yet")
    yield Step("to fetch", "by photograph and species", [counts.planned], lost)
    refused = [pair for pair in counts.statuses.items() if pair[0] != KEPT]
    lost = _lost(refused, counts.planned - counts.whole, "not fetched yet")
    yield Step("fetched whole", "arrived, decoded, not refused", [counts.whole], lost)
    lost = _lost([], counts.whole - counts.differing, "the very same bytes")
    yield Step("different pictures", "by their bytes", [counts.differing], lost)
    lost = _lost(counts.gone.items(), counts.differing - counts.kept, "not judged yet")
    yield Step("kept", "after removing duplicates", [counts.kept], lost)
    unformed = Counter[str]()
    for receipt in work.get("shards", ()):
        unformed.update(receipt.refused)
    lost = _lost(unformed.items(), counts.kept - packed, "not chosen, or not packed yet")
    yield Step("in shards", "packed for training and tests", counts.packed, lost)


def _lost(known: Iterable[tuple[str | None, int]], total: int, rest: str) -> dict[str, int]:
    """Return the losses that are *known*, and what of *total* they leave as the *rest*."""
    lost = {words(name): n for name, n in known if name is not None}
    left = total - sum(lost.values())
    return {**lost, rest: left} if left > 0 else lost


def _why(lost: Mapping[str, int]) -> str:
    """Return the reasons in a line, the commonest first."""
    known = sorted(lost.items(), key=lambda pair: -pair[1])
    told = [f"{name} {n:,}" for name, n in known[:_REASONS]]
    if others := known[_REASONS:]:
        told.append(f"{len(others)} other reasons {sum(n for _, n in others):,}")
    return " · ".join(told)


def _size(count: int) -> str | None:
    return size(count) if count else None
