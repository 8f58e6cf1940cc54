"""`python -m report`: all tables -> one page to look at."""

import json
import sys
from pathlib import Path
from typing import Any

from flora import records
from flora.command import Options, guard, options, parser
from flora.console import say, size
from flora.errors import ConfigError
from flora.ledger import publish
from flora.packs import Packs
from report import chapters, examples, page, plates, tables
from report.album import Album
from report.plates import Plates
from report.tables import Counts

_TITLE = "What the crawl brought, and what the model knows"


def report(options: Options, output: Path | None = None, truth: Path | None = None) -> None:
    """Write the page about everything in the data folder."""
    data, output = options.data, output or options.data / "report.html"
    if not data.is_dir():
        raise ConfigError(f"--data {data}: there is no such folder.")
    known = _truth(truth) if truth else {}
    if options.dry_run:
        say(f"report: {data} would be described in {output}.")
        return
    text = compose(data, known, species_shown=options.limit or examples.SPECIES)
    with publish(output) as draft:
        draft.write_text(text, encoding="utf-8")
    say(f"report: {output} ({size(output.stat().st_size)})")


def compose(data: Path, truth: dict[str, Any], *, species_shown: int) -> str:
    """Return the page. First it is settled which pictures to show, then they are read."""
    counts, run, classes = tables.count(data), _newest_run(data), _classes(data)
    scores = _json(run / "evaluation.json") if run else {}
    split = next((name for name in ("test", "val") if scores.get(name, {}).get("images")), "")
    sheet = examples.sheet(data, counts, species_shown)
    removed = {reason: examples.removed(data, reason) for reason in plates.WHY}
    misses = examples.misses(data)
    confusions = examples.confusions(data, run, split) if run and split else []

    sides = [side for some in (*removed.values(), misses) for pair in some for side in pair.sides]
    mistaken = [side for pair in confusions for side in pair]
    image_ids = {image_id for some in sheet.values() for image_id in some}
    image_ids.update(side.image_id for side in sides)
    image_ids.update(side.image_id for side in mistaken)
    species_ids = {*sheet, *(each for side in sides for each in side.species)}
    species_ids.update(classes.get(side.label, "") for side in mistaken)

    with Packs(data / "images") as packs:
        album = Album(data / "images", packs, image_ids)
        plate = Plates(data / "checklist", species_ids, album)
        mixed = plate.confusions(confusions, classes) if confusions else None
        found = [
            chapters.funnel(data, counts),
            *([chapters.truth(truth)] if truth else []),
            plate.sheet(sheet, counts),
            chapters.refused(data, counts),
            plate.duplicates(removed, misses, counts),
            chapters.per_species(counts),
            chapters.sources(counts),
            chapters.training(run),
            chapters.evaluation(scores, split, mixed),
            chapters.names(data),
            plate.credits(),
        ]
    return page.document(_TITLE, [_date(data), _summary(counts, scores.get("test", {}))], found)


def _summary(counts: Counts, scores: dict[str, Any]) -> str:
    """Return the whole of it in a sentence."""
    if not counts.kept:
        return "No picture has been judged yet."
    kept, listed = sum(counts.kept.values()), sum(counts.statuses.values())
    parts = f"{kept:,} pictures of {len(counts.kept):,} species, out of {listed:,} listings"
    if scores.get("top1") is None:
        return f"{parts}."
    return (
        f"{parts}; and a model that names {scores['top1']:.1%} of {scores['images']:,} pictures it "
        f"never saw at the first guess, {scores['top5']:.1%} among five."
    )


def _date(data: Path) -> str:
    """Return when the last unit was finished: the same tables make the same page on any day."""
    ends = [receipt.finished_at for done in tables.work(data).values() for receipt in done]
    when = f"as of {max(ends)[:16].replace('T', ' ')} UTC" if ends else "before anything is done"
    return f"Data folder {data.name}, {when}"


def _newest_run(data: Path) -> Path | None:
    found = (data / "runs").glob("*/metrics.jsonl")
    newest = max(found, key=lambda path: (path.stat().st_mtime_ns, path), default=None)
    return newest.parent if newest else None


def _classes(data: Path) -> dict[int, str]:
    """Return label -> species_id."""
    path = data / "shards" / "classes.parquet"
    table = tables.read(path, records.CLASSES, ["label", "species_id"])
    return dict(zip(table["label"].to_pylist(), table["species_id"].to_pylist(), strict=True))


def _truth(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"--truth {path}: cannot be read as JSON ({error}).") from error
    if not isinstance(found, dict):
        raise ConfigError(f"--truth {path}: must hold an object, with `sections` and `goals`.")
    return found


def _json(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    flags = parser("report", "Describe everything in the data folder on one page.")
    flags.add_argument("--output", type=Path, metavar="FILE", help="the page (DATA/report.html)")
    flags.add_argument("--truth", type=Path, metavar="FILE", help="what the demo knows to be true")
    args = flags.parse_args(arguments)
    body = lambda: report(options(args), args.output, args.truth)  # noqa: E731
    return guard(body, verbose=args.verbose)


if __name__ == "__main__":
    sys.exit(main())
