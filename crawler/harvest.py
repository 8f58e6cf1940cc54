"""A fetch unit: the pictures of one host (or of several small ones), fetched, checked, packed."""

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from yarl import URL

from crawler import shared
from crawler.config import CrawlerSettings
from crawler.fetch import Fetched, Fetcher
from crawler.hosts import Host
from crawler.pack import Pack
from flora import records
from flora.errors import StageError
from flora.ledger import slug
from flora.records import KEPT, Refusal
from flora.stage import Outcome
from flora.tally import Meter

_UNREACHABLE = (
    Refusal.DNS,
    Refusal.CONNECTION,
    Refusal.ROBOTS_UNREACHABLE,
    Refusal.HOST_DOWN,
)
_PATIENCE = 20
_WORTH_A_CONNECTION = 16
"""Pictures for which another connection to a host is opened: a handshake costs as much as one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchTask:
    """What a worker needs to know to fetch one unit."""

    images: Path
    """The images folder."""
    unit: str
    plan: Path
    row_group: int
    """Which part of the plan is this unit's."""
    settings: CrawlerSettings
    lane: str = ""
    share: float = 1.0
    """The part of a host's budget that the unit may use: several lanes may share a host."""
    watched: str = ""
    """What it goes by on the dashboard: its lane, or its name if it has none."""


def harvest(task: FetchTask) -> Outcome:
    """Fetch what is not settled yet of a unit, and write its table.

    Raises StageError if not one of its hosts can be reached: then it is more likely that our
    network is down than that they all are, and nothing is written down against them.
    """
    candidates = pq.ParquetFile(task.plan).read_row_group(task.row_group)
    with Pack(task.images, task.unit, task.settings.pack_bytes) as pack:
        urls = candidates["url"].to_pylist()
        left = dict.fromkeys(url for url in urls if url not in pack.settled)
        meter = Meter("fetch")
        if left:
            shared.run(_fetch_all(left, pack, meter, task))
        meter.flush()
        table, size = _table(candidates, pack)
        pack.finish()
    records.write(task.images / "tables" / f"{slug(task.unit)}.parquet", table)
    refused = records.counts(table["status"])
    refused.pop(KEPT, None)
    return Outcome(rows=table.num_rows, bytes=size, refused=refused)


async def _fetch_all(urls: Iterable[str], pack: Pack, meter: Meter, task: FetchTask) -> None:
    """Fetch *urls*, host by host at once, each host with as many connections as it may have."""
    common = await shared.shared(task.settings)
    queues: dict[str, deque[str]] = {}
    for url in urls:
        queues.setdefault(_host_name(url), deque()).append(url)
    gate = _Gate(pack, meter)

    def host(name: str) -> Host:
        own = name in queues
        return common.host(name, task.lane, task.share) if own else common.host(name)

    async def work(name: str) -> None:
        while queues[name]:
            gate.settle(await fetcher.fetch(queues[name].popleft()), name)

    fetcher = Fetcher(common.session, task.settings, host, common.robots, common.memory)
    tasks = []
    for name, queue in queues.items():
        host(name).give_another_chance()
        allowed = max(round(task.settings.budget(name).connections * task.share), 1)
        hands = min(allowed, -(-len(queue) // _WORTH_A_CONNECTION))
        tasks += [asyncio.create_task(work(name)) for _ in range(hands)]
    largest = max(queues, key=lambda name: len(queues[name]))
    with meter.watch(task.watched, host(largest).state):
        await _all(tasks)
    gate.close()


async def _all(tasks: list[asyncio.Task[None]]) -> None:
    """Wait for *tasks*; cancel the others if one fails (a full disk, say), and raise that.

    Raised bare, not as a TaskGroup would: it has to travel back to the stage.
    """
    try:
        await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


class _Gate:
    """Holds back "cannot be reached" until some host has answered; then writes all down."""

    def __init__(self, pack: Pack, meter: Meter) -> None:
        self._pack, self._meter = pack, meter
        self._open = bool(pack.settled)
        self._held: list[tuple[Fetched, str]] = []

    def settle(self, fetched: Fetched, host: str) -> None:
        self._held.append((fetched, host))
        self._open = self._open or fetched.status not in _UNREACHABLE
        if self._open:
            for held, _ in self._held:
                self._write(held)
            self._held.clear()
        elif len(self._held) >= _PATIENCE:
            self.close()

    def close(self) -> None:
        if self._held:
            host, status = self._held[0][1], self._held[0][0].status
            raise StageError(
                f"{host}: nothing can be reached there ({status}). Is the network up? "
                "Nothing was written down; the same command tries again."
            )

    def _write(self, fetched: Fetched) -> None:
        self._pack.add(fetched, datetime.now(UTC).isoformat(timespec="milliseconds"))
        refused = None if fetched.status == KEPT else str(fetched.status)
        self._meter.count(rows=1, bytes=len(fetched.data), refused=refused)


def _host_name(url: str) -> str:
    try:
        return URL(url).host or "?"
    except ValueError:
        return "?"  # the fetcher will refuse it as a bad URL


def _table(candidates: pa.Table, pack: Pack) -> tuple[pa.Table, int]:
    """Return the unit's image rows, and the bytes its pictures take."""
    lines = {line["url"]: line for line in pack.lines()}
    rows = [_image_row(row, lines[row["url"]]) for row in candidates.to_pylist()]
    sizes = {line["image_id"]: int(line["length"]) for line in lines.values() if "image_id" in line}
    return records.table(records.IMAGES, rows), sum(sizes.values())


def _image_row(candidate: dict[str, Any], line: dict[str, Any]) -> dict[str, Any]:
    """Join a candidate with its line of the journal."""
    row = {name: line.get(name, candidate.get(name)) for name in records.IMAGES.names}
    for name in ("width", "height"):
        row[name] = line.get(name)  # what the picture is, not what the source said
    row["pdq"] = bytes.fromhex(line["pdq"]) if "pdq" in line else None
    row["fetched_at"] = datetime.fromisoformat(line["fetched_at"])
    return row
