"""`python -m crawler`: search -> plan -> fetch."""

import argparse
import difflib
import sys
from pathlib import Path

import pyarrow as pa

from crawler import pack, plan, search, sources
from crawler.config import CrawlerSettings
from crawler.harvest import harvest
from crawler.search import Wanted
from flora import config, records
from flora.command import Options, guard, options, parser
from flora.console import say
from flora.errors import ConfigError
from flora.ledger import Ledger, sweep
from flora.stage import Run
from flora.taxa import Checklist, How, Match


def crawl(options: Options, species: str = "") -> None:
    """Search for the species of the checklist (or those named in *species*) and fetch."""
    settings = options.settings("crawler", CrawlerSettings)
    _known_sources(settings)
    if options.dry_run:
        say(config.show(settings, "crawler"))
    checklist = options.data / "checklist"
    names = Checklist.load(checklist)
    matches = _asked(names, species, options.limit)
    wanted = _wanted(names, matches, settings.synonyms)
    candidates, images = options.data / "candidates", options.data / "images"
    with Run(options) as run:
        if options.dry_run:
            units = search.units(wanted, candidates, checklist, settings)
            run.units("search", candidates, units, search.search)
            for path in plan.generations(images):
                run.units(plan.label(path), images, plan.units(path, settings), harvest)
            return
        with Ledger(candidates).lock():
            sweep(candidates / "tables")
            records.write(candidates / "names.parquet", _names(matches))
            units = search.units(wanted, candidates, checklist, settings)
            done = run.units("search", candidates, units, search.search)
            found = search.gather(candidates, list(done))
        with Ledger(images).lock():
            sweep(images)
            sweep(images / "tables")
            pack.sweep(images, Ledger(images).receipts())
            plan.extend(images, found, settings)
            for path in plan.generations(images):
                run.units(plan.label(path), images, plan.units(path, settings), harvest)
            pack.sweep(images, Ledger(images).receipts())


def _asked(checklist: Checklist, species: str, limit: int | None) -> list[Match]:
    """Return the names to crawl, looked up. Raises ConfigError if none leads to a species."""
    if not species:
        table = checklist.species.select(["species_id", "name"]).slice(0, limit)
        return [Match(query=row["name"], how=How.ACCEPTED, **row) for row in table.to_pylist()]
    names = _lines(species) or [name.strip() for name in species.split(",") if name.strip()]
    names = [each for name in names for each in _members(checklist, name)][:limit]
    matches: list[Match] = checklist.lookup(names)
    lost = [match for match in matches if match.species_id is None]
    for match in lost[:20]:
        hint = f"; did you mean {' or '.join(match.suggestions)}?" if match.suggestions else ""
        say(f"{match.query}: {match.how}, left out{hint}")
    if len(lost) > 20:
        say(f"and {len(lost) - 20} more; all of them stand in candidates/names.parquet")
    if len(lost) == len(matches):
        raise ConfigError(
            f"--species {species}: no name in it leads to an accepted species of the checklist "
            "(and there is no such file)."
        )
    return matches


def _lines(species: str) -> list[str]:
    """Return the names in the file *species*, a name a line; none if there is no such file."""
    try:
        lines = Path(species).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError):  # a list of names may be no path at all, or too long for one
        return []
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def _members(checklist: Checklist, name: str) -> list[str]:
    """Return the species of *name* if it is a genus or a family of the checklist, or itself."""
    if " " in name or "_" in name:
        return [name]
    table = checklist.species
    word = name.capitalize()
    for column in ("genus", "family"):
        rows = table.filter(pa.compute.equal(table[column], word))
        if rows.num_rows:
            return [str(each) for each in rows["name"].to_pylist()]
    return [name]


def _wanted(checklist: Checklist, matches: list[Match], synonyms: int) -> list[Wanted]:
    """Return the species to look for: by accepted name, the names they were asked by, synonyms."""
    queries: dict[str, list[str]] = {}
    for match in matches:
        if match.species_id is not None:
            queries.setdefault(match.species_id, []).append(match.query.replace("_", " "))
    found = []
    for species_id, asked in queries.items():
        species = checklist.get(species_id)
        names = dict.fromkeys([species.name, *asked, *species.synonyms[:synonyms]])
        found.append(Wanted(species_id=species_id, family=species.family, queries=tuple(names)))
    return found


def _names(matches: list[Match]) -> pa.Table:
    return records.table(
        search.NAMES,
        (
            {
                "query": match.query,
                "species_id": match.species_id,
                "how": str(match.how),
                "suggestions": list(match.suggestions),
            }
            for match in matches
        ),
    )


def _known_sources(settings: CrawlerSettings) -> None:
    known = [*sources.BY_NAME, *sources.AS_FILES]
    for name in settings.sources:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}."
            raise ConfigError(f"crawler.sources: there is no source {name}; {hint}")


def main(arguments: list[str] | None = None) -> int:
    """Run the stage; return its exit code."""
    flags = parser("crawler", "Find pictures of the checklist's species, and fetch them politely.")
    flags.add_argument(
        "--species",
        default="",
        metavar="FILE|NAMES",
        help="only these: a file with a name a line, or names, genera, families with commas",
    )
    args: argparse.Namespace = flags.parse_args(arguments)
    return guard(lambda: crawl(options(args), args.species), verbose=args.verbose)


if __name__ == "__main__":
    sys.exit(main())
