"""Asking an API: one request after the other, at its rate, with its Retry-After obeyed."""

import asyncio
import json
import random
from collections.abc import Mapping
from typing import Any

import aiohttp

from crawler.config import CrawlerSettings, Politeness
from crawler.hosts import Host, retry_after
from crawler.net import ForbiddenAddressError, read
from flora.errors import StageError

_MAX_BYTES = 16_000_000


class Ask:
    """One source's API. Not for pictures: answers are small, trusted to be JSON, and few."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        source: str,
        requests_per_second: float,
        settings: CrawlerSettings,
    ) -> None:
        self._session, self._source, self._settings = session, source, settings
        politeness = Politeness(requests_per_second=requests_per_second, connections=1)
        self._host = Host(source, politeness)

    async def json(self, endpoint: str, params: Mapping[str, str]) -> Any:
        """Return the decoded answer.

        Raises StageError, saying what the server said, once the retries are used up, or at
        once for an answer that asking again cannot change (400, 401, 403, 404).
        """
        tries, why = self._settings.politeness.retries, ""
        for attempt in range(tries + 1):
            try:
                async with (
                    self._host.turn(),
                    self._session.get(endpoint, params=params, allow_redirects=True) as answer,
                ):
                    body = await read(answer, _MAX_BYTES)
                    if answer.status == 200:
                        return json.loads(body)
                    why = f"status {answer.status}: {body[:200].decode(errors='replace')}"
                    if answer.status not in (408, 429) and answer.status < 500:
                        break
                    wait = retry_after(answer.headers.get("Retry-After")) or 0.0
                    if wait > self._settings.politeness.longest_wait:
                        why += f" (it asks for {wait:.0f} s of patience)"
                        break
                    self._host.pause(wait)
            except ValueError:
                why = "the answer is not JSON"
            except (aiohttp.ClientError, ForbiddenAddressError, OSError, TimeoutError) as error:
                why = f"{type(error).__name__}: {error}"
            if attempt < tries:
                await asyncio.sleep(2**attempt * random.uniform(0.25, 0.75))
        raise StageError(f"{self._source}: {endpoint} does not answer ({why}).")
