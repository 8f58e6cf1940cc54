"""The chapters of the page, each from the tables it is about."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from flora import records
from flora.console import size
from flora.records import KEPT, Reason
from report import examples, figures, tables
from report.album import Album, credit
from report.examples import Confusion, Pair, Sheet
from report.page import Chapter, Html, beside, chapter, figure, grid, join, link, share, table, tag

WHY = {
    Reason.NEAR_DUPLICATE: "The same picture as one that stays, by its hash and by its pixels.",
    Reason.OUTVOTED: "Also listed under another species, on better authority or by more sites.",
    Reason.CONFLICT: "Listed under several species, none on better authority, so none keeps it.",
    Reason.PLACEHOLDER: "Listed under so many species that it shows none of them.",
}
_MEASURES = {
    "top1": "top-1",
    "top5": "top-5",
    "mrr": "mean reciprocal rank",
    "macro_top1": "top-1, mean over species",
}
_PHASES = {"head": "last layer alone", "full": "all layers"}
_LEFT_OUT = 200
_NAMES_SHOWN = 4


class Species:
    """The names and families of species, by their ids."""

    def __init__(self, data: Path, species_ids: set[str]) -> None:
        path, columns = data / "checklist" / "species.parquet", ["species_id", "name", "family"]
        rows = tables.where(path, records.SPECIES, columns, "species_id", species_ids).to_pylist()
        self._known = {row["species_id"]: row for row in rows}

    def name(self, species_id: str) -> str:
        """Return its name, or its id where the checklist does not have it."""
        row = self._known.get(species_id)
        return str(row["name"]) if row else species_id

    def family(self, species_id: str) -> str:
        """Return its family."""
        row = self._known.get(species_id)
        return str(row["family"] or "family not stated") if row else "not in the checklist"

    def names(self, species_ids: Sequence[str]) -> Html:
        """Return the first few of their names as they are set in print."""
        shown = join((tag("i", self.name(each)) for each in species_ids[:_NAMES_SHOWN]), ", ")
        more = len(species_ids) - _NAMES_SHOWN
        return join([shown, f" and {more} more"]) if more > 0 else shown


def funnel(data: Path) -> Chapter:
    """Return what each step left, and what it cost."""
    steps = tables.funnel(data)
    if not steps:
        return chapter("funnel", "The funnel", "No names have been asked for yet.")
    parts = tables.SPLITS if len(steps[-1].counts) > 1 else ()
    drawn = figures.bars("What each step left", {step.name: step.counts for step in steps}, parts)
    rows: list[list[object]] = []
    for step in steps:
        rows.append([step.name, step.what, step.total])
        if len(step.counts) > 1:
            rows += [
                [Html(f"&emsp;{split}"), "", count]
                for split, count in zip(tables.SPLITS, step.counts, strict=True)
            ]
    work = [
        (
            each.stage,
            len(each.receipts),
            sum(receipt.rows for receipt in each.receipts),
            size(sum(receipt.bytes for receipt in each.receipts)),
            f"{each.seconds:,.1f}",
        )
        for each in tables.work(data)
    ]
    return chapter(
        "funnel",
        "The funnel",
        beside(
            figure(
                drawn, "From the names that were asked for to the pictures that are trained on."
            ),
            table(["step", "", "count"], rows, words=2),
        ),
        tag("h3", "What it took"),
        table(["stage", "units", "rows", "bytes", "seconds"], work),
        tag(
            "p", "Seconds are added up over units, which may have run side by side.", class_="soft"
        ),
    )


def truth(found: Mapping[str, Any]) -> Chapter:
    """Return how the work stands against what the demo knows to be true."""
    parts: list[object] = []
    goals = found.get("goals", [])
    if goals:
        rows = [
            (
                goal.get("what"),
                goal.get("value"),
                goal.get("goal"),
                tag("span", "✓ met", class_="met")
                if goal.get("met")
                else tag("span", "✗ missed", class_="missed"),
            )
            for goal in goals
        ]
        parts.append(table(["goal", "value", "asked for", ""], rows))
    blocks = [
        join([tag("h3", title), table(["", ""], values.items())])
        for title, values in found.get("sections", {}).items()
    ]
    parts.append(beside(*blocks))
    return chapter("truth", "Against the demo's own truth", *parts)


def sheet(found: Sequence[Sheet], species: Species, album: Album) -> Chapter:
    """Return the contact sheet."""
    title = "Pictures kept, by species"
    if not found:
        return chapter("sheet", title, "No picture has been judged yet, so none is kept.")
    cards = []
    for each in found:
        name = species.name(each.species_id)
        tiles = [
            album.show(image_id, f"{name}, picture {number} of {each.total}")
            for number, image_id in enumerate(each.image_ids, 1)
        ]
        plural = "picture" if each.total == 1 else "pictures"
        about = f"{species.family(each.species_id)} · {each.total:,} {plural}"
        cards.append(
            tag(
                "div",
                tag("div", *tiles, class_="tiles"),
                tag("p", tag("i", name), tag("br"), tag("small", about)),
                class_="card",
            )
        )
    return chapter("sheet", title, grid("sheet", cards))


def refused(data: Path) -> Chapter:
    """Return what was turned away while fetching, by reason."""
    counts = tables.statuses(data)
    if not counts:
        return chapter("refused", "Refused", "Nothing has been fetched yet.")
    turned = {_words(name): (count,) for name, count in counts.items() if name != KEPT}
    if not turned:
        return chapter("refused", "Refused", "Everything that was asked for arrived whole.")
    rows = [
        (_words(reason), link(row["url"]), row["source"], Html(str(row["http_status"] or "–")))
        for reason, some in examples.refused(data, counts).items()
        for row in some
    ]
    asked = sum(counts.values())
    total = asked - counts.get(KEPT, 0)
    return chapter(
        "refused",
        "Refused",
        f"{total:,} of {asked:,} listings ({share(total, asked)}) brought no picture. "
        "What is refused is not stored, so there is nothing to see but its address.",
        figure(figures.bars("Listings refused, by reason", turned), "Listings refused, by reason."),
        tag(
            "details",
            tag("summary", "A few of each reason"),
            table(["reason", "address", "source", "status"], rows, words=3),
        ),
    )


def duplicates(
    found: Mapping[Reason, Sequence[Pair]],
    misses: Sequence[Pair],
    counts: Mapping[str, int],
    species: Species,
    album: Album,
) -> Chapter:
    """Return removed pictures beside those that stayed in their place."""
    title = "Removed as duplicates"
    if not counts:
        return chapter("duplicates", title, "Duplicates have not been looked for yet.")
    parts: list[object] = []
    for reason, pairs in found.items():
        if pairs:
            count = counts[str(reason)]
            parts.append(tag("h3", f"{_words(reason).capitalize()}: {count:,}"))
            parts.append(tag("p", WHY[reason]))
            parts.append(grid("pairs", (_pair(pair, species, album) for pair in pairs)))
    if not parts:
        parts.append("No picture was removed.")
    if misses:
        parts.append(tag("h3", "Nearest misses"))
        parts.append("Both kept: their hashes are near, but their pixels tell them apart.")
        parts.append(grid("pairs", (_pair(pair, species, album) for pair in misses)))
    return chapter("duplicates", title, *parts)


def per_species(data: Path) -> Chapter:
    """Return how unevenly the pictures fall on the species."""
    title = "Pictures per species"
    kept, found, wanted = (
        tables.kept_per_species(data), tables.found_per_species(data), tables.wanted(data)
    )  # fmt: skip
    if not kept:
        return chapter("species", title, "No picture has been judged yet, so none is kept.")
    curves = {"listed": list(found.values()), "kept": list(kept.values())}
    rows = [
        (words, count, share(count, len(wanted)))
        for words, count in (
            ("none", sum(each not in kept for each in wanted)),
            *(
                (f"{least} or more", sum(kept.get(each, 0) >= least for each in wanted))
                for least in (1, 10, 50)
            ),
        )
    ]
    drawn = figures.rank_frequency("Pictures per species, most first", curves)
    return chapter(
        "species",
        title,
        beside(
            figure(drawn, "Species in order of their pictures; both scales are logarithmic."),
            table(["pictures kept", "species", "share of those wanted"], rows),
        ),
    )


def sources(data: Path) -> Chapter:
    """Return where the pictures come from, and how they may be used."""
    title = "Sources and licences"
    listed = tables.sources(data)
    if not listed:
        return chapter("sources", title, "Nothing has been fetched yet.")
    rows = [(*row[:4], share(row[3], row[2]), row[4]) for row in listed]
    licences = tables.licences(data)
    total = sum(licences.values())
    top = [(name, count, share(count, total)) for name, count in list(licences.items())[:12]]
    if len(licences) > len(top):
        rest = total - sum(row[1] for row in top)
        top.append((f"{len(licences) - len(top)} others", rest, share(rest, total)))
    return chapter(
        "sources",
        title,
        table(["source", "tier", "listings", "whole", "share", "in shards"], rows, words=2),
        table(["licence", "pictures", "share"], top),
    )


def training(run: Path | None) -> Chapter:
    """Return the curves of the run."""
    lines = _lines(run / "metrics.jsonl") if run else []
    if run is None or not lines:
        return chapter("training", "Training", "No model has been trained yet.")
    begins: dict[str, float] = {}
    steps: list[float] = []
    end = begin = 0.0
    for line in lines:
        if line["phase"] not in begins:
            begins[line["phase"]] = begin = end
        end = begin + line["step"]
        steps.append(end)

    def curve(name: str) -> tuple[list[float], list[float]]:
        points = [(x, line[name]) for x, line in zip(steps, lines, strict=True) if name in line]
        return [x for x, _ in points], [y for _, y in points]

    phases = {_PHASES.get(name, name): begin for name, begin in begins.items()}
    accuracy = {
        label: curve(name)
        for name, label in (
            ("train_top1", "training, top-1"),
            ("val_top1", "validation, top-1"),
            ("val_top5", "validation, top-5"),
        )
    }
    seconds = sum(
        max((line["seconds"] for line in lines if line["phase"] == name), default=0.0)
        for name in begins
    )
    loss = figures.course("Loss on training pictures", {"loss": curve("loss")}, phases)
    hits = figures.course("Accuracy while training", accuracy, phases, per_cent=True)
    return chapter(
        "training",
        "Training",
        beside(
            figure(loss, "Loss on training pictures, which are cropped and coloured at random."),
            figure(hits, "Share of pictures whose species is the first guess, or among five."),
        ),
        tag("p", f"Run {run.name}: {len(lines)} entries, {seconds:,.0f} seconds.", class_="soft"),
    )


def evaluation(
    run: Path | None,
    figures_of: Mapping[str, Any],
    confusions: Sequence[Confusion],
    classes: Mapping[int, str],
    species: Species,
    album: Album,
) -> Chapter:
    """Return how good the model is, where it is not, and what it takes for what."""
    if run is None or not figures_of:
        return chapter("evaluation", "Evaluation", "No model has been evaluated yet.")
    split = "test" if "test" in figures_of else next(iter(figures_of))
    best = figures_of[split]
    rows = [
        (words, *(_per_cent(each[key]) for each in figures_of.values()),
         _per_cent(best["random"].get(key)), _per_cent(best["commonest"].get(key)))
        for key, words in _MEASURES.items()
    ]  # fmt: skip
    rows.append(("pictures", *(each["images"] for each in figures_of.values()), None, None))
    rows.append(
        ("species tested", *(each["classes_tested"] for each in figures_of.values()), None, None)
    )
    tail = [
        (
            each["train_images"],
            each["classes"],
            each["images"],
            *(_per_cent(each[key]) for key in ("top1", "top5", "mrr")),
        )
        for each in best["tail"]
    ]
    mixed: list[object] = [f"No picture of {split} was taken for another species."]
    if confusions:
        mixed = [grid("pairs", (_confusion(each, classes, species, album) for each in confusions))]
    return chapter(
        "evaluation",
        "Evaluation",
        table(["", *figures_of, "at random", "always the commonest"], rows),
        tag("h3", f"By number of training pictures ({split})"),
        table(["training pictures", "species", "pictures", "top-1", "top-5", "MRR"], tail),
        tag("h3", f"Species most often taken for each other ({split})"),
        *mixed,
    )


def names(data: Path) -> Chapter:
    """Return the names that were asked for in vain."""
    path = data / "candidates" / "names.parquet"
    title = "Names left out"
    if not tables.files(path):
        return chapter("names", title, "No names have been asked for yet.")
    asked = tables.read(path, tables.NAMES, tables.NAMES.names)
    lost = asked.filter(pc.is_null(asked["species_id"]))
    if not lost.num_rows:
        return chapter("names", title, f"None: all {asked.num_rows:,} names lead to a species.")
    rows = [
        (row["query"], _words(row["how"]), ", ".join(row["suggestions"] or []))
        for row in lost.slice(0, _LEFT_OUT).to_pylist()
    ]
    parts: list[object] = [f"{lost.num_rows:,} of {asked.num_rows:,} names lead to no species."]
    if lost.num_rows > _LEFT_OUT:
        parts.append(f"The first {_LEFT_OUT}; all of them stand in candidates/names.parquet.")
    return chapter("names", title, *parts, table(["name", "why", "did it mean"], rows, words=3))


def credits(album: Album) -> Chapter:
    """Return who made what is shown on the page. Call it when all of it is shown."""
    if not album.shown:
        return chapter("credits", "Credits", "No pictures are shown.")
    rows = [
        (image_id[:12], row["title"], credit(row), link(row["page_url"] or row["url"]))
        for image_id, row in album.shown.items()
    ]
    return chapter(
        "credits",
        "Credits",
        "The pictures are shown small. Their rights stay with those who made them.",
        tag(
            "details",
            tag("summary", f"Creators and licences of the {len(rows)} pictures shown"),
            table(["picture", "title", "creator · licence", "page"], rows, words=4),
        ),
    )


def _pair(pair: Pair, species: Species, album: Album) -> Html:
    sides = []
    for side in pair.sides:
        word = "kept" if side.kept else "removed"
        listed = species.names(side.species)
        alone = len(side.species) == 1
        words = f"{word} picture of " + (species.name(side.species[0]) if alone else "no plant")
        under = join(["for ", listed]) if not alone else listed
        caption = tag("p", tag("small", word), tag("br"), under)
        sides.append(tag("div", album.show(side.image_id, words), caption, class_="one"))
    told = ""
    if len({side.image_id for side in pair.sides}) == 1 and len(pair.sides) > 1:
        told = "the very same bytes"
    elif pair.distance is not None and pair.similarity is not None:
        told = f"{pair.distance} of 64 bits apart · pixels {pair.similarity:.3f} alike"
    parts = [tag("div", *sides, class_="two")]
    if told:
        parts.append(tag("p", tag("small", told)))
    return tag("div", *parts, class_="card")


def _confusion(
    found: Confusion, classes: Mapping[int, str], species: Species, album: Album
) -> Html:
    sides = []
    for label, mistakes, tested, image_ids in zip(
        found.labels, found.mistakes, found.tested, found.image_ids, strict=True
    ):
        name = species.name(classes.get(label, f"label {label}"))
        shown = (album.show(image_id, f"test picture of {name}") for image_id in image_ids[:1])
        told = f"{mistakes} of {tested} taken for the other"
        caption = tag("p", tag("i", name), tag("br"), tag("small", told))
        sides.append(tag("div", *shown, caption, class_="one"))
    return tag("div", tag("div", *sides, class_="two"), class_="card")


def _words(name: str) -> str:
    return str(name).replace("_", " ")


def _per_cent(value: float | None) -> str | None:
    return None if value is None else f"{value:.1%}"


def _lines(path: Path) -> list[dict[str, Any]]:
    """Return the whole lines of *path*; the last one may still be in writing."""
    if not path.is_file():
        return []
    text = path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
