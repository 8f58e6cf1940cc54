"""One host's budget: so many requests a second, connections, bits, and pauses it asks for.

The pace never exceeds the budget. It falls when the host answers with errors or ever more
slowly, and comes back as it recovers; a host that only fails is left alone for a while, then
given up until the next unit (a circuit breaker).
"""

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncGenerator
from email.utils import parsedate_to_datetime

from crawler.config import Budget

_EARLY = 0.02
"""Seconds a request may come before its time, to make up for one that came late."""
_MARGIN = 1.01
"""We stay this much below the budget: the host's clock is not ours."""
_TIRED = 10
"""Failures in a row after which a host is left alone for a while."""
_REST = 30.0
"""Seconds of the first rest; each further one is twice as long."""
_RESTS = 3
"""Rests in a row after which a host is given up."""
_SLOW_FACTOR, _SLOW_SECONDS = 5.0, 0.5
"""A host is slow when it takes so many times its best, and so much longer."""


class HostDownError(Exception):
    """The host is not to be asked now: it failed too often, or wants more patience than we have."""


class Host:
    """The budget of one host, or of one lane's share of it."""

    def __init__(
        self,
        name: str,
        budget: Budget,
        *,
        share: float = 1.0,
        patience: float = math.inf,
        room: asyncio.Semaphore | None = None,
    ) -> None:
        """*patience*: seconds we wait at most; *room*: what all hosts of a worker share."""
        self.name = name
        self._share, self._patience = share, patience
        self._interval = _MARGIN / (budget.requests_per_second * share)
        self._byte_seconds = 8e-6 / (budget.megabits * share) if budget.megabits else 0.0
        self._most = max(int(budget.connections * share), 1)
        self._connections = asyncio.Semaphore(self._most)
        self._room = room or asyncio.Semaphore(budget.connections)
        self._next = self._last = self._resume = self._paid = 0.0
        self._pace, self._slowed_at = 1.0, 0.0
        self._best, self._usual = math.inf, 0.0
        self._failures = self._rests = 0
        self._rested_at = 0.0
        self._down = False

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncGenerator[None]:
        """Wait for a connection and for the time of the next request, and hold the connection.

        Raises HostDownError where that time will not come within our patience.
        """
        async with self._connections:
            await self._wait_for_room()
            try:
                yield
            finally:
                self._room.release()

    async def _wait_for_room(self) -> None:
        """Take a time, wait for it, and take room in the worker at that moment."""
        at = max(self._next, time.monotonic() - _EARLY)
        self._next = at + self._interval / self._pace
        held = False
        while True:
            now = time.monotonic()
            # A pause may be announced while we wait, and a request before us may come late.
            gap = self._last + self._interval / self._pace - _EARLY
            wait = max(at, self._resume, gap) - now
            if self._down or wait > self._patience:
                if held:
                    self._room.release()
                raise HostDownError(self.name)
            if wait > 0:
                if held:
                    self._room.release()
                held = False
                await asyncio.sleep(wait)
            elif not held:
                await self._room.acquire()
                held = True
            else:
                self._last = now
                return

    async def taken(self, size: int) -> None:
        """Account for *size* bytes read, and wait where the host's bandwidth is used up."""
        if self._byte_seconds:
            now = time.monotonic()
            self._paid = max(self._paid, now - 1.0) + size * self._byte_seconds
            if self._paid > now:
                await asyncio.sleep(self._paid - now)

    def slow_down(self, interval: float) -> None:
        """Ask at most every *interval* seconds from now on (a Crawl-delay); never faster."""
        self._interval = max(self._interval, interval / self._share)

    def pause(self, seconds: float) -> None:
        """Ask nothing for *seconds* (a Retry-After)."""
        self._resume = max(self._resume, time.monotonic() + seconds)

    def answered(self, seconds: float) -> None:
        """Note that an answer began after *seconds*: the pace recovers, unless it gets slow."""
        self._failures = self._rests = 0
        self._best = min(self._best, seconds)
        self._usual += (seconds - self._usual) / 8
        if self._usual > self._best * _SLOW_FACTOR + _SLOW_SECONDS:
            self._slow(0.8)
        else:
            self._pace = min(self._pace + 0.1, 1.0)

    def failed(self, began: float, *, told: bool = False) -> None:
        """Note a failure of a request *began* at that time (monotonic): pace down, or rest.

        A host that *told* us how long to wait is not slowed down beyond that.
        """
        if not told:
            self._slow(0.5)
        if began < self._rested_at:
            return  # it was under way when the rest began, and tells nothing new
        self._failures += 1
        if self._failures >= _TIRED:
            self._rest()

    def state(self) -> dict[str, float]:
        """Return the budget and how it is used now, for the dashboard (flora.tally.State)."""
        pause = self._resume - time.monotonic()
        return {
            "a_second": round(_MARGIN / self._interval, 3),
            "connections": self._most,
            "megabits": round(8e-6 / self._byte_seconds, 3) if self._byte_seconds else 0,
            "pace": round(self._pace, 3),
            "until": round(time.time() + pause) if pause > 0 else 0,
            "down": self._down,
        }

    def give_another_chance(self) -> None:
        """Ask a host again that was given up: a new unit begins."""
        self._down, self._rests, self._failures = False, 0, 0

    def _slow(self, factor: float) -> None:
        now = time.monotonic()
        if now - self._slowed_at > 1.0:  # failures come in bunches; one bunch counts once
            self._slowed_at = now
            self._pace = max(self._pace * factor, 1 / 64)

    def _rest(self) -> None:
        if self._rests == _RESTS:
            self._down = True
            return
        self.pause(min(_REST * 2**self._rests, self._patience))
        self._rests += 1
        self._rested_at = self._resume
        self._failures = _TIRED - 1  # one more failure after it, and it rests again


def retry_after(value: str | None) -> float | None:
    """Return the seconds a `Retry-After` header asks for (RFC 9110: a number or a date)."""
    if not value:
        return None
    try:
        seconds = float(value)
        return seconds if 0 <= seconds < math.inf else None
    except ValueError:
        pass
    try:
        return max(parsedate_to_datetime(value).timestamp() - time.time(), 0.0)
    except (ValueError, TypeError, OverflowError):
        return None
