"""A fetch unit: the pictures of one host (or of several small ones), fetched, checked, packed."""

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from yarl import URL

from crawler import net
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

_UNREACHABLE = (Refusal.DNS, Refusal.CONNECTION, Refusal.ROBOTS_UNREACHABLE)
_PATIENCE = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchTask:
    """What a worker needs to know to fetch one unit."""

    images: Path
    """The images folder."""
    stage: str
    unit: str
    plan: Path
    row_group: int
    """Which part of the plan is this unit's."""
    settings: CrawlerSettings


def harvest(task: FetchTask) -> Outcome:
    """Fetch what is not settled yet of a unit, and write its table.

    Raises StageError if not one of its hosts can be reached: then it is more likely that our
    network is down than that they all are, and nothing is written down against them.
    """
    candidates = pq.ParquetFile(task.plan).read_row_group(task.row_group).to_pylist()
    with Pack(task.images, task.unit, task.settings.pack_bytes) as pack:
        left = dict.fromkeys(row["url"] for row in candidates if row["url"] not in pack.settled)
        meter = Meter(task.stage)
        asyncio.run(_fetch_all(left, pack, meter, task))
        meter.flush()
        rows = [_image_row(row, pack.settled[row["url"]]) for row in candidates]
        pack.finish()
    path = task.images / "tables" / f"{slug(task.unit)}.parquet"
    records.write(path, records.table(records.IMAGES, rows))
    settled = pack.settled.values()
    sizes = {line["image_id"]: line["length"] for line in settled if "image_id" in line}
    refused: dict[str, int] = {}
    for row in rows:
        if row["status"] != KEPT:
            refused[row["status"]] = refused.get(row["status"], 0) + 1
    return Outcome(rows=len(rows), bytes=sum(sizes.values()), refused=refused)


async def _fetch_all(urls: Iterable[str], pack: Pack, meter: Meter, task: FetchTask) -> None:
    """Fetch *urls*, host by host at once, each host with as many connections as it may have."""
    politeness = task.settings.politeness
    hosts: dict[str, Host] = {}
    queues: dict[str, deque[str]] = {}
    for url in urls:
        queues.setdefault(_host_name(url), deque()).append(url)
    gate = _Gate(pack, meter)

    def host(name: str) -> Host:
        return hosts.setdefault(name, Host(name, politeness))

    async def work(name: str, fetcher: Fetcher) -> None:
        while queues[name]:
            gate.settle(await fetcher.fetch(queues[name].popleft()), name)

    async with net.session(task.settings) as session:
        fetcher = Fetcher(session, task.settings, host)
        failed = None
        try:
            async with asyncio.TaskGroup() as group:
                for name, queue in queues.items():
                    for _ in range(min(politeness.connections, len(queue))):
                        group.create_task(work(name, fetcher))
        except ExceptionGroup as errors:
            failed = errors.exceptions[0]
        if failed is not None:
            raise failed  # a full disk, say; bare, so that it can travel back to the stage
        gate.close()


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
            for item in self._held:
                self._write(*item)
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

    def _write(self, fetched: Fetched, host: str) -> None:
        self._pack.add(fetched, datetime.now(UTC).isoformat(timespec="milliseconds"))
        refused = None if fetched.status == KEPT else str(fetched.status)
        self._meter.count(rows=1, bytes=len(fetched.data), refused=refused, host=host)


def _host_name(url: str) -> str:
    try:
        return URL(url).host or "?"
    except ValueError:
        return "?"  # the fetcher will refuse it as a bad URL


def _image_row(candidate: dict[str, Any], line: dict[str, Any]) -> dict[str, Any]:
    """Join a candidate with its line of the journal."""
    row = {name: line.get(name, candidate.get(name)) for name in records.IMAGES.names}
    for name in ("width", "height"):
        row[name] = line.get(name)  # what the picture is, not what the source said
    row["fetched_at"] = datetime.fromisoformat(line["fetched_at"])
    return row
