"""`python -m report`: all tables -> one page to look at."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flora.command import Options, guard, options, parser
from flora.console import say, size
from flora.errors import ConfigError
from flora.ledger import Receipt, publish
from flora.packs import Packs
from report import chapters, coverage, database, examples, learning, page
from report.album import Album
from report.counts import Counts, count, receipts
from report.funnel import funnel
from report.plates import Plates

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


def compose(data: Path, known: dict[str, Any], *, species_shown: int) -> str:
    """Return the page. First it is settled which pictures to show, then they are read."""
    run, work = _newest_run(data), receipts(data)
    scores = _json(run / "evaluation.json") if run else {}
    sets = ("test", "val", *scores)
    split = next((name for name in sets if scores.get(name, {}).get("images")), "")
    with database.opened(data) as db, Packs(data / "images") as packs:
        counts = count(db)
        guesses = _guesses(run, split)
        shown = examples.choose(db, guesses, species_shown)
        album = Album(db, packs, shown.image_ids())
        plates = Plates(examples.names(db, shown.species_ids()), album)
        confused = plates.confusions(shown.confused) if guesses else None
        found = [
            funnel(counts, work),
            *([chapters.truth(known)] if known else []),
            coverage.per_species(counts),
            coverage.by_family(counts),
            plates.sheets(shown.sheets, counts),
            coverage.sources(counts),
            coverage.forms(counts),
            chapters.refused(db, counts),
            plates.duplicates(shown.removed, shown.misses, counts),
            learning.training(run),
            learning.evaluation(scores, split, confused),
            chapters.names(db, counts),
            plates.credits(),
        ]
    lead = [_date(data, work), _summary(counts, scores.get("test", {}))]
    return page.document(_TITLE, lead, found)


def _summary(counts: Counts, scores: dict[str, Any]) -> str:
    """Return the whole of it in a sentence."""
    listed, species = sum(counts.statuses.values()), counts.scope[2]
    if not counts.reasons:
        return f"{counts.whole:,} of {listed:,} listings fetched whole; none is judged yet."
    parts = f"{counts.kept:,} pictures of {species:,} species, out of {listed:,} listings"
    if scores.get("top1") is None:
        return f"{parts}."
    return (
        f"{parts}; and a model that names {scores['top1']:.1%} of {scores['images']:,} pictures it "
        f"never saw at the first guess, {scores['top5']:.1%} among five."
    )


def _date(data: Path, work: Mapping[str, Sequence[Receipt]]) -> str:
    """Return when the last unit was finished: the same tables make the same page on any day."""
    ends = [receipt.finished_at for done in work.values() for receipt in done]
    when = f"as of {max(ends)[:16].replace('T', ' ')} UTC" if ends else "before anything is done"
    return f"Data folder {data.name}, {when}"


def _newest_run(data: Path) -> Path | None:
    found = (data / "runs").glob("*/metrics.jsonl")
    newest = max(found, key=lambda path: (path.stat().st_mtime_ns, path), default=None)
    return newest.parent if newest else None


def _guesses(run: Path | None, split: str) -> Path | None:
    """Return the table of the model's guesses for *split*, if there is one."""
    names = (f"{kind}-{split}.parquet" for kind in ("guesses", "predictions"))
    return next((run / name for name in names if (run / name).is_file()), None) if run else None


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
