"""What the fetch units of one worker process share: an event loop, and all it knows of hosts.

One loop in a thread of its own, one session (keep-alive, cached DNS, one TLS context), one
memory, and each host's budget and robots.txt, which outlive the units.
"""

import asyncio
import atexit
import functools
import gc
import threading
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from crawler import net
from crawler.config import CrawlerSettings
from crawler.hosts import Host
from crawler.memory import Memory
from crawler.robots import Robots

_DNS_THREADS = 32
_HOSTS_KEPT = 10_000

T = TypeVar("T")


class Shared:
    """What is shared under one set of settings. Made and used on the loop."""

    def __init__(self, settings: CrawlerSettings) -> None:
        self.settings = settings
        self.session = net.session(settings)
        self.robots = Robots(self.session)
        self.memory = Memory()
        self._room = asyncio.Semaphore(settings.connections)
        self._hosts: dict[tuple[str, str], Host] = {}

    def host(self, name: str, lane: str = "", share: float = 1.0) -> Host:
        """Return the budget of host *name*: all of it, or a *lane*'s *share*."""
        key = (name, lane)
        if key not in self._hosts:
            if len(self._hosts) > _HOSTS_KEPT:
                del self._hosts[next(iter(self._hosts))]
            self._hosts[key] = Host(
                name,
                self.settings.budget(name),
                share=share,
                patience=self.settings.politeness.longest_wait,
                room=self._room,
            )
        return self._hosts[key]


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run *work* on the process's loop, from any other thread, and return what it returns."""
    return asyncio.run_coroutine_threadsafe(work, _loop()).result()


async def shared(settings: CrawlerSettings) -> Shared:
    """Return what units under *settings* share; other settings begin anew."""
    global _current
    if _current is None or _current.settings != settings:
        _current = Shared(settings)
        _sessions.append(_current.session)
    return _current


_current: Shared | None = None
_sessions: list[Any] = []  # those of earlier settings may still be in use; closed at the end
_starting = threading.Lock()


def _loop() -> asyncio.AbstractEventLoop:
    with _starting:
        return _started()


@functools.cache
def _started() -> asyncio.AbstractEventLoop:
    # Requests leave cycles behind, and a worker holds a million objects that never change:
    # looking for garbage every 700 allocations takes a tenth of its time.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    loop = asyncio.new_event_loop()
    loop.set_default_executor(ThreadPoolExecutor(_DNS_THREADS, thread_name_prefix="dns"))
    threading.Thread(target=loop.run_forever, name="fetch", daemon=True).start()
    atexit.register(_stop, loop)
    return loop


def _stop(loop: asyncio.AbstractEventLoop) -> None:
    async def close() -> None:
        for session in _sessions:
            await session.close()

    asyncio.run_coroutine_threadsafe(close(), loop).result(timeout=5)
    loop.call_soon_threadsafe(loop.stop)
