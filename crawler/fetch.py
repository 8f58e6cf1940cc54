"""One picture: its bytes, or the reason there are none.

Whatever a server does ends here as a `Fetched` with a status from the enum; nothing a server
sends raises.
"""

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

import aiohttp
from yarl import URL

from crawler import optout
from crawler.config import CrawlerSettings
from crawler.hosts import Host, HostDownError, retry_after
from crawler.memory import Memory
from crawler.net import BadUrlError, ForbiddenAddressError, check_url, read
from crawler.robots import Robots
from flora.pictures import FlawedPictureError, Picture, inspect
from flora.records import KEPT, Refusal

TRANSIENT = frozenset(
    {
        Refusal.DNS,
        Refusal.CONNECTION,
        Refusal.TIMEOUT,
        Refusal.HTTP_5XX,
        Refusal.RATE_LIMITED,
        Refusal.ROBOTS_UNREACHABLE,
    }
)
"""Refusals that may pass: tried again in the same run."""

_QUICK = 2**20
_HEADERS = {"Accept": "image/*", "Accept-Encoding": "identity"}
_REDIRECTS = (301, 302, 303, 307, 308)
_BY_STATUS = {
    204: Refusal.EMPTY,
    205: Refusal.EMPTY,
    401: Refusal.FORBIDDEN,
    403: Refusal.FORBIDDEN,
    404: Refusal.NOT_FOUND,
    410: Refusal.NOT_FOUND,
    429: Refusal.RATE_LIMITED,
    451: Refusal.FORBIDDEN,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What became of one URL."""

    url: str
    final_url: str
    status: str
    """`kept`, or a Refusal."""
    http_status: int | None = None
    data: bytes = b""
    picture: Picture | None = None


class _RefusedError(Exception):
    def __init__(self, refusal: Refusal, http_status: int | None = None) -> None:
        super().__init__(refusal)
        self.refusal = refusal
        self.http_status = http_status


class Fetcher:
    """Fetches the pictures of one unit, with what its worker shares."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        settings: CrawlerSettings,
        host: Callable[[str], Host],
        robots: Robots | None = None,
        memory: Memory | None = None,
    ) -> None:
        self._session = session
        self._settings = settings
        self._host = host
        self._robots = robots or Robots(session)
        self._memory = memory or Memory()
        self._opted_out = optout.listed(settings.opt_out) if settings.opt_out else None

    async def fetch(self, url: str) -> Fetched:
        """Return what became of *url*, after as many tries as the settings allow."""
        tries = self._settings.politeness.retries
        why = _RefusedError(Refusal.CONNECTION)
        for attempt in range(tries + 1):
            trail = [url]
            try:
                return await self._try(url, trail)
            except _RefusedError as error:
                if error.refusal != Refusal.HOST_DOWN or attempt == 0:
                    why = error  # what brought the host down says more than that it is down
                if error.refusal not in TRANSIENT:
                    break
            if attempt < tries:
                await asyncio.sleep(2**attempt * random.uniform(0.25, 0.75))
        return Fetched(
            url=url, final_url=trail[-1], status=why.refusal, http_status=why.http_status
        )

    async def _try(self, text: str, trail: list[str]) -> Fetched:
        """Follow *text* to its bytes; *trail* grows by each hop."""
        left, url, host, began = self._settings.net.timeout, None, None, 0.0
        hop = text
        try:
            for _ in range(self._settings.net.max_redirects + 1):
                url = check_url(hop, url)
                trail[-1] = str(url)
                if self._opted_out is not None and self._opted_out.hold(url):
                    raise _RefusedError(Refusal.OPTED_OUT)
                host = self._host(url.host or "")
                began = time.monotonic()
                refusal = await self._robots.refusal(url, host)
                if refusal is not None:
                    raise _RefusedError(refusal)
                async with host.turn():
                    began = time.monotonic()
                    answer = await self._get(url, host, left)
                    left = max(left - (time.monotonic() - began), 0.001)
                    if not isinstance(answer, str):
                        return Fetched(url=text, final_url=str(url), status=KEPT, http_status=200,
                                       data=answer, picture=await self._look(answer))  # fmt: skip
                hop = answer
                trail.append(hop.encode(errors="replace").decode())  # tables hold UTF-8 only
            raise _RefusedError(Refusal.REDIRECTS)
        except FlawedPictureError as error:
            raise _RefusedError(error.flaw, 200) from error
        except BadUrlError as error:
            raise _RefusedError(Refusal.BAD_URL) from error
        except ForbiddenAddressError as error:
            raise _RefusedError(Refusal.FORBIDDEN_ADDRESS) from error
        except HostDownError as error:
            raise _RefusedError(Refusal.HOST_DOWN) from error
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            refusal = _failure(error)
            if host is not None and refusal in TRANSIENT:
                host.failed(began)
            raise _RefusedError(refusal) from error

    async def _get(self, url: URL, host: Host, seconds: float) -> bytes | str:
        """Return the body of *url*, or where it redirects to."""
        began = time.monotonic()
        async with self._session.get(
            url,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=seconds),
            headers=_HEADERS,
            auto_decompress=False,
        ) as answer:
            if answer.status == 429 or answer.status >= 500:
                wait = retry_after(answer.headers.get("Retry-After"))
                host.pause(wait or 0.0)
                host.failed(began, told=bool(wait))
            else:
                host.answered(time.monotonic() - began)
            if answer.status in _REDIRECTS and "Location" in answer.headers:
                return answer.headers["Location"]
            if answer.status != 200:
                raise _RefusedError(_refusal(answer.status), answer.status)
            if optout.in_headers(answer.headers):
                raise _RefusedError(Refusal.OPTED_OUT, answer.status)
            return await self._body(answer, host)

    async def _body(self, answer: aiohttp.ClientResponse, host: Host) -> bytes:
        limit = self._settings.net.max_bytes
        if (answer.content_length or 0) > limit:
            raise _RefusedError(Refusal.TOO_BIG, answer.status)
        async with self._memory.place() as place:

            async def taken(size: int) -> None:
                await place(size)
                await host.taken(size)

            body = await read(answer, limit + 1, taken)
        if len(body) > limit:
            raise _RefusedError(Refusal.TOO_BIG, answer.status)
        return body

    async def _look(self, data: bytes) -> Picture:
        """Inspect *data*: at once if it is quickly done, else beside the event loop."""
        net = self._settings.net
        if len(data) < _QUICK:
            return inspect(data, max_pixels=net.max_pixels, min_side=net.min_side)
        async with self._memory.decoding:
            return await asyncio.to_thread(
                inspect, data, max_pixels=net.max_pixels, min_side=net.min_side
            )


def _failure(error: Exception) -> Refusal:
    """Return what an exception of aiohttp's (or below it) means."""
    if isinstance(error, TimeoutError):
        return Refusal.TIMEOUT
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        forbidden = isinstance(error.os_error, ForbiddenAddressError)
        return Refusal.FORBIDDEN_ADDRESS if forbidden else Refusal.DNS
    return Refusal.CONNECTION


def _refusal(status: int) -> Refusal:
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if 300 <= status < 400:
        return Refusal.REDIRECTS
    return Refusal.HTTP_5XX if status >= 500 else Refusal.HTTP_4XX
