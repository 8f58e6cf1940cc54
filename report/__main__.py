"""`python -m report`: all tables -> one page to look at."""

import json
import sys
from pathlib import Path
from typing import Any

from flora import records
from flora.console import say, size
from flora.errors import ConfigError
from flora.ledger import publish
from flora.stage import Options, guard, options, parser
from report import chapters, examples, page, tables
from report.album import Album
from report.chapters import Species


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
    run = _newest_run(data)
    scores = _json(run / "evaluation.json") if run else {}
    split = "test" if "test" in scores else next(iter(scores), "test")
    sheets = examples.sheets(data, species_shown)
    removed = {reason: examples.removed(data, reason) for reason in chapters.WHY}
    misses = examples.misses(data)
    confusions = examples.confusions(run, split) if run else []
    classes = _classes(data)
    pairs = [pair for some in (*removed.values(), misses) for pair in some]
    image_ids = {image_id for sheet in sheets for image_id in sheet.image_ids}
    image_ids |= {side.image_id for pair in pairs for side in pair.sides}
    image_ids |= {image_id for each in confusions for ids in each.image_ids for image_id in ids}
    species_ids = {sheet.species_id for sheet in sheets}
    species_ids |= {each for pair in pairs for side in pair.sides for each in side.species}
    species_ids |= {
        classes[label] for each in confusions for label in each.labels if label in classes
    }
    species, album = Species(data, species_ids), Album(data / "images", image_ids)
    found = [
        chapters.funnel(data),
        *([chapters.truth(truth)] if truth else []),
        chapters.sheet(sheets, species, album),
        chapters.refused(data),
        chapters.duplicates(removed, misses, tables.reasons(data), species, album),
        chapters.per_species(data),
        chapters.sources(data),
        chapters.training(run),
        chapters.evaluation(run, scores, confusions, classes, species, album),
        chapters.names(data),
        chapters.credits(album),
    ]
    return page.document(f"Flora of {data.name}", [_date(data), _summary(data, scores)], found)


def _summary(data: Path, scores: dict[str, Any]) -> str:
    """Return the whole of it in a sentence."""
    kept = tables.kept_per_species(data)
    if not kept:
        return "No picture has been judged yet."
    listed = sum(tables.statuses(data).values())
    parts = [
        f"{sum(kept.values()):,} pictures of {len(kept):,} species, out of {listed:,} listings"
    ]
    test = scores.get("test", {})
    if test.get("top1") is not None:
        parts.append(
            f"a model that names {test['top1']:.1%} of {test['images']:,} pictures it never saw "
            f"at first guess, and {test['top5']:.1%} among five"
        )
    return f"{'; '.join(parts)}."


def _date(data: Path) -> str:
    """Return when the last unit was finished: the same tables make the same page on any day."""
    ends = [r.finished_at for each in tables.work(data) for r in each.receipts if r.finished_at]
    return f"{data} as of {max(ends)[:16].replace('T', ' ')} UTC" if ends else str(data)


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
