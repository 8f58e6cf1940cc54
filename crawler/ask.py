"""Asking an API: one request after the other, at its rate, within its quota, its key kept secret.

An answer that only one name is to blame for (400, 404, no JSON) counts as empty and is noted;
several in a row mean that the engine itself is out of order. Whatever was a key is blanked out
of every answer before it is read, and so of every message, candidate and receipt.
"""

import asyncio
import html
import json
import os
import random
import re
from collections import Counter
from collections.abc import Callable, Mapping
from enum import Enum, auto
from typing import Any, Protocol
from urllib.parse import quote, quote_plus

import aiohttp
from yarl import URL

from crawler.config import CrawlerSettings, Politeness
from crawler.hosts import Host, retry_after
from crawler.net import ForbiddenAddressError, read
from crawler.terms import Engine
from flora.errors import ConfigError, LaterError, StageError

_MAX_BYTES = 16_000_000
_IN_A_ROW = 5
_NO_JSON = "the answer is no JSON object"
_REDIRECTS = (301, 302, 303, 307, 308)
_USED_UP = re.compile(
    r"daily_?limit_?exceeded|rate_?limit_?exceeded|resource_exhausted|quota_limited"
    r"|quota (?:was |is |has been )?(?:exceeded|reached|used)|exceed(?:ed)? (?:\w+ ){0,4}quota"
    r"|out of (?:searches|credits|call volume)|(?:not enough|insufficient|no more) credits",
    re.IGNORECASE,
)
_SOON = re.compile(r"per (?:\w+ )?(?:second|minute)", re.IGNORECASE)

Answer = dict[str, Any]


class Fault(Enum):
    """What is wrong with an answer, by what there is to be done."""

    PASSING = auto()
    """Asking again may help."""
    ODD = auto()
    """This one question has no answer."""
    KEY = auto()
    """We may not ask: the key is wrong, or there must be one."""
    QUOTA = auto()
    """Not today."""


class Quota(Protocol):
    """A budget of requests."""

    def spend(self) -> None:
        """Take one. Raises LaterError if none is left."""


class Ask:
    """One source's API. Not for pictures: answers are small, trusted to be JSON, and few."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        source: str,
        terms: Engine,
        settings: CrawlerSettings,
        quota: Quota | None = None,
    ) -> None:
        self.odd: Counter[str] = Counter()
        """Questions that got no answer, by why."""
        self.headers: dict[str, str] = {}
        """Sent with every request from now on."""
        self._session, self._source, self._settings = session, source, settings
        self._quota = quota
        politeness = Politeness(requests_per_second=terms.requests_per_second, connections=1)
        self._host = Host(source, politeness)
        self._keys: list[str] = []
        self._secrets: dict[str, re.Pattern[str]] = {}
        self._odd_in_a_row = 0

    def state(self) -> dict[str, float]:
        """Return how fast it may be asked, for the dashboard."""
        return self._host.state()

    def key(self, name: str) -> str:
        """Return the environment variable *name*, a secret. Raises ConfigError if it is unset."""
        value = self.key_if_set(name)
        if value is None:
            raise ConfigError(
                f"{self._source} needs a key, and the environment variable {name} has none. "
                f"Export it, or take {self._source} out of crawler.sources."
            )
        return value

    def key_if_set(self, name: str) -> str | None:
        """Return the environment variable *name*, a secret, or None."""
        value = os.environ.get(name, "").strip()
        if not value:
            return None
        if name not in self._keys:
            self._keys.append(name)
        self.conceal(value)
        return value

    def conceal(self, secret: str) -> None:
        """Blank *secret* out of whatever is said from now on, however it is written."""
        letters = "".join(f"(?:{'|'.join(map(re.escape, _spellings(c)))})" for c in secret)
        self._secrets.setdefault(secret, re.compile(letters, re.IGNORECASE))

    async def json(
        self,
        endpoint: str,
        params: Mapping[str, str] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        form: Mapping[str, str] | None = None,
        judge: Callable[[Answer], Fault | None] | None = None,
    ) -> Answer:
        """Return the decoded answer; an empty one where this question has none, noted in `odd`.

        With *body* (sent as JSON) or *form*, POST. *judge* finds the fault in answers that say
        200 and are none. Raises LaterError where a quota is used up, ConfigError for a key that
        is not taken, StageError, saying what the server said, for everything else.
        """
        extra = {"json": body} if body is not None else {"data": form} if form is not None else {}
        fault, why, tries = Fault.PASSING, "", self._settings.politeness.retries
        for attempt in range(tries + 1):
            try:
                status, wait, text = await self._send(endpoint, params, headers, extra)
            except (aiohttp.ClientError, ForbiddenAddressError, OSError, TimeoutError) as error:
                fault, why = Fault.PASSING, f"{type(error).__name__}: {error}"
            else:
                answer, why = _decode(status, text)
                found = judge(answer) if judge and answer is not None else None
                if answer is not None and found is None:
                    self._odd_in_a_row = 0
                    return answer
                fault = found or _fault(status, text)
                why += f" (it asks for {wait:.0f} s of patience)" if wait else ""
                if wait > self._settings.politeness.longest_wait:
                    fault = Fault.QUOTA
                self._host.pause(min(wait, self._settings.politeness.longest_wait))
            if fault is not Fault.PASSING:
                break
            if attempt < tries:
                await asyncio.sleep(2**attempt * random.uniform(0.25, 0.75))
        return self._give_up(endpoint, fault, why)

    def _give_up(self, endpoint: str, fault: Fault, why: str) -> Answer:
        """Return the empty answer if *fault* is one name's; raise what it is otherwise."""
        why = self._clean(why)[:300]
        where = f"{self._source}: {self._clean(endpoint)}"
        if fault is Fault.QUOTA or (fault is Fault.PASSING and why.startswith("status 429")):
            raise LaterError(f"{where} has nothing left for us now ({why}). Go on another day.")
        if fault is Fault.KEY and self._keys:
            names = " and ".join(self._keys)
            raise ConfigError(f"{where} does not take the key ({why}). Look at {names}.")
        if fault is Fault.ODD or why.startswith(_NO_JSON):
            self._odd_in_a_row += 1
            if self._odd_in_a_row < _IN_A_ROW:
                self.odd[why.partition(":")[0]] += 1
                return {}
            why = f"{_IN_A_ROW} names in a row; {why}"
        raise StageError(f"{where} does not answer ({why}).")

    async def _send(
        self,
        endpoint: str,
        params: Mapping[str, str] | None,
        headers: Mapping[str, str] | None,
        extra: Mapping[str, Any],
    ) -> tuple[int, float, str]:
        """Return status, seconds of patience asked for, and text; follow redirects to the host.

        Anywhere else the key, in a header or in the address, would go to a stranger.
        """
        url = URL(endpoint).update_query(params) if params else URL(endpoint)
        sent = {**self.headers, **(headers or {})}
        method = "POST" if extra else "GET"
        for _ in range(self._settings.net.max_redirects + 1):
            async with self._host.turn():
                if self._quota is not None:
                    self._quota.spend()
                async with self._session.request(
                    method, url, headers=sent, allow_redirects=False, **extra
                ) as answer:
                    text = self._clean((await read(answer, _MAX_BYTES)).decode("utf-8", "replace"))
                    location = answer.headers.get("Location", "")
                    if answer.status not in _REDIRECTS:
                        wait = retry_after(answer.headers.get("Retry-After")) or 0.0
                        return answer.status, wait, text
            url = self._next(url, location)
        raise StageError(f"{self._source}: {self._clean(endpoint)} redirects without end.")

    def _next(self, url: URL, location: str) -> URL:
        try:
            target = url.join(URL(location))
        except ValueError:
            target = URL()
        if target.host != url.host or target.scheme not in (url.scheme, "https") or target.user:
            raise StageError(
                f"{self._source}: {url.host} redirects to {self._clean(location)[:200]!r}, where "
                "a key must not follow. Set the endpoint to where the API is now."
            )
        return target

    def _clean(self, text: str) -> str:
        for pattern in self._secrets.values():
            text = pattern.sub("***", text)
        return text


def _spellings(letter: str) -> list[str]:
    """Return how a character may be written: plainly, in a URL, in HTML, in JSON."""
    return sorted(
        {
            *(letter, quote(letter, safe=""), quote_plus(letter, safe="")),
            *(html.escape(letter), json.dumps(letter)[1:-1]),
            *(["\\/"] if letter == "/" else []),
        },
        key=len,
        reverse=True,
    )


def _decode(status: int, text: str) -> tuple[Answer | None, str]:
    """Return the answer, if it is one, and what to say of it if something is wrong."""
    if status != 200:
        return None, f"status {status}: {text[:200]}"
    try:
        answer = json.loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        return None, f"{_NO_JSON}: {text[:100]}"
    return answer, f"it says: {text[:200]}"


def _fault(status: int, text: str) -> Fault:
    refused = status in (400, 402, 403, 429)
    if status == 402 or (refused and _USED_UP.search(text) and not _SOON.search(text)):
        return Fault.QUOTA
    if status in (401, 403):
        return Fault.KEY
    if 400 <= status < 500 and status not in (408, 429):
        return Fault.ODD
    return Fault.PASSING
