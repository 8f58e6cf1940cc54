"""The chapters of numbers, each from the tables it is about."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from flora.console import size
from flora.records import KEPT
from report import examples, figures, tables
from report.page import Chapter, Html, beside, chapter, figure, join, link, share, table, tag
from report.tables import SPLITS, Counts

_MEASURES = {
    "top1": "first guess right (top-1)",
    "top5": "among five guesses (top-5)",
    "mrr": "mean reciprocal rank (MRR)",
    "macro_top1": "top-1, mean over species",
}
_PHASES = {"head": "last layer alone", "full": "all layers"}
_CURVES = {
    "train_top1": "training, top-1",
    "val_top1": "validation, top-1",
    "val_top5": "validation, top-5",
}
_NAMES_SHOWN = 200
_LICENCES = 12


def funnel(data: Path, counts: Counts) -> Chapter:
    """Return what each step left, and what it cost."""
    steps: list[tuple[str, str, Sequence[int]]] = [
        ("names asked for", "as they were given", [counts.names]),
        ("species", "accepted, that they lead to", [len(counts.wanted)]),
        ("listings found", "by all sources", [counts.listed]),
        ("to fetch", "different by address and species", [sum(counts.planned.values())]),
        ("fetched whole", "arrived, decoded, not refused", [counts.statuses.get(KEPT, 0)]),
        ("different pictures", "by their bytes", [counts.pictures]),
        ("kept", "after removing duplicates", [sum(counts.kept.values())]),
        ("in shards", "packed for training and tests", counts.shards),
    ]
    steps = [step for step in steps if sum(step[2])]
    if not steps:
        return chapter("funnel", "The funnel", "No names have been asked for yet.")
    bars = {name: numbers for name, _, numbers in steps}
    drawn = figures.bars("What each step left", bars, SPLITS if any(counts.shards) else ())
    rows: list[tuple[object, ...]] = [(name, what, sum(each)) for name, what, each in steps]
    if any(counts.shards):
        rows += [
            (Html(f"&emsp;{name}"), "", n) for name, n in zip(SPLITS, counts.shards, strict=True)
        ]
    took = [
        (stage, len(done), _size(sum(receipt.bytes for receipt in done)),
         f"{sum(receipt.seconds for receipt in done):,.1f}")
        for stage, done in tables.work(data).items()
    ]  # fmt: skip
    return chapter(
        "funnel",
        "The funnel",
        beside(
            figure(drawn, "From the names that were asked for to the pictures to learn from."),
            table(["step", "", "count"], rows, words=2),
        ),
        tag("h3", "What it took"),
        table(["stage", "units", "bytes", "seconds"], took),
        tag("p", tag("small", "Seconds are those of all units, of which some ran side by side.")),
    )


def truth(found: Mapping[str, Any]) -> Chapter:
    """Return how the work stands against what the demo knows to be true."""
    marks = {
        True: tag("span", "✓ met", class_="met"),
        False: tag("span", "✗ missed", class_="missed"),
    }
    goals = [
        (goal["what"], goal["value"], goal["goal"], marks[bool(goal["met"])])
        for goal in found.get("goals", [])
    ]
    blocks = [
        tag("div", tag("h3", title), table([], values.items()), class_="card")
        for title, values in found.get("sections", {}).items()
    ]
    first = [table(["goal", "value", "asked for", ""], goals)] if goals else []
    rest = tag("div", *blocks, class_="columns")
    return chapter("truth", "Against the demo's own truth", *first, rest)


def refused(data: Path, counts: Counts) -> Chapter:
    """Return what was turned away while fetching, by reason."""
    asked, whole = sum(counts.statuses.values()), counts.statuses.get(KEPT, 0)
    if not asked:
        return chapter("refused", "Refused", "Nothing has been fetched yet.")
    if asked == whole:
        return chapter("refused", "Refused", "Everything that was asked for arrived whole.")
    bars = {_words(name): [n] for name, n in counts.statuses.items() if name != KEPT}
    rows = [
        (_words(reason), link(row["url"]), row["source"], str(row["http_status"] or ""))
        for reason, some in examples.refused(data, counts).items()
        for row in some
    ]
    return chapter(
        "refused",
        "Refused",
        f"{asked - whole:,} of {asked:,} listings ({share(asked - whole, asked)}) brought no "
        "picture. What is refused is not stored, so there is nothing to see but its address.",
        figure(figures.bars("Listings refused, by reason", bars), "Listings refused, by reason."),
        tag(
            "details",
            tag("summary", "A few of each reason"),
            table(["reason", "address", "source", "status"], rows, words=3),
        ),
    )


def per_species(counts: Counts) -> Chapter:
    """Return how unevenly the pictures fall on the species."""
    title = "Pictures per species"
    if not counts.kept:
        return chapter("species", title, "No picture has been judged yet, so none is kept.")
    rows: list[tuple[object, ...]] = []
    for least in (1, 10, 50):
        reached = sum(counts.kept.get(each, 0) >= least for each in counts.wanted)
        if not rows:
            none = len(counts.wanted) - reached
            rows.append(("none", none, share(none, len(counts.wanted))))
        rows.append((f"{least} or more", reached, share(reached, len(counts.wanted))))
    curves = {"listed": list(counts.planned.values()), "kept": list(counts.kept.values())}
    drawn = figures.rank_frequency("Pictures per species, most first", curves)
    return chapter(
        "species",
        title,
        beside(
            figure(drawn, "Species in the order of their pictures, on logarithmic scales."),
            table(["pictures kept", "species", "of those wanted"], rows),
        ),
    )


def sources(counts: Counts) -> Chapter:
    """Return where the pictures come from, and how they may be used."""
    title = "Sources and licences"
    if not counts.sources:
        return chapter("sources", title, "Nothing has been fetched yet.")
    rows = [(*each[:4], share(each[3], each[2]), each[4]) for each in counts.sources]
    total, top = sum(counts.licences.values()), list(counts.licences.items())
    if len(top) > _LICENCES:
        rest = f"{len(top) - _LICENCES + 1} others"
        top = [*top[: _LICENCES - 1], (rest, sum(n for _, n in top[_LICENCES - 1 :]))]
    used: Html | str = "Nothing is packed yet, so no licences are counted."
    if top:
        used = table(
            ["licence", "in shards", "share"], [(*each, share(each[1], total)) for each in top]
        )
    return chapter(
        "sources",
        title,
        table(["source", "tier", "listings", "whole", "share", "in shards"], rows, words=2),
        used,
    )


def training(run: Path | None) -> Chapter:
    """Return the curves of the run."""
    lines = _lines(run / "metrics.jsonl") if run else []
    if run is None or not lines:
        return chapter("training", "Training", "No model has been trained yet.")
    steps: list[int] = []
    phases: dict[str, float] = {}
    for line in lines:  # every phase counts its steps from 1
        begin = phases.setdefault(_PHASES.get(line["phase"], line["phase"]), max(steps, default=0))
        steps.append(int(begin) + line["step"])
    curves = {
        label: [(step, line[name]) for step, line in zip(steps, lines, strict=True) if name in line]
        for name, label in {"loss": "loss", **_CURVES}.items()
    }
    loss = figures.course("Loss", {"loss": curves.pop("loss")}, phases)
    hits = figures.course("Accuracy", curves, phases, per_cent=True)
    return chapter(
        "training",
        "Training",
        beside(
            figure(loss, f"Loss on the training pictures, run {run.name}."),
            figure(hits, "Share of the pictures whose species is the first guess, or among five."),
        ),
    )


def evaluation(scores: Mapping[str, Any], split: str, confusions: Html | None) -> Chapter:
    """Return how good the model is, where it is not (in *split*), and what it takes for what."""
    if not scores:
        return chapter("evaluation", "Evaluation", "No model has been evaluated yet.")
    if not split:
        return chapter(
            "evaluation", "Evaluation", "No pictures were set aside to test the model on."
        )
    best, columns = scores[split], list(scores.values())
    rows: list[tuple[object, ...]] = [
        (words, *(_score(key, each[key]) for each in columns),
         _score(key, best["random"].get(key)), _score(key, best["commonest"].get(key)))
        for key, words in _MEASURES.items()
    ]  # fmt: skip
    for key, words in (("images", "pictures"), ("classes_tested", "species")):
        rows.append((words, *(each[key] for each in columns), "", ""))
    tail = [
        (each["train_images"], each["classes"], each["images"],
         *(_score(key, each[key]) for key in ("top1", "top5", "mrr")))
        for each in best["tail"]
    ]  # fmt: skip
    return chapter(
        "evaluation",
        "Evaluation",
        table(["", *scores, "at random", "always the commonest"], rows),
        tag("h3", f"By number of training pictures ({split})"),
        table(["training pictures", "species", "tested on", "top-1", "top-5", "MRR"], tail),
        tag("h3", f"Species most often taken for each other ({split})"),
        confusions or "None: every first guess was right.",
    )


def names(data: Path) -> Chapter:
    """Return the names that were asked for in vain."""
    path, title = data / "candidates" / "names.parquet", "Names left out"
    asked = tables.read(path, tables.NAMES, tables.NAMES.names)
    lost = asked.filter(pc.is_null(asked["species_id"]))
    if not asked.num_rows:
        return chapter("names", title, "No names have been asked for yet.")
    if not lost.num_rows:
        return chapter("names", title, f"None: all {asked.num_rows:,} lead to a species.")
    rows = [
        (
            row["query"],
            _words(row["how"]),
            join((tag("i", s) for s in row["suggestions"] or []), ", "),
        )
        for row in lost.slice(0, _NAMES_SHOWN).to_pylist()
    ]
    more = f" The first {_NAMES_SHOWN} of them:" if lost.num_rows > _NAMES_SHOWN else ""
    return chapter(
        "names",
        title,
        f"{lost.num_rows:,} of {asked.num_rows:,} names lead to no accepted species.{more}",
        table(["name", "why", "did it mean"], rows, words=3),
    )


def _size(count: int) -> str | None:
    return size(count) if count else None


def _words(name: str) -> str:
    return name.replace("_", " ")


def _score(key: str, value: float | None) -> str | None:
    if value is None:
        return None
    return f"{value:.3f}" if key == "mrr" else f"{value:.1%}"


def _lines(path: Path) -> list[dict[str, Any]]:
    """Return the whole lines of *path*; the last one may still be in writing."""
    text = path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
