"""One host's budget: so many requests a second, so many connections, and pauses it asks for."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from email.utils import parsedate_to_datetime

from crawler.config import Politeness


class Host:
    """The budget of one host within the one unit that owns it."""

    def __init__(self, name: str, politeness: Politeness) -> None:
        self.name = name
        self._interval = 1 / politeness.requests_per_second
        self._connections = asyncio.Semaphore(politeness.connections)
        self._next = 0.0

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncGenerator[None]:
        """Wait for a connection and for the time of the next request, and hold the connection."""
        async with self._connections:
            await self._slot()
            yield

    def slow_down(self, interval: float) -> None:
        """Ask at most every *interval* seconds from now on (a Crawl-delay); never faster."""
        self._interval = max(self._interval, interval)

    def pause(self, seconds: float) -> None:
        """Ask nothing for *seconds* (a Retry-After)."""
        self._next = max(self._next, time.monotonic() + seconds)

    def paused(self) -> float:
        """Return the seconds until the host may be asked again."""
        return max(self._next - time.monotonic(), 0.0)

    async def _slot(self) -> None:
        # A pause may be announced while we sleep: look again before going.
        while True:
            now = time.monotonic()
            if now >= self._next:
                self._next = now + self._interval
                return
            await asyncio.sleep(self._next - now)


def retry_after(value: str | None) -> float | None:
    """Return the seconds a `Retry-After` header asks for (RFC 9110: a number or a date)."""
    if not value:
        return None
    try:
        return max(float(value), 0.0)
    except ValueError:
        pass
    try:
        return max(parsedate_to_datetime(value).timestamp() - time.time(), 0.0)
    except (ValueError, TypeError):
        return None
