"""Rounds of search: what each engine is asked next, as tables that are never changed.

`rounds/round-000.parquet` and its followers have one row group a unit. A run first does the
units that are still open, whoever wanted their species; where all sources of files and all
engines have done theirs, the candidates are counted and the next round is planned.
"""

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from crawler import answers, holdings, planner, quota, search
from crawler.config import CrawlerSettings
from crawler.holdings import Counts
from crawler.planner import Steps, Supply
from crawler.search import AskTask
from crawler.wanted import Wanted
from flora.config import digest
from flora.console import say
from flora.errors import DiskFullError, LaterError, StageError
from flora.ledger import Ledger, publish
from flora.stage import Run, Unit

ROUND = pa.schema(
    {name: pa.string() for name in ("engine", "unit", "species_id", "family", "query")}
)
"""A round: what is asked where."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a search stands: what there is, and what was asked."""

    steps: Steps
    photographs: Counts
    """Of each species wanted."""
    engines: Sequence[Supply]
    dollars: float
    """What is left to spend."""


def hold(
    run: Run, wanted: Sequence[Wanted], folder: Path, checklist: Path, settings: CrawlerSettings
) -> None:
    """Search until no species is below its target, or no engine can be asked any more.

    The caller holds the folder's lock. Raises StageError if a source failed, LaterError if
    all that is left has to wait for another day; what was found by then is there.
    """
    ledger, trouble = Ledger(folder), None
    closed: set[str] = set()
    while True:
        every = units(wanted, folder, checklist, settings)
        try:
            if now := [unit for unit in every if unit.lane not in closed]:
                run.units("search", folder, now, search.search)
        except DiskFullError:
            raise
        except StageError as error:
            trouble = trouble or error
        done = finished(every, ledger)
        answers.sweep(folder, done)
        closed = {unit.lane for unit in every if unit.name not in done}
        if "" in closed:
            raise StageError(
                f"{trouble} Engines are asked by name once all files were read; "
                "a source that is gone can be left out of crawler.sources."
            )
        here = standing(wanted, folder, done, settings)
        if not _plan(here, closed, folder, settings):
            break
    ledger.plan("search", len(every))
    if waits := _waits(here, closed, settings):
        if trouble is None or isinstance(trouble, LaterError):
            raise LaterError(waits)
        raise StageError(f"{trouble} {waits}")
    if trouble is not None:
        raise trouble


def units(
    wanted: Sequence[Wanted], folder: Path, checklist: Path, settings: CrawlerSettings
) -> list[Unit]:
    """Return all units of the search: those of files, and those of the rounds so far."""
    found = search.units(wanted, folder, checklist, settings)
    for path in paths(folder):
        for group, (name, part, queries) in enumerate(_parts(path)):
            engine = name.partition("/")[0]
            if engine not in settings.sources:
                continue
            terms = getattr(settings, engine)
            recipe = digest(terms, part)
            task = AskTask(unit=name, source=engine, folder=folder, round=path, row_group=group,
                           recipe=recipe, settings=settings)  # fmt: skip
            seconds = queries / terms.requests_per_second
            unit = Unit(name=name, recipe=recipe, task=task, lane=engine, seconds=seconds,
                        waits=True)  # fmt: skip
            found.append(unit)
    return found


def finished(every: Sequence[Unit], ledger: Ledger) -> list[str]:
    """Return the names of those of the units that are done."""
    receipts = ledger.receipts()
    return [
        unit.name
        for unit in every
        if unit.name in receipts and receipts[unit.name].recipe == unit.recipe
    ]


def standing(
    wanted: Sequence[Wanted], folder: Path, done: Sequence[str], settings: CrawlerSettings
) -> Standing:
    """Return where the search stands when the units *done* are done."""
    tables = [search.table_path(folder, unit) for unit in done]
    found = holdings.count(tables, [each.species_id for each in wanted])
    brought: Counter[str] = Counter()
    for unit, fresh in zip(done, found.of_table.tolist(), strict=True):
        brought[unit.partition("/")[0]] += fresh
    asked = _asked(folder, done)
    answered = asked.filter(asked["answered"])["engine"].value_counts().to_pylist()
    queries = {row["values"]: row["counts"] for row in answered}
    return Standing(
        steps=Steps(wanted, asked),
        photographs=found.of_species,
        engines=planner.supplies(folder, settings, queries, brought),
        dollars=settings.dollars - quota.dollars(folder / "quota"),
    )


def paths(folder: Path) -> list[Path]:
    """Return the rounds so far, oldest first."""
    return sorted((folder / "rounds").glob("round-[0-9]*.parquet"))


def write(folder: Path, steps: Steps, chosen: Mapping[str, Sequence[int]], size: int) -> None:
    """Publish the next round: rows of *steps* for each engine, in units of *size* at most."""
    number = len(paths(folder))
    parts = []
    for engine, rows in sorted(chosen.items()):
        for start in range(0, len(rows), size):
            unit = f"{engine}/{number:03}-{start // size:04}"
            parts.append(_table(engine, unit, steps, rows[start : start + size]))
    about = [(part["unit"][0].as_py(), digest(part.to_pylist())) for part in parts]
    schema = ROUND.with_metadata({"units": json.dumps(about)})
    path = folder / "rounds" / f"round-{number:03}.parquet"
    with publish(path) as draft, pq.ParquetWriter(draft, schema, compression="zstd") as writer:
        for part in parts:
            writer.write_table(part.replace_schema_metadata(schema.metadata), size)


def _table(engine: str, unit: str, steps: Steps, rows: Sequence[int]) -> pa.Table:
    species = [steps.wanted[steps.species[row]] for row in rows]
    return pa.table(
        {
            "engine": [engine] * len(rows),
            "unit": [unit] * len(rows),
            "species_id": [each.species_id for each in species],
            "family": [each.family for each in species],
            "query": [steps.names[row] for row in rows],
        },
        schema=ROUND,
    )


def _parts(path: Path) -> list[tuple[str, str, int]]:
    """Return the units of a round, each with the digest of its rows, and how many these are."""
    about = pq.read_metadata(path)
    return [
        (unit, part, about.row_group(group).num_rows)
        for group, (unit, part) in enumerate(json.loads(about.metadata[b"units"]))
    ]


def _asked(folder: Path, done: Sequence[str]) -> pa.Table:
    """Return engine, species_id, query and answered of all rounds."""
    columns = ["engine", "unit", "species_id", "query"]
    tables = [pq.read_table(path, columns=columns) for path in paths(folder)]
    rows = pa.concat_tables(tables or [ROUND.empty_table().select(columns)])
    rows = rows.replace_schema_metadata(None)
    answered = pc.is_in(rows["unit"], value_set=pa.array(done, pa.string()))
    return rows.append_column("answered", answered)


def _plan(here: Standing, closed: Collection[str], folder: Path, settings: CrawlerSettings) -> bool:
    """Write the next round; tell whether there is anything to do in it."""
    chosen = planner.choose(here.steps, here.photographs, here.engines, settings,
                            dollars=here.dollars, closed=closed)  # fmt: skip
    if chosen:
        write(folder, here.steps, chosen, settings.unit_names)
    return bool(chosen)


def _waits(here: Standing, closed: Collection[str], settings: CrawlerSettings) -> str:
    """Return the sentences on what is left to ask; none if that is nothing."""
    below = planner.below(here.photographs, settings.target)
    usable = [each for each in here.engines if each.cost <= here.dollars]
    rows = here.steps.next(below, [each.name for each in usable])
    waiting = []
    for engine in usable:
        left = int(np.count_nonzero(~here.steps.answered(engine.name)[rows]))
        if left and (engine.name in closed or engine.room == 0):
            until = "" if engine.room else ", until 00:00 UTC"
            waiting.append(f"{left:,} for {engine.name}{until}")
    for engine in here.engines:
        if engine.cost > here.dollars and len(here.steps.next(below, [engine.name])):
            say(f"search: {engine.name} is not asked: it costs money, and of crawler.dollars "
                f"{max(here.dollars, 0.0):.2f} are left.")  # fmt: skip
    if not waiting:
        return ""
    return f"search: queries wait: {', '.join(waiting)}. The same command goes on tomorrow."
