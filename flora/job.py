"""The open units of one stage on their way through the cluster.

So many at once as the workers bear, one a lane, the longest lanes first; failures are tried
again, and what has to wait closes its lane.
"""

from __future__ import annotations

import contextlib
import json
import math
import shutil
import threading
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Mapping, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any

from distributed import Client, Future, secede, wait

from flora.console import Progress, size
from flora.errors import (
    ConfigError,
    ContractError,
    DiskFullError,
    FloraError,
    LaterError,
    StageError,
    is_disk_full,
)
from flora.ledger import Ledger, Receipt
from flora.tally import SLOWEST, TOPIC, Totals, disk

if TYPE_CHECKING:
    from flora.stage import Outcome, Unit

TRIES = 3
"""How often a failing unit is tried in one run."""

IN_HAND = 16
"""Units that mostly wait, in the hands of one worker."""

_MOMENT = 0.25
_MORE_SECONDS = 2.0

GIVE_UP = 5
"""Failed units after which a run ends early, if none succeeded before."""


class Job:
    """What one stage has to do now."""

    def __init__(
        self,
        client: Client,
        stage: str,
        ledger: Ledger,
        work: Callable[[Any], Outcome],
        totals: Totals,
        more: Callable[[], Sequence[Unit] | None] | None,
        stopped: threading.Event,
    ) -> None:
        self.client, self.stage, self.ledger, self.work = client, stage, ledger, work
        self.totals, self.more, self.stopped = totals, more, stopped
        self.asked_for_more = -math.inf
        self.tries: dict[str, int] = {}
        self.flying: dict[Future, Unit] = {}
        self.homes: dict[str, str] = {}
        """lane, or unit without one -> its worker, with the connections that are open there"""
        self.began: dict[str, float] = {}
        self.failed: dict[str, str] = {}
        self.later: dict[str, str] = {}
        """unit -> why it has to wait"""

    def run(self, units: Sequence[Unit]) -> dict[str, Receipt]:
        """Do *units* and return their receipts. Raises StageError if some remain."""
        waiting, done = _by_lane(units), dict[str, Receipt]()
        totals, folder = self.totals, self.ledger.folder
        self._announce(folder=str(folder), units=totals.units, units_done=totals.units_done,
                       todo=totals.todo, disk=disk(folder))  # fmt: skip
        self.client.subscribe_topic(TOPIC, self._hear)
        with Progress(self.stage, self.totals) as progress, self._calling_off():
            while (waiting or self.flying or self.more) and not self._hopeless(done):
                for unit in self._next(waiting):
                    self._submit(unit)
                future = self._landed()
                if future is None:
                    self._meanwhile(progress, waiting)
                    continue
                unit = self.flying.pop(future)
                if future.status == "finished":
                    done[unit.name] = future.result()
                    self._count(done)
                    self._announce(units_done=1)
                elif self._again(unit, future.exception(), future.traceback(), waiting):
                    waiting.insert(0, unit)
                future.release()
        self._complain(done)
        return done

    def _complain(self, done: Mapping[str, Receipt]) -> None:
        """Raise what remains to be said if units remain."""
        if self.failed:
            name, why = next(iter(self.failed.items()))
            others = "The others are done" if done else "None succeeded"
            if self._hopeless(done):
                others = "The rest was not tried"
            raise StageError(
                f"{self.stage}: {len(self.failed)} of {self.totals.units} units failed, "
                f"{name} with: {why} {others}; the same command goes on. "
                f"Details: {self.ledger.folder / 'log.jsonl'}"
            )
        if self.later:
            reasons = " ".join(dict.fromkeys(self.later.values()))
            raise LaterError(
                f"{self.stage}: {len(self.later)} of {self.totals.units} units have to wait. "
                f"{reasons} The same command goes on then."
            )

    def _next(self, waiting: list[Unit]) -> Generator[Unit]:
        """Take from *waiting* what may start now: so many as the workers bear, one a lane."""
        workers = max(len(self.client.nthreads()), 1)
        room = {True: IN_HAND * workers, False: 2 * workers}  # one in work, one at hand
        for unit in self.flying.values():
            room[unit.waits] -= 1
        lanes = {unit.lane for unit in self.flying.values() if unit.lane}
        for unit in list(waiting):
            if room[unit.waits] > 0 and unit.lane not in lanes:
                waiting.remove(unit)
                lanes.update({unit.lane} - {""})
                room[unit.waits] -= 1
                yield unit

    def _submit(self, unit: Unit) -> None:
        self.tries[unit.name] = self.tries.get(unit.name, 0) + 1
        self.began[unit.name] = time.monotonic()
        key = f"{self.stage}-{unit.name}-{unit.recipe}-{self.tries[unit.name]}"
        where: dict[str, Any] = {}
        if unit.waits:
            home = self._home(unit)
            where = {"workers": [home], "allow_other_workers": True}
        future = self.client.submit(
            _perform, self.ledger, unit, self.work, key=key, pure=False, **where
        )
        self.flying[future] = unit

    def _home(self, unit: Unit) -> str:
        """Return the worker that knows the lane of *unit*, or the one with the least in hand."""
        workers = self.client.nthreads()
        home = self.homes.get(unit.lane or unit.name, "")
        if home not in workers:
            busy = Counter(self.homes.get(each.lane or each.name) for each in self.flying.values())
            home = str(min(workers, key=lambda worker: busy[worker]))
            self.homes[unit.lane or unit.name] = home
        return home

    def _landed(self) -> Future | None:
        """Return a future that has ended, or None after a moment. Raises StageError if told to."""
        for _ in range(2):
            for future in self.flying:
                if future.done():
                    return future
            if self.stopped.is_set():
                raise StageError(f"{self.stage}: stopped.")
            if self.flying:
                with contextlib.suppress(TimeoutError):
                    wait(list(self.flying), timeout=_MOMENT, return_when="FIRST_COMPLETED")
            else:
                time.sleep(_MOMENT)
        return None

    def _meanwhile(self, progress: Progress, waiting: list[Unit]) -> None:
        """Show where the stage stands; take in units that have come up."""
        if progress.due():
            self._reckon(waiting)
            progress.tick()
        if self.more is None or time.monotonic() - self.asked_for_more < _MORE_SECONDS:
            return
        fresh = self.more()
        self.asked_for_more = time.monotonic()
        if fresh is None:
            self.more = None
        elif fresh:
            waiting[:] = _by_lane([*waiting, *fresh])
            self.totals.units += len(fresh)
            self.ledger.plan(self.stage, self.totals.units)
            self._announce(units=self.totals.units)

    def _reckon(self, waiting: list[Unit]) -> None:
        """Work out how long each lane still takes at least."""
        now, left = time.monotonic(), defaultdict[str, float](float)
        for unit in self.flying.values():
            left[unit.lane or unit.name] += max(unit.seconds - now + self.began[unit.name], 0.0)
        for unit in waiting:
            left[unit.lane or unit.name] += unit.seconds
        slowest = sorted(left.items(), key=lambda item: -item[1])[:SLOWEST]
        self.totals.left = {lane: seconds for lane, seconds in slowest if seconds > 0}
        self._announce(left=self.totals.left, disk=disk(self.ledger.folder))

    def _again(
        self, unit: Unit, error: BaseException, tb: TracebackType | None, waiting: list[Unit]
    ) -> bool:
        """Write down a failure and say whether *unit* gets another try."""
        if isinstance(error, LaterError):  # and so have all that would do the same
            same = [other for other in waiting if unit.lane and other.lane == unit.lane]
            for other in [unit, *same]:
                self.later[other.name] = str(error)
            waiting[:] = [other for other in waiting if other not in same]
            return False
        self._announce(failed=1)
        why = str(error) if isinstance(error, FloraError) else f"{type(error).__name__}: {error}"
        why = why.strip().rstrip(".") + "."
        entry = {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "unit": unit.name,
            "error": why,
            "traceback": traceback.format_tb(tb),
        }
        if isinstance(error, DiskFullError):
            raise error
        with (self.ledger.folder / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(entry, ensure_ascii=False) + "\n")
        if isinstance(error, (ContractError, ConfigError)):
            raise error
        if self.tries[unit.name] < TRIES:
            return True
        self.failed[unit.name] = why
        return False

    def _count(self, done: Mapping[str, Receipt]) -> None:
        """Count a finished unit; rows that no meter told of, too."""
        self.totals.units_done += 1
        receipted = sum(receipt.rows for receipt in done.values())
        self.totals.rows = max(self.totals.rows, receipted)

    def _hopeless(self, done: Mapping[str, Receipt]) -> bool:
        """Tell whether the first units all failed: then the rest would (no network, say)."""
        return len(self.failed) >= GIVE_UP and not done

    def _announce(self, **event: Any) -> None:
        self.client.log_event(TOPIC, {"stage": self.stage, **event})

    def _hear(self, event: tuple[float, dict[str, Any]]) -> None:
        message = event[1]
        if message.get("stage") == self.stage and "rows" in message:
            self.totals.add(message)

    @contextlib.contextmanager
    def _calling_off(self) -> Generator[None]:
        """Cancel what still flies when the stage ends early."""
        try:
            yield
        finally:
            self._announce(ended=True)
            self.client.unsubscribe_topic(TOPIC)
            for future in self.flying:
                future.cancel(force=True, reason="the stage ended", msg=None)


def _by_lane(units: Sequence[Unit]) -> list[Unit]:
    """Return *units* with those first whose lanes take longest."""
    lanes = defaultdict[str, float](float)
    for unit in units:
        lanes[unit.lane or unit.name] += unit.seconds
    return sorted(units, key=lambda unit: -lanes[unit.lane or unit.name])


def _perform(ledger: Ledger, unit: Unit, work: Callable[[Any], Outcome]) -> Receipt:
    """Do *unit*, on a worker, and write its receipt last."""
    if unit.waits:
        secede()  # the worker takes on others meanwhile
    start, outcome = time.monotonic(), None
    try:
        outcome = work(unit.task)
    except Exception as error:
        if not is_disk_full(error):
            raise
    if outcome is None:  # raised out here, bare: not every chain of errors survives pickling
        free = size(shutil.disk_usage(ledger.folder).free)
        raise DiskFullError(
            f"{ledger.folder}: the disk is full ({free} free; or a quota is used up). "
            "Make room; the same command goes on where this one stopped."
        )
    receipt = Receipt(
        unit=unit.name,
        recipe=unit.recipe,
        rows=outcome.rows,
        bytes=outcome.bytes,
        refused=outcome.refused,
        seconds=round(time.monotonic() - start, 3),
        finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
        detail=outcome.detail,
    )
    ledger.write(receipt)
    return receipt
