"""`python -m flora checklist FILE` reads a list of names; `python -m flora status` says what is
done.
"""

import argparse
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from flora import taxa
from flora.command import Options, guard, options, parser
from flora.config import digest
from flora.console import say, show, size
from flora.errors import ConfigError
from flora.ledger import Ledger, Receipt

STAGES = ("checklist", "candidates", "images", "verdicts", "shards")


def checklist(options: Options, source: Path, *, extend: bool = False) -> None:
    """Read the list of names at *source* into DATA/checklist."""
    folder = options.data / "checklist"
    if options.dry_run:
        say(f"checklist: {source} would be read into {folder}.")
        return
    ledger = Ledger(folder)
    with ledger.lock():
        start = datetime.now(UTC)
        recipe = digest(str(source.absolute()), *_stamp(source), extend)
        known = ledger.receipts().get("checklist")
        if known is not None and known.recipe == recipe and (folder / "species.parquet").is_file():
            say(f"checklist: {known.rows:,} accepted species, read before.")
            return
        built = taxa.build(source, folder, extend=extend)
        now = datetime.now(UTC)
        ledger.write(
            Receipt(
                unit="checklist",
                recipe=recipe,
                rows=built.accepted_species,
                seconds=round((now - start).total_seconds(), 3),
                finished_at=now.isoformat(timespec="seconds"),
                detail=asdict(built),
            )
        )
    say(f"checklist: {built.accepted_species:,} accepted species of {built.names:,} names.")


def status(options: Options) -> None:
    """Show what is done, stage by stage, from receipts alone."""
    if not options.data.is_dir():
        raise ConfigError(f"--data {options.data}: there is no such folder.")
    rows = [("stage", "units", "rows", "bytes", "refused", "seconds", "last")]
    runs = sorted(path for path in (options.data / "runs").glob("*") if path.is_dir())
    for folder in [*(options.data / stage for stage in STAGES), *runs]:
        receipts = list(Ledger(folder).receipts().values())
        planned = sum(Ledger(folder).planned().values())
        rows.append(
            (
                str(folder.relative_to(options.data)),
                f"{len(receipts)}/{planned}" if planned else f"{len(receipts)}",
                f"{sum(r.rows for r in receipts):,}",
                size(sum(r.bytes for r in receipts)),
                f"{sum(sum(r.refused.values()) for r in receipts):,}",
                f"{sum(r.seconds for r in receipts):,.1f}",
                max((r.finished_at for r in receipts), default="-"),
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        show("  ".join(cells))


def _stamp(source: Path) -> list[object]:
    """Return what tells whether *source* is as it was, without reading it."""
    files = sorted(source.rglob("*")) if source.is_dir() else [source]
    try:
        return [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    except OSError as error:
        raise ConfigError(f"{source}: cannot be read ({error.strerror}).") from error


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    flags = parser("flora", "Read a checklist, or show what is done.")
    commands = flags.add_subparsers(dest="command", required=True)
    one = commands.add_parser("checklist", help="read ThePlantList, WFO or WCVP")
    one.add_argument("source", type=Path, help="a CSV, a .gz of one, or a folder of them")
    one.add_argument("--extend", action="store_true",
                     help="keep the class index of the list read before")  # fmt: skip
    commands.add_parser("status", help="a table: stage, units, rows, bytes, refusals, seconds")
    args: argparse.Namespace = flags.parse_args(arguments)
    shared = options(args)
    if args.command == "status":
        return guard(lambda: status(shared), verbose=args.verbose)
    body = lambda: checklist(shared, args.source, extend=args.extend)  # noqa: E731
    return guard(body, verbose=args.verbose)


if __name__ == "__main__":
    sys.exit(main())
