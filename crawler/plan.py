"""Candidates -> what to fetch: each photograph once, each host in the hands of one unit at a time.

The plan grows by generations (`plan-000.parquet`, ...): candidates found later get units of
their own, and what was planned before is never touched. A generation has one row group a unit;
beside it, `conflicts-000.parquet` says which photographs several species claim.
"""

import re
from collections import Counter
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from crawler import merge
from crawler.config import CrawlerSettings
from crawler.harvest import FetchTask
from flora import records
from flora.config import digest
from flora.console import say
from flora.ledger import publish
from flora.stage import Unit

PLAN = pa.schema([*records.CANDIDATES, ("host", pa.string()), ("unit", pa.string())])
"""A row of a generation: a candidate, and who fetches it."""

_SHARED = "small-hosts"
_SMALL = 10
"""A host with less than a tenth of a unit shares its unit with others."""
_SHARES, _LEAST = 16, 250
"""Small hosts are dealt out to so many units at least, so that all workers get some; but a unit
of fewer pictures than that is not worth its files."""
_BATCH = 100_000

_HOSTS = "SELECT host, count(*) AS rows FROM fresh GROUP BY host ORDER BY host"
_ORDERED = """
SELECT fresh.*, lane FROM fresh JOIN lanes USING (host)
ORDER BY lane, host, url, species_id, photo_id
"""


def extend(folder: Path, candidates: Sequence[Path], settings: CrawlerSettings) -> int:
    """Add a generation to the plan in *folder* for those of *candidates* that have no unit yet.

    Return how many rows it has: pictures, each under a species. A photograph that was planned
    and is now listed under another species becomes a row with the same address, and so one more
    download: a unit, once fetched, is never touched.
    """
    known = generations(folder)
    if not candidates:
        return 0
    with merge.database(folder) as db:
        merge.merge(db, candidates, known)
        hosts = db.sql(_HOSTS).to_arrow_table()
        if hosts.num_rows == 0:
            return 0
        _record_conflicts(db, folder / f"conflicts-{len(known):03}.parquet")
        db.register("lanes", _lanes(hosts, len(known), settings.unit_images))
        rows = db.sql(_ORDERED).to_arrow_reader(_BATCH)
        path = folder / f"plan-{len(known):03}.parquet"
        return _write(path, _cut(rows, settings.unit_images))


def units(folder: Path, settings: CrawlerSettings) -> list[Unit]:
    """Return the units of all generations of the plan in *folder*.

    What was fetched stays fetched when settings change: they hold for what is fetched from
    then on, so a unit's recipe is its part of the plan alone.
    """
    found, seen = [], Counter[str]()
    for part in [part for path in generations(folder) for part in _parts(path)]:
        lanes = 1 if part.host == _SHARED else settings.budget(part.host).lanes
        lane = f"{part.host}#{seen[part.host] % lanes}" if lanes > 1 else part.host
        seen[part.host] += 1
        task = FetchTask(
            images=folder,
            unit=part.unit,
            plan=part.plan,
            row_group=part.row_group,
            settings=settings,
            lane=lane if lanes > 1 else "",
            share=1 / lanes,
            watched=part.unit if part.host == _SHARED else lane,
        )
        found.append(
            Unit(
                name=part.unit,
                recipe=part.recipe,
                task=task,
                lane="" if part.host == _SHARED else lane,
                seconds=_least(part, settings) * lanes,
                waits=True,
            )
        )
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """What one unit is to fetch: a row group of a generation."""

    plan: Path
    row_group: int
    unit: str
    host: str
    rows: int
    recipe: str


def _parts(path: Path) -> list[_Part]:
    metadata = pq.read_metadata(path)
    names = metadata.metadata[b"units"].decode().split("\n")
    identity = digest(path.name, metadata.num_rows, names)
    return [
        _Part(
            plan=path,
            row_group=group,
            unit=name,
            host=name.rpartition("/")[0],
            rows=metadata.row_group(group).num_rows,
            recipe=digest(identity, group),
        )
        for group, name in enumerate(names)
    ]


def _least(part: _Part, settings: CrawlerSettings) -> float:
    """Return the seconds *part* takes at least, by the whole budget of its host.

    A shared unit asks its hosts at once; the largest of them may have so many rows.
    """
    if part.host != _SHARED:
        return part.rows / settings.budget(part.host).requests_per_second
    rows = min(part.rows, settings.unit_images // _SMALL)
    return rows / settings.politeness.requests_per_second


def generations(folder: Path) -> list[Path]:
    """Return the files of the plan, oldest first."""
    return sorted(folder.glob("plan-[0-9]*.parquet"))


def _record_conflicts(db: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Write down which photographs several species claim, if any are."""
    found = merge.conflicts(db)
    path.unlink(missing_ok=True)  # of a run that was killed before its plan was there
    if found.num_rows:
        records.write(path, found)
        say(f"{found.num_rows:,} photographs are claimed by several species: {path}")


def _lanes(hosts: pa.Table, generation: int, size: int) -> pa.Table:
    """Return each host's lane: `<host>/<generation>`, or a unit that small hosts share."""
    small = sum(count for count in hosts["rows"].to_pylist() if count * _SMALL < size)
    shared = min(max(small // _SHARES, _LEAST), size)
    lanes = []
    unit, room = -1, 0
    for host, count in zip(hosts["host"].to_pylist(), hosts["rows"].to_pylist(), strict=True):
        if count * _SMALL < size:
            if room < count:
                unit, room = unit + 1, shared
            room -= count
            lanes.append(f"{_SHARED}/{generation:03}-{unit:04}")
        else:
            lanes.append(f"{_word(host)}/{generation:03}")
    return pa.table({"host": hosts["host"], "lane": lanes})


def _cut(batches: Iterable[pa.RecordBatch], size: int) -> Generator[pa.Table]:
    """Yield the rows of each unit, from rows in order of lane, host and URL.

    A lane's unit ends after *size* URLs; a URL's rows stay together.
    """
    held: list[pa.RecordBatch] = []
    lane, url, count = None, None, 0  # of the row before: its lane, its URL, the lane's URLs so far
    for batch in batches:
        other_lane = _changes(batch["lane"], lane)
        other_url = _changes(batch["url"], url) | other_lane
        order = count + np.cumsum(other_url)
        before = np.maximum.accumulate(np.where(other_lane, order - 1, 0))
        within = order - before  # 1 for the first URL of a lane
        starts = np.flatnonzero(other_url & ((within - 1) % size == 0))
        edges = [0, *starts.tolist(), batch.num_rows]
        for i, (start, end) in enumerate(pairwise(edges)):
            if i > 0 and held:
                yield pa.Table.from_batches(held).combine_chunks()
                held = []
            if end > start:
                held.append(batch.slice(start, end - start))
        lane, url, count = batch["lane"][-1].as_py(), batch["url"][-1].as_py(), int(within[-1])
    if held:
        yield pa.Table.from_batches(held).combine_chunks()


def _changes(column: pa.Array, before: str | None) -> Any:
    """Return which values of *column* differ from the one before them."""
    rest = pc.not_equal(column[1:], column[:-1]).to_numpy(zero_copy_only=False)
    return np.concatenate([[column[0].as_py() != before], rest])


def _write(path: Path, parts: Iterable[pa.Table]) -> int:
    """Publish *parts* as the generation at *path*, a row group each; return how many rows."""
    names: list[str] = []
    lane, number, total = "", 0, 0
    with publish(path) as draft, pq.ParquetWriter(draft, PLAN, compression="zstd") as writer:
        for part in parts:
            own = part["lane"][0].as_py()
            lane, number = own, number + 1 if own == lane else 0
            names.append(lane if lane.startswith(f"{_SHARED}/") else f"{lane}-{number:04}")
            unit = pa.repeat(pa.scalar(names[-1]), part.num_rows)
            part = part.append_column("unit", unit).select(PLAN.names).cast(PLAN)
            writer.write_table(part, part.num_rows)
            total += part.num_rows
        writer.add_key_value_metadata({"units": "\n".join(names)})
    return total


def _word(host: str) -> str:
    """Return *host* as a word that may stand in a unit's name."""
    word = re.sub(r"[^a-z0-9.-]", "-", host.lower())
    if word != host.lower():
        word = f"{word}-{digest(host)}"  # two hosts are never one word
    sound = word[:1].isalnum() and len(word) < 120 and word != _SHARED
    return word if sound else f"host-{digest(host)}"
