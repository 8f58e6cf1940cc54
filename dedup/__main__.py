"""`python -m dedup`: hashes -> pairs -> pixels -> verdicts; duplicates of any folder or table."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from dedup import evaluation, folder, hashtable
from dedup.config import DedupSettings
from dedup.units import Task, compare, decide, find, hold_out
from flora import config
from flora.command import Options, guard, options, parser
from flora.config import digest
from flora.console import say, show
from flora.ledger import Ledger, Receipt, slug, sweep
from flora.stage import Run, Unit


def dedup(options: Options, tested: Path | None = None) -> None:
    """Decide for every picture of the images tables under which species it stays, if any.

    What is also in the evaluation set *tested* (a folder of pictures, or a table) goes.
    """
    settings = options.settings("dedup", DedupSettings)
    if options.dry_run:
        say(config.show(settings, "dedup"))
    made_from = {
        stage: {name: r.finished_at + r.recipe for name, r in Ledger(path).receipts().items()}
        for stage in ("images", "checklist")
        for path in [options.data / stage]
    }
    held = [] if tested is None else [str(tested.absolute()), *evaluation.stamp(tested)]
    recipe = digest(settings, made_from["images"])

    def unit(name: str, *parts: object, row_group: int = 0) -> Unit:
        task = Task(data=options.data, settings=settings, unit=name, row_group=row_group,
                    tested=tested.absolute() if tested else None)  # fmt: skip
        return Unit(name=name, recipe=digest(recipe, *parts), task=task)

    place = options.data / "verdicts"
    last = unit("verdicts", made_from["checklist"], held)
    with Run(options) as run:
        if options.dry_run:
            run.units("verdicts", place, [last], decide)
            return
        with Ledger(place).lock():
            sweep(place)
            sweep(place / "pairs")
            if tested is None and (place / "holdout.parquet").is_file():
                say("Verdicts before this one kept an evaluation set apart (HOLDOUT); now none is.")
            found = run.units("candidates", place, [unit("candidates", settings.unit_pairs)], find)[
                "candidates"
            ]
            groups = range(-(-found.detail["looks"] // settings.unit_pairs))
            parts = [unit(f"pixels/{n:05}", settings.unit_pairs, row_group=n) for n in groups]
            _forget_others(place, [part.name for part in parts])
            run.units("pixels", place, parts, compare)
            if tested is not None:
                run.units("holdout", place, [unit("holdout", held)], hold_out)
            receipt = run.units("verdicts", place, [last], decide)["verdicts"]
    _conclude(receipt, place)


def _conclude(receipt: Receipt, folder: Path) -> None:
    """Show what came out, as tables."""
    detail = receipt.detail
    show(f"{detail['pictures']:,} pictures, {detail['clusters']:,} of them with near copies")
    for reason, count in detail["reasons"].items():
        show(f"  {reason.replace('_', ' '):<28} {count:>12,}")
    show(f"{'source':<16} {'listings':>12} {'also elsewhere':>15} {'disputed':>10} {'noise':>7}")
    for row in detail["sources"]:
        show(f"{row['source']:<16} {row['listings']:>12,} {row['checked']:>15,} "
             f"{row['conflicts']:>10,} {row['noise']:>7.1%}")  # fmt: skip
    show(f"Examples: {folder / 'page.html'}")


def _forget_others(folder: Path, units: Sequence[str]) -> None:
    """Remove what an earlier recipe with more pairs left behind."""
    ledger, keep = Ledger(folder), {slug(unit) for unit in units}
    for path in (folder / "pairs").glob("[!.]*.parquet"):
        if path.stem not in keep:
            path.unlink()
    for name in ledger.receipts():
        if name.startswith("pixels/") and slug(name) not in keep:
            ledger.forget(name)


def main(arguments: list[str] | None = None) -> int:
    """Run the stage, or one of its other uses; return the exit code."""
    flags = parser("dedup", "Find pictures that are the same, and decide which of them stay.")
    flags.add_argument("--holdout", type=Path, metavar="DIR|TABLE",
                       help="pictures to test on: nothing like them stays")  # fmt: skip
    commands = flags.add_subparsers(dest="command", metavar="[folder DIR | table FILE]")
    one = commands.add_parser("folder", help="print the duplicates among the pictures of a folder")
    one.add_argument("path", type=Path, metavar="DIR")
    one.add_argument("--out", type=Path, metavar="FILE", help="JSON lines, or .csv (stdout)")
    two = commands.add_parser("table", help="pairs and components of a parquet table of hashes")
    two.add_argument("path", type=Path, metavar="FILE", help="with columns id, and phash or pdq")
    two.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="where to (here)")
    args: argparse.Namespace = flags.parse_args(arguments)

    def act() -> None:
        shared = options(args)
        if args.command is None:
            dedup(shared, args.holdout)
            return
        settings = shared.settings("dedup", DedupSettings)
        work = folder.run if args.command == "folder" else hashtable.run
        work(args.path, args.out, settings)

    return guard(act, verbose=args.verbose)


if __name__ == "__main__":
    sys.exit(main())
