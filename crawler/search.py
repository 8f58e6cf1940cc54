"""Names -> candidates, in units that resume.

A source that comes as files gets a unit a file, for all species at once. One that is asked by
name, an engine, gets units of queries, as a round planned them (crawler/rounds.py).
"""

import asyncio
import functools
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pyarrow.parquet as pq

from crawler import candidates, net, quota, sources
from crawler.answers import Answer, Answers
from crawler.ask import Ask
from crawler.candidates import Candidate
from crawler.config import CrawlerSettings
from crawler.wanted import Wanted
from flora import records
from flora.config import digest
from flora.download import download
from flora.ledger import publish, slug
from flora.stage import Outcome, Unit
from flora.tally import Meter
from flora.taxa import Checklist

_BATCH = 100_000
"""Rows held in memory, and of a row group."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileTask:
    """The files of one source, to be read for all the species of names.parquet."""

    unit: str
    source: str
    folder: Path
    """The candidates folder."""
    checklist: Path
    files: tuple[str, ...]
    settings: CrawlerSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class AskTask:
    """Some queries to one engine."""

    unit: str
    source: str
    folder: Path
    """The candidates folder."""
    round: Path
    """The table of the queries..."""
    row_group: int
    """...and which part of it."""
    recipe: str
    settings: CrawlerSettings


def units(
    wanted: Sequence[Wanted], folder: Path, checklist: Path, settings: CrawlerSettings
) -> list[Unit]:
    """Return the units that read the candidates of *wanted* from sources that are files."""
    found, species = [], sorted(each.species_id for each in wanted)
    for name in settings.sources:
        if name not in sources.AS_FILES:
            continue
        own = getattr(settings, name)
        for part, files in sources.AS_FILES[name].files(settings).items():
            task = FileTask(unit=f"{name}/{part}", source=name, folder=folder,
                            checklist=checklist, files=files, settings=settings)  # fmt: skip
            found.append(Unit(name=task.unit, recipe=digest(own, files, species), task=task))
    return found


def search(task: FileTask | AskTask) -> Outcome:
    """Do one unit: write its candidates and count them.

    Raises StageError if a source fails, LaterError if it may not be asked any more today.
    """
    if isinstance(task, FileTask):
        return Outcome(rows=_write(task, _read(task)))
    with Answers(task.folder, task.unit, task.recipe) as answers:
        asyncio.run(_ask(task, answers))
        rows = _write(task, answers.candidates())
        asked = {"queries": len(answers.known)}
        return Outcome(rows=rows, refused=dict(answers.odd), detail=asked)


def table_path(folder: Path, unit: str) -> Path:
    """Return where the candidates of *unit* lie."""
    return folder / "tables" / f"{slug(unit)}.parquet"


async def _ask(task: AskTask, answers: Answers) -> None:
    """Ask the queries that have no answer yet.

    Odd ones are kept when a good answer follows, or the end: a row of them fails the unit, and
    then it was not their fault.
    """
    source, settings = sources.BY_NAME[task.source], task.settings
    terms, left = getattr(settings, task.source), quota.of(task.source, task.folder, settings)
    part = pq.ParquetFile(task.round).read_row_group(task.row_group, ["species_id", "query"])
    meter, held = Meter("search"), list[Answer]()
    async with net.session(settings) as session:
        ask = Ask(session, task.source, terms, settings, left)
        with meter.watch(task.source, ask.state):
            for species_id, query in zip(*(column.to_pylist() for column in part), strict=True):
                if (species_id, query) in answers.known:
                    continue
                before = ask.odd.copy()
                try:
                    found = [each async for each in source.search(ask, settings, species_id, query)]
                finally:
                    meter.tell_quota(task.source, left.state())
                odd = next(iter(ask.odd - before), "")
                held.append(Answer(species_id=species_id, query=query, found=found, odd=odd))
                if not odd:
                    _keep(held, answers, meter)
    _keep(held, answers, meter)
    meter.flush()


def _keep(held: list[Answer], answers: Answers, meter: Meter) -> None:
    for answer in held:
        answers.add(answer)
        for _ in answer.found:
            meter.count(rows=1)
    held.clear()


def _read(task: FileTask) -> Generator[Candidate]:
    checklist = Checklist.load(task.checklist)
    asked = records.read(task.folder / "names.parquet", records.NAMES, ["species_id"])
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
    meter = Meter("search")
    read: Callable[..., Iterable[Candidate]] = sources.AS_FILES[task.source].read
    for candidate in read(paths, task.settings, find):
        meter.count(rows=1)
        yield candidate
    meter.flush()


def _write(task: FileTask | AskTask, found: Iterable[Candidate]) -> int:
    """Publish the table of a unit, a batch at a time; return its rows."""
    rows, rest = 0, iter(found)
    with (
        publish(table_path(task.folder, task.unit)) as draft,
        pq.ParquetWriter(draft, records.CANDIDATES, compression="zstd") as writer,
    ):
        while batch := list(islice(rest, _BATCH)):
            writer.write_table(candidates.table(batch), _BATCH)
            rows += len(batch)
    return rows
