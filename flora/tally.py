"""Numbers as they happen: counted on the workers, added up on the scheduler.

Worker -> `Meter` -> an event on topic "flora" every half second -> `Tally`, a scheduler
plugin that our dashboard page reads, and the driver's own `Totals` for its progress line.
Receipts are the record; these are for watching, and a lost event hurts nobody.
"""

import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from distributed import SchedulerPlugin, get_worker

TOPIC = "flora"
_FLUSH_SECONDS = 0.5
_HOSTS_KEPT = 1000
_HISTORY = 600
SLOWEST = 12
"""Lanes whose time left is told."""


@dataclass(slots=True)
class Totals:
    """The running sums of one stage."""

    units: int = 0
    units_done: int = 0
    rows: int = 0
    bytes: int = 0
    todo: int = 0
    """Bytes that there are to do, where that is known."""
    refused: Counter[str] = field(default_factory=Counter)
    hosts: Counter[str] = field(default_factory=Counter)
    left: dict[str, float] = field(default_factory=dict)
    """lane -> seconds it still takes at least, the slowest first; empty where nobody knows"""

    def add(self, event: Mapping[str, Any]) -> None:
        """Add what one event of this stage says."""
        self.units = event.get("units", self.units)
        self.units_done += event.get("units_done", 0)
        self.rows += event.get("rows", 0)
        self.bytes += event.get("bytes", 0)
        if refused := event.get("refused"):
            self.refused.update(refused)
        if hosts := event.get("hosts"):
            self.hosts.update(hosts)
        self.left = event.get("left", self.left)
        if len(self.hosts) > 2 * _HOSTS_KEPT:  # a crawl meets more hosts than anyone can watch
            self.hosts = Counter(dict(self.hosts.most_common(_HOSTS_KEPT)))


class Meter:
    """Counts what one unit does, and sends the sums on their way.

    Outside a Dask worker (a test, a script) it only counts.
    """

    def __init__(self, stage: str) -> None:
        self.stage = stage
        self.totals = Totals()
        self._pending = Totals()
        self._sent = time.monotonic()
        try:
            self._worker = get_worker()
        except ValueError:
            self._worker = None

    def count(
        self, *, rows: int = 0, bytes: int = 0, refused: str | None = None, host: str | None = None
    ) -> None:
        """Count rows and bytes done, a refusal by its reason, work for a host."""
        event = {
            "rows": rows,
            "bytes": bytes,
            "refused": {refused: 1} if refused else {},
            "hosts": {host: 1} if host else {},
        }
        self.totals.add(event)
        self._pending.add(event)
        if time.monotonic() - self._sent > _FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Send what is pending."""
        pending, self._pending, self._sent = self._pending, Totals(), time.monotonic()
        if self._worker is not None and (pending.rows or pending.bytes or pending.refused):
            event = {
                "stage": self.stage,
                "rows": pending.rows,
                "bytes": pending.bytes,
                "refused": dict(pending.refused),
                "hosts": dict(pending.hosts),
            }
            self._worker.log_event(TOPIC, event)


class Tally(SchedulerPlugin):  # type: ignore[misc]
    """The sums of every stage, kept on the scheduler for as long as it lives."""

    name = TOPIC
    idempotent = True

    def __init__(self) -> None:
        self.stages: dict[str, Totals] = {}
        self.history: deque[tuple[float, int, int]] = deque(maxlen=_HISTORY)
        """(unix seconds, rows, bytes) in each of the last seconds that saw any work."""

    def log_event(self, topic: str, msg: Any) -> None:
        """Add one event (called by the scheduler)."""
        if topic != TOPIC or not isinstance(msg, Mapping) or "stage" not in msg:
            return
        self.stages.setdefault(str(msg["stage"]), Totals()).add(msg)
        now = float(int(time.time()))
        if not self.history or self.history[-1][0] != now:
            self.history.append((now, 0, 0))
        _, rows, size = self.history[-1]
        self.history[-1] = (now, rows + msg.get("rows", 0), size + msg.get("bytes", 0))
