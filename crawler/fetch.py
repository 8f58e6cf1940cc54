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

from crawler.config import CrawlerSettings
from crawler.hosts import Host, retry_after
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

_REDIRECTS = (301, 302, 303, 307, 308)
_BY_STATUS = {
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
    """Fetches the pictures of one unit."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        settings: CrawlerSettings,
        host: Callable[[str], Host],
    ) -> None:
        self._session = session
        self._settings = settings
        self._host = host
        self._robots = Robots(session)

    async def fetch(self, url: str) -> Fetched:
        """Return what became of *url*, after as many tries as the settings allow."""
        tries = self._settings.politeness.retries
        for attempt in range(tries + 1):
            trail = [url]
            try:
                return await self._try(url, trail)
            except _RefusedError as error:
                refusal, http_status = error.refusal, error.http_status
            if refusal not in TRANSIENT or attempt == tries:
                break
            if not await self._wait(trail[-1], attempt):
                break
        return Fetched(url=url, final_url=trail[-1], status=refusal, http_status=http_status)

    async def _try(self, text: str, trail: list[str]) -> Fetched:
        """Follow *text* to its bytes; *trail* grows by each hop."""
        net = self._settings.net
        left, url = net.timeout, None
        try:
            for _ in range(net.max_redirects + 1):
                url = check_url(trail[-1], url)
                trail[-1] = str(url)
                host = self._host(url.host or "")
                refusal = await self._robots.refusal(url, host)
                if refusal is not None:
                    raise _RefusedError(refusal)
                async with host.turn():
                    start = time.monotonic()
                    answer = await self._get(url, left)
                    left = max(left - (time.monotonic() - start), 0.001)
                if isinstance(answer, str):
                    trail.append(answer)
                    continue
                picture = inspect(answer, max_pixels=net.max_pixels, min_side=net.min_side)
                return Fetched(url=text, final_url=str(url), status=KEPT, http_status=200,
                               data=answer, picture=picture)  # fmt: skip
            raise _RefusedError(Refusal.REDIRECTS)
        except FlawedPictureError as error:
            raise _RefusedError(error.flaw, 200) from error
        except BadUrlError as error:
            raise _RefusedError(Refusal.BAD_URL) from error
        except ForbiddenAddressError as error:
            raise _RefusedError(Refusal.FORBIDDEN_ADDRESS) from error
        except TimeoutError as error:
            raise _RefusedError(Refusal.TIMEOUT) from error
        except aiohttp.ClientConnectorDNSError as error:
            forbidden = isinstance(error.os_error, ForbiddenAddressError)
            raise _RefusedError(Refusal.FORBIDDEN_ADDRESS if forbidden else Refusal.DNS) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _RefusedError(Refusal.CONNECTION) from error

    async def _get(self, url: URL, seconds: float) -> bytes | str:
        """Return the body of *url*, or where it redirects to."""
        timeout = aiohttp.ClientTimeout(total=seconds)
        headers = {"Accept": "image/*", "Accept-Encoding": "identity"}
        async with self._session.get(
            url, allow_redirects=False, timeout=timeout, headers=headers, auto_decompress=False
        ) as answer:
            if answer.status in _REDIRECTS and "Location" in answer.headers:
                return answer.headers["Location"]
            if answer.status == 429 or answer.status >= 500:
                self._obey(url, answer)
            if answer.status != 200:
                raise _RefusedError(_refusal(answer.status), answer.status)
            tags = ",".join(answer.headers.getall("X-Robots-Tag", [])).lower()
            if "noai" in tags or "noimageai" in tags:
                raise _RefusedError(Refusal.OPTED_OUT, answer.status)
            return await self._body(answer)

    async def _body(self, answer: aiohttp.ClientResponse) -> bytes:
        limit = self._settings.net.max_bytes
        if (answer.content_length or 0) > limit:
            raise _RefusedError(Refusal.TOO_BIG, answer.status)
        body = await read(answer, limit + 1)
        if len(body) > limit:
            raise _RefusedError(Refusal.TOO_BIG, answer.status)
        return body

    def _obey(self, url: URL, answer: aiohttp.ClientResponse) -> None:
        """Pause the whole host for as long as it asks."""
        seconds = retry_after(answer.headers.get("Retry-After"))
        if seconds:
            self._host(url.host or "").pause(seconds)

    async def _wait(self, url: str, attempt: int) -> bool:
        """Wait before another try; False if the host asks for more patience than we have."""
        longest = self._settings.politeness.longest_wait
        if self._host(URL(url).host or "").paused() > longest:
            return False
        await asyncio.sleep(min(2**attempt * random.uniform(0.25, 0.75), longest))
        return True


def _refusal(status: int) -> Refusal:
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if 300 <= status < 400:
        return Refusal.REDIRECTS
    return Refusal.HTTP_5XX if status >= 500 else Refusal.HTTP_4XX
