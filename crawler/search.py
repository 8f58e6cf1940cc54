"""Names -> candidates: ask every source for every species, in units that resume.

A source that is asked by name gets units of a hundred species of one family, one unit after
the other (its API has one budget); a source that comes as files gets a unit a file.
"""

import asyncio
import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import pyarrow as pa

from crawler import candidates, net, sources
from crawler.ask import Ask
from crawler.candidates import Candidate
from crawler.config import CrawlerSettings
from flora import records
from flora.config import digest
from flora.download import download
from flora.ledger import slug
from flora.stage import Outcome, Unit
from flora.tally import Meter
from flora.taxa import Checklist

NAMES = pa.schema(
    {
        "query": pa.string(),
        "species_id": pa.string(),
        "how": pa.string(),
        "suggestions": pa.list_(pa.string()),
    }
)
"""What became of the names that were asked for (candidates/names.parquet)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A species to look for, and the names to look for it by."""

    species_id: str
    family: str
    queries: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchTask:
    """A unit of search: some species at one source, or one source's files."""

    unit: str
    source: str
    folder: Path
    """The candidates folder."""
    checklist: Path
    settings: CrawlerSettings
    wanted: tuple[Wanted, ...] = ()
    """What to ask for, by name."""
    files: tuple[str, ...] = ()
    """What to read, for all the species of names.parquet."""


def units(
    wanted: Sequence[Wanted], folder: Path, checklist: Path, settings: CrawlerSettings
) -> list[Unit]:
    """Return the units that bring the candidates of *wanted* from the settings' sources."""
    found = []
    for name in settings.sources:
        own = getattr(settings, name)
        if name in sources.AS_FILES:
            species = sorted(each.species_id for each in wanted)
            for part, files in sources.AS_FILES[name].files(settings).items():
                task = SearchTask(unit=f"{name}/{part}", source=name, folder=folder,
                                  checklist=checklist, settings=settings, files=files)  # fmt: skip
                found.append(Unit(name=task.unit, recipe=digest(own, files, species), task=task))
        else:
            for part, some in _parts(wanted, settings.unit_names):
                task = SearchTask(unit=f"{name}/{part}", source=name, folder=folder,
                                  checklist=checklist, settings=settings, wanted=some)  # fmt: skip
                recipe = digest(own, some)
                found.append(Unit(name=task.unit, recipe=recipe, task=task, lane=name))
    return found


def search(task: SearchTask) -> Outcome:
    """Do one unit: write its candidates and count them. Raises StageError if a source fails."""
    found = _read(task) if task.files else asyncio.run(_ask(task))
    records.write(table_path(task.folder, task.unit), candidates.table(found))
    species = {candidate.species_id for candidate in found}
    return Outcome(rows=len(found), detail={"species": len(species)})


def table_path(folder: Path, unit: str) -> Path:
    """Return where the candidates of *unit* lie."""
    return folder / "tables" / f"{slug(unit)}.parquet"


def gather(folder: Path, done: Sequence[str]) -> pa.Table:
    """Return the candidates of the units *done*."""
    tables = [records.read(table_path(folder, unit), records.CANDIDATES) for unit in done]
    return pa.concat_tables(tables) if tables else records.CANDIDATES.empty_table()


async def _ask(task: SearchTask) -> list[Candidate]:
    source = sources.BY_NAME[task.source]
    rate = getattr(task.settings, task.source).requests_per_second
    meter, found = Meter("search"), []
    async with net.session(task.settings) as session:
        ask = Ask(session, task.source, rate, task.settings)
        for species in task.wanted:
            for query in species.queries:
                async for candidate in source.search(ask, task.settings, species.species_id, query):
                    found.append(candidate)
                    meter.count(rows=1, host=task.source)
    meter.flush()
    return found


def _read(task: SearchTask) -> list[Candidate]:
    checklist = Checklist.load(task.checklist)
    asked = records.read(task.folder / "names.parquet", NAMES, ["species_id"])
    wanted = set(asked["species_id"].to_pylist()) - {None}

    @functools.lru_cache(maxsize=2**20)
    def find(name: str) -> str | None:
        species_id = checklist.find(name, suggest=False).species_id
        return species_id if species_id in wanted else None

    paths = tuple(
        download(
            address,
            task.folder / "downloads" / f"{digest(address)}-{address.rpartition('/')[2][-80:]}",
            user_agent=task.settings.user_agent,
            connect_to=task.settings.net.connect_to,
        )
        for address in task.files
    )
    meter, found = Meter("search"), []
    for candidate in sources.AS_FILES[task.source].read(paths, task.settings, find):
        found.append(candidate)
        meter.count(rows=1, host=task.source)
    meter.flush()
    return found


def _parts(wanted: Sequence[Wanted], size: int) -> list[tuple[str, tuple[Wanted, ...]]]:
    """Cut *wanted* into named parts: `Rosaceae-000`, ... of at most *size* species."""
    parts = []
    by_family = sorted(wanted, key=lambda each: (each.family, each.species_id))
    for family, group in groupby(by_family, key=lambda each: each.family):
        members = tuple(group)
        for start in range(0, len(members), size):
            name = f"{_word(family)}-{start // size:03}"
            parts.append((name, members[start : start + size]))
    return parts


def _word(family: str) -> str:
    return re.sub(r"[^A-Za-z]", "", family) or "unplaced"
