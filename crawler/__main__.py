"""`python -m crawler`: search -> plan -> fetch."""

import argparse
import contextlib
import difflib
import os
import sys
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from crawler import forecast, images, plan, retry, rounds, sources
from crawler import urls as lists
from crawler import wanted as names
from crawler.config import CrawlerSettings
from crawler.images import Growth
from crawler.search import search, table_path
from crawler.wanted import Wanted
from flora import config, records
from flora.command import Options, guard, options, parser
from flora.config import digest
from flora.console import say
from flora.errors import ConfigError
from flora.ledger import Ledger, sweep
from flora.stage import Run
from flora.taxa import Checklist


def crawl(options: Options, species: str = "", retried: Sequence[str] = ()) -> None:
    """Search for the species of the checklist (or those named in *species*) and fetch.

    Both go on at once: what is found is fetched while the search, which may take days, finds
    more. A source that fails, or a quota that is used up, does not keep the rest from being
    fetched: StageError and LaterError are raised when that is done.
    """
    settings = options.settings("crawler", CrawlerSettings)
    _known_sources(settings)
    if options.dry_run:
        say(config.show(settings, "crawler"))
    else:
        _ready(settings)
    checklist = Checklist.load(options.data / "checklist")
    matches = names.matches(checklist, species, options.limit)
    wanted = names.wanted(checklist, matches, settings.synonyms)
    del checklist  # the workers load their own
    candidates, pictures = options.data / "candidates", options.data / "images"
    with Run(options) as run:
        if options.dry_run:
            _foresee(run, wanted, settings)
            return
        with Ledger(candidates).lock(), Ledger(pictures).lock():
            for folder in ("tables", "rounds", "quota"):
                sweep(candidates / folder)
            records.write(candidates / "names.parquet", names.table(matches))
            with _searching(run, wanted, settings) as searching:
                more = Growth(options.data, wanted, settings, searching)
                images.fetch(run, pictures, settings, retried, more)
        searching.result()


@contextlib.contextmanager
def _searching(
    run: Run, wanted: Sequence[Wanted], settings: CrawlerSettings
) -> Generator[Future[None]]:
    """Search in a thread of its own; stop it if the block fails, else wait for it."""
    data, beside = run.options.data, run.beside()

    def hold() -> None:
        with beside:
            rounds.hold(beside, wanted, data / "candidates", data / "checklist", settings)

    with ThreadPoolExecutor(1) as pool:
        try:
            yield pool.submit(hold)
        except BaseException:
            beside.stop()
            raise


def fetch(options: Options, urls: Path, retried: Sequence[str] = ()) -> None:
    """Fetch the URLs listed in the file *urls*: no checklist, no search."""
    settings = options.settings("crawler", CrawlerSettings)
    candidates, pictures = options.data / "candidates", options.data / "images"
    table = table_path(candidates, f"urls/{digest(str(urls.resolve()))}")
    with Run(options) as run:
        if options.dry_run:
            say(config.show(settings, "crawler"))
            images.fetch(run, pictures, settings)
            return
        with Ledger(candidates).lock(), Ledger(pictures).lock():
            sweep(candidates / "tables")
            lists.prepare(urls, table)
            sweep(pictures)
            plan.extend(pictures, [table], settings)
            images.fetch(run, pictures, settings, retried)


def _foresee(run: Run, wanted: Sequence[Wanted], settings: CrawlerSettings) -> None:
    """Say what would run, and what the search still takes."""
    data = run.options.data
    every = rounds.units(wanted, data / "candidates", data / "checklist", settings)
    done = run.units("search", data / "candidates", every, search)
    for line in forecast.lines(
        rounds.standing(wanted, data / "candidates", list(done), settings), settings
    ):
        say(line)
    images.fetch(run, data / "images", settings)


def _known_sources(settings: CrawlerSettings) -> None:
    known = [*sources.BY_NAME, *sources.AS_FILES]
    for name in settings.sources:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}."
            raise ConfigError(f"crawler.sources: there is no source {name}; {hint}")


def _ready(settings: CrawlerSettings) -> None:
    """Raise ConfigError for a source that has no address, or a key the environment lacks."""
    every = {**sources.BY_NAME, **sources.AS_FILES}
    for name in settings.sources:
        missing = [key for key in getattr(every[name], "KEYS", ()) if not os.environ.get(key)]
        if missing:
            raise ConfigError(
                f"crawler.sources: {name} needs {' and '.join(missing)} in the environment. "
                "Export what it needs, or leave the source out."
            )
        if name in sources.BY_NAME:
            getattr(settings, name).address()


def main(arguments: list[str] | None = None) -> int:
    """Run the stage; return its exit code."""
    flags = parser("crawler", "Find pictures of the checklist's species, and fetch them politely.")
    flags.add_argument(
        "--species",
        default="",
        metavar="FILE|NAMES",
        help="only these: a file with a name a line, or names, genera, families with commas",
    )
    flags.add_argument(
        "--retry",
        default="",
        metavar="CLASSES",
        help="try refused pictures again, of these classes: timeout,http_5xx",
    )
    flags.add_argument(
        "what", nargs="?", choices=["fetch"], help="fetch: only what --urls lists, no checklist"
    )
    flags.add_argument(
        "--urls", type=Path, metavar="FILE", help="a parquet or csv with a column url, or a txt"
    )
    args: argparse.Namespace = flags.parse_args(arguments)

    def act() -> None:
        retried = retry.classes(args.retry)
        if args.what == "fetch" and args.urls is None:
            raise ConfigError("fetch: --urls FILE is missing, the list of what to fetch.")
        if args.what == "fetch":
            fetch(options(args), args.urls, retried)
        else:
            crawl(options(args), args.species, retried)

    return guard(act, verbose=args.verbose)


if __name__ == "__main__":
    sys.exit(main())
