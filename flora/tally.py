"""Numbers as they happen: counted on the workers, added up on the scheduler.

Units -> `Meter` -> `Post`, a worker plugin: one message of all its units, on topic "flora", as
often as Dask's heartbeat (which slows down as a cluster grows: some 200 a second, however many
workers there are) -> `Tally`, a scheduler plugin that our page is drawn from, and the driver's
own `Totals` for its line of progress. Receipts are the record; these are for watching, and a
lost message hurts nobody. Nothing here grows with the time a run takes.
"""

import asyncio
import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from distributed import SchedulerPlugin, Worker, WorkerPlugin, get_worker

from flora.series import Rate, Series

TOPIC = "flora"
SLOWEST = 12
"""Lanes whose time left is told."""
_FIRST_SECONDS = 0.5
_DISK_SECONDS = 30.0
_DISK_POINTS = 60

State = Mapping[str, Any]
"""How a lane fares: its budget, `a_second`, `connections`, `megabits` (0 is no limit); `pace`, the
part of it that we dare to use now; `until`, Unix seconds, the end of a pause; `down`."""


@dataclass(slots=True)
class Totals:
    """The running sums of one stage."""

    units: int = 0
    units_done: int = 0
    failed: int = 0
    """Tries of units that failed, whether or not another one succeeded."""
    rows: int = 0
    bytes: int = 0
    todo: int = 0
    """Bytes that there are to do, where that is known."""
    refused: Counter[str] = field(default_factory=Counter)
    left: dict[str, float] = field(default_factory=dict)
    """lane -> seconds it still takes at least, the slowest first; empty where nobody knows"""

    def add(self, event: Mapping[str, Any]) -> None:
        """Add what one event of this stage says."""
        self.units = event.get("units", self.units)
        self.todo = event.get("todo", self.todo)
        self.units_done += event.get("units_done", 0)
        self.failed += event.get("failed", 0)
        self.rows += event.get("rows", 0)
        self.bytes += event.get("bytes", 0)
        if refused := event.get("refused"):
            self.refused.update(refused)
        self.left = event.get("left", self.left)


class Meter:
    """Counts what one unit does, for its worker to tell.

    Outside a worker that has the `Post` (in a test, a script) it only counts.
    """

    def __init__(self, stage: str) -> None:
        self.stage = stage
        self.totals = Totals()
        self._post: Post | None = None
        with contextlib.suppress(ValueError):
            self._post = get_worker().plugins.get(TOPIC)

    def count(self, *, rows: int = 0, bytes: int = 0, refused: str | None = None) -> None:
        """Count rows and bytes done, a refusal by its reason."""
        event = {"rows": rows, "bytes": bytes, "refused": {refused: 1} if refused else {}}
        self.totals.add(event)
        if self._post is not None:
            self._post.add(self.stage, event)

    @contextlib.contextmanager
    def watch(self, lane: str, state: Callable[[], State]) -> Generator[None]:
        """Have *state*, called from another thread, told as long as the block lasts."""
        lanes = self._post.lanes if self._post is not None else {}
        lanes[lane] = state
        try:
            yield
        finally:
            lanes.pop(lane, None)

    def tell_quota(self, engine: str, quota: Mapping[str, Any]) -> None:
        """Tell what an engine may still be asked today: `left` of `a_day` (None: no limit)."""
        if self._post is not None:
            self._post.quota[engine] = dict(quota)

    def flush(self) -> None:
        """Send what is pending now."""
        if self._post is not None:
            self._post.send()


class Post(WorkerPlugin):  # type: ignore[misc]
    """What all units of one worker have to tell, in one message a stage and beat."""

    name = TOPIC
    idempotent = True

    def setup(self, worker: Worker) -> None:
        """Begin to tell (called by the worker)."""
        if (
            multiprocessing.parent_process()
            and threading.current_thread() is threading.main_thread()
        ):
            # Ctrl-C reaches all processes of a terminal; it is for the driver to end the workers.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        self.lanes: dict[str, Callable[[], State]] = {}
        self.quota: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()
        self._pending: dict[str, Totals] = {}
        self._told: dict[str, Any] = {"lanes": {}, "quota": {}}
        self._log_event, self._heart = worker.log_event, worker.periodic_callbacks["heartbeat"]
        self._loop = asyncio.get_running_loop()
        self._beat = self._loop.call_later(_FIRST_SECONDS, self._tick)

    def teardown(self, worker: Worker) -> None:
        """Stop telling (called by the worker)."""
        self._beat.cancel()

    def add(self, stage: str, event: Mapping[str, Any]) -> None:
        """Add to what is pending, from any thread."""
        with self._lock:
            self._pending.setdefault(stage, Totals()).add(event)

    def send(self) -> None:
        """Send what is pending, from any thread."""
        with self._lock:
            pending, self._pending = self._pending, {}
            for stage, sums in pending.items():
                event = {"stage": stage, "rows": sums.rows, "bytes": sums.bytes}
                self._log_event(TOPIC, {**event, "refused": dict(sums.refused)})

    def _tick(self) -> None:
        self._beat = self._loop.call_later(self._heart.callback_time / 1000, self._tick)
        self.send()
        lanes = {lane: state() for lane, state in [*self.lanes.items()]}
        for name, value in (("lanes", lanes), ("quota", dict(self.quota))):
            if value != self._told[name]:
                self._told[name] = value
                self._log_event(TOPIC, {name: value})


@dataclass(slots=True)
class Stage:
    """One stage as the scheduler sees it."""

    folder: str
    began: float
    """Unix seconds. What was done before does not say how long the rest takes."""
    totals: Totals = field(default_factory=Totals)
    units_before: int = 0
    bytes_before: int = 0
    ended: float | None = None
    rows: Rate = field(init=False)
    bytes: Rate = field(init=False)
    series: Series = field(init=False)
    """rows, bytes, and each reason of a refusal"""

    def __post_init__(self) -> None:
        self.rows, self.bytes, self.series = Rate(self.began), Rate(self.began), Series(self.began)

    def left(self, now: float) -> tuple[float, str] | None:
        """Return the seconds left, and the lane if it is the least that one takes; or None."""
        totals, seconds = self.totals, now - self.began
        if self.ended is not None or totals.units_done >= totals.units:
            return None
        if totals.left:
            lane, least = next(iter(totals.left.items()))
            return least, lane
        if 0 < (fresh := totals.bytes - self.bytes_before) < totals.todo:
            return seconds / fresh * (totals.todo - fresh), ""
        if (fresh := totals.units_done - self.units_before) > 0:
            return seconds / fresh * (totals.units - totals.units_done), ""
        return None


@dataclass(slots=True)
class Hand:
    """What one worker says of itself."""

    rows: Rate
    lanes: Mapping[str, State] = field(default_factory=dict)


class Tally(SchedulerPlugin):  # type: ignore[misc]
    """What every stage did, kept on the scheduler for as long as it lives."""

    name = TOPIC
    idempotent = True

    def __init__(self) -> None:
        self.stages: dict[str, Stage] = {}
        self.hands: dict[str, Hand] = {}
        """address -> worker; those that are gone are out"""
        self.lost = 0
        """Workers that ended without being told to."""
        self.quota: dict[str, Mapping[str, Any]] = {}
        self.disks: dict[str, deque[tuple[float, Mapping[str, int]]]] = {}
        """folder -> (Unix seconds, what `disk` said), half a minute apart, the last half hour"""

    def log_event(self, topic: str, msg: Any) -> None:
        """Add one event, or forget a worker that is gone (called by the scheduler)."""
        if topic == TOPIC and isinstance(msg, Mapping):
            self.add(msg, time.time())
        elif topic == "all" and isinstance(msg, Mapping) and msg.get("action") == "remove-worker":
            self.hands.pop(msg["worker"], None)
            self.lost += not msg["expected"]

    def add(self, event: Mapping[str, Any], now: float) -> None:
        """Add one event that came at *now*, in Unix seconds."""
        self.quota.update(event.get("quota", {}))
        for folder, room in event.get("disk", {}).items():
            seen = self.disks.setdefault(folder, deque(maxlen=_DISK_POINTS))
            if len(seen) > 1 and now - seen[-2][0] < _DISK_SECONDS:
                seen.pop()
            seen.append((now, room))
        if worker := event.get("worker"):
            hand = self.hands.setdefault(worker, Hand(Rate(now)))
            hand.rows.add(now, event.get("rows", 0))
            hand.lanes = event.get("lanes", hand.lanes)
        if "stage" in event:
            self._stage(event, now).totals.add(event)

    def _stage(self, event: Mapping[str, Any], now: float) -> Stage:
        """Return the stage *event* is about, its rates and series with what that says."""
        name, folder = str(event["stage"]), event.get("folder")
        stage = self.stages.get(name)
        if stage is None or (folder is not None and stage.folder not in ("", folder)):
            stage = self.stages[name] = Stage(folder or "", now)
        if folder is not None:  # a job begins, perhaps where another one was killed
            stage.folder, stage.began, stage.ended = folder, now, None
            stage.totals.units_done, stage.units_before = 0, event.get("units_done", 0)
            stage.bytes_before = stage.totals.bytes
        if event.get("ended"):
            stage.ended, stage.totals.left = now, {}
        if "rows" in event:
            stage.rows.add(now, event["rows"])
            stage.bytes.add(now, event["bytes"])
            amounts = {"rows": event["rows"], "bytes": event["bytes"], **event.get("refused", {})}
            stage.series.add(now, amounts)
        return stage


def disk(folder: Path) -> dict[str, dict[str, int]]:
    """Return the room beside *folder*: bytes and files (inodes), free and in all, for an event.

    A file system without a limit of files says 0 in all.
    """
    room = os.statvfs(folder)
    return {
        str(folder.resolve().parent): {
            "free": room.f_bavail * room.f_frsize,
            "size": room.f_blocks * room.f_frsize,
            "files_free": room.f_favail,
            "files": room.f_files,
        }
    }
