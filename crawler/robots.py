"""May we fetch this? robots.txt as RFC 9309 has it, and the opt-outs that lie beside it.

One answer an origin (scheme, host, port), kept for a day.
"""

import asyncio
import time
from dataclasses import dataclass

import aiohttp
from protego import Protego
from yarl import URL

from crawler import optout
from crawler.hosts import Host, HostDownError, retry_after
from crawler.net import BadUrlError, check_url, read
from flora.records import Refusal

_MAX_BYTES = 500 * 1024  # rules beyond are not read (RFC 9309, 2.5)
_MAX_REDIRECTS = 5
_FRESH = 86_400.0  # RFC 9309, 2.4
_FRESH_FAILURE = 60.0
_KEPT = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What an origin allows; `allowed=None` is a server error, where nothing is allowed."""

    allowed: Protego | None
    delay: float = 0.0
    usage: tuple[tuple[str, bool], ...] = ()
    reserved: tuple[tuple[str, bool], ...] = ()

    def refusal(self, url: URL) -> Refusal | None:
        """Return why *url* may not be fetched, or None."""
        if self.allowed is None:
            return Refusal.ROBOTS_UNREACHABLE
        if not self.allowed.can_fetch(str(url), optout.PRODUCT):
            return Refusal.ROBOTS
        path = url.raw_path_qs
        if optout.reserves(self.usage, path) or optout.reserves(self.reserved, path):
            return Refusal.OPTED_OUT
        return None


class Robots:
    """The rules of a worker's origins, each asked for once, when first needed."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self._rules: dict[str, tuple[float, asyncio.Task[Rules]]] = {}

    async def refusal(self, url: URL, host: Host) -> Refusal | None:
        """Return why *url* may not be fetched, or None; a Crawl-delay slows *host* down.

        Raises what aiohttp raises where the host cannot be reached, and HostDownError.
        """
        rules = await self._of(url, host)
        if rules.delay:
            host.slow_down(rules.delay)
        return rules.refusal(url)

    async def _of(self, url: URL, host: Host) -> Rules:
        origin = str(url.origin())
        until, task = self._rules.get(origin, (0.0, None))
        if task is None or (task.done() and time.monotonic() > until):
            task = asyncio.create_task(self._ask(url, host))
            self._rules[origin] = (time.monotonic() + _FRESH, task)
            if len(self._rules) > _KEPT:
                del self._rules[next(iter(self._rules))]
        try:
            rules = await asyncio.shield(task)  # others wait for it, too
        except (aiohttp.ClientError, OSError, TimeoutError, HostDownError):
            self._rules.pop(origin, None)  # the next try asks again
            raise
        if rules.allowed is None and until == 0.0:
            self._rules[origin] = (time.monotonic() + _FRESH_FAILURE, task)
        return rules

    async def _ask(self, url: URL, host: Host) -> Rules:
        status, body = await self._get(url.with_path("/robots.txt").with_query(None), host)
        if status >= 500 or status == 429:
            return Rules(allowed=None)
        text = body.decode("utf-8-sig", errors="replace")
        allowed = Protego.parse(text)
        known = url.with_path("/.well-known/tdmrep.json").with_query(None)
        tdm = b""
        if allowed.can_fetch(str(known), optout.PRODUCT):
            status, tdm = await self._get(known, host)
        return Rules(
            allowed=allowed,
            delay=float(allowed.crawl_delay(optout.PRODUCT) or 0.0),
            usage=tuple(optout.usage_rules(text)),
            reserved=tuple(optout.tdm_rules(tdm)),
        )

    async def _get(self, target: URL, host: Host) -> tuple[int, bytes]:
        """Return status and body, redirects followed; 404 for an answer that is none."""
        try:
            for _ in range(_MAX_REDIRECTS + 1):
                async with host.turn(), self._session.get(target, allow_redirects=False) as answer:
                    if answer.status in (301, 302, 303, 307, 308):
                        target = check_url(answer.headers.get("Location", ""), target)
                        continue
                    if answer.status == 429:
                        host.pause(retry_after(answer.headers.get("Retry-After")) or 0.0)
                    found = answer.status == 200
                    return answer.status, await read(answer, _MAX_BYTES) if found else b""
        except BadUrlError:
            pass
        return 404, b""
