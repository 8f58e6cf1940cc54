"""May we fetch this? robots.txt as RFC 9309 has it, one answer a host and scheme."""

import asyncio

import aiohttp
from protego import Protego
from yarl import URL

from crawler.hosts import Host
from crawler.net import BadUrlError, check_url, read
from flora.records import Refusal

_MAX_BYTES = 500 * 1024  # rules beyond are not read (RFC 9309, 2.5)
_MAX_REDIRECTS = 5
_PRODUCT = "worldflora"


class Robots:
    """The robots.txt files of a unit's hosts, each fetched once, when first needed."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self._rules: dict[str, asyncio.Task[Protego | None]] = {}

    async def refusal(self, url: URL, host: Host) -> Refusal | None:
        """Return why *url* may not be fetched, or None; a Crawl-delay slows *host* down.

        Raises what aiohttp raises where the host cannot be reached.
        """
        origin = str(url.origin())
        if origin not in self._rules:
            self._rules[origin] = asyncio.create_task(self._fetch(url, host))
        try:
            rules = await self._rules[origin]
        except (aiohttp.ClientError, OSError, TimeoutError):
            self._rules.pop(origin, None)  # the next try asks again
            raise
        if rules is None:
            return Refusal.ROBOTS_UNREACHABLE
        return None if rules.can_fetch(str(url), _PRODUCT) else Refusal.ROBOTS

    async def _fetch(self, url: URL, host: Host) -> Protego | None:
        """Return the host's rules; None after a server error, where RFC 9309 allows nothing."""
        target = url.with_path("/robots.txt").with_query(None)
        try:
            for _ in range(_MAX_REDIRECTS + 1):
                async with host.turn(), self._session.get(target, allow_redirects=False) as answer:
                    if answer.status in (301, 302, 303, 307, 308):
                        target = check_url(answer.headers.get("Location", ""), target)
                        continue
                    if answer.status >= 500:
                        return None
                    body = await read(answer, _MAX_BYTES) if answer.status == 200 else b""
                    return _parse(body, host)
            return _parse(b"", host)
        except BadUrlError:
            return _parse(b"", host)


def _parse(body: bytes, host: Host) -> Protego:
    rules = Protego.parse(body.decode("utf-8", errors="replace"))
    delay = rules.crawl_delay(_PRODUCT)
    if delay:
        host.slow_down(float(delay))
    return rules
