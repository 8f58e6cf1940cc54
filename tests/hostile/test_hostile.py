"""The corpus through a fetcher: each case by name. bench/hostile.py sends it through a worker."""

import asyncio
import dataclasses
import socket
import time
from functools import cache
from pathlib import Path

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from crawler import net
from crawler.fetch import Fetched, Fetcher
from crawler.hosts import Host
from crawler.net import ForbiddenAddressError, Resolver
from tests.crawler.server import settings
from tests.hostile.case import Case
from tests.hostile.cases import cases
from tests.hostile.page import page
from tests.hostile.server import Running, serve

CASES = {case.name: case for case in cases()}
TIMEOUT, MAX_BYTES = 3.0, 1_500_000


class SystemDns(AbstractResolver):
    """A name server in the hands of others: names lead to what each question brings next."""

    def __init__(self, answers: dict[str, list[list[str]]]) -> None:
        self._answers = answers

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        if host not in self._answers:
            raise OSError(f"{host}: no such name")
        found = self._answers[host]
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
            for address in (found.pop(0) if len(found) > 1 else found[0])
        ]

    async def close(self) -> None:
        pass


@cache
def outcome() -> tuple[dict[str, Fetched], dict[str, float], Running]:
    """Return what became of every case, how long it took, and the servers' tally."""
    return asyncio.run(_fetch_all())


async def _fetch_all() -> tuple[dict[str, Fetched], dict[str, float], Running]:
    answers = {place: answer for case in CASES.values() for place, answer in case.answers().items()}
    seconds: dict[str, float] = {}
    hosts: dict[str, Host] = {}
    async with serve(answers) as running:
        chosen = settings(running.port, timeout=TIMEOUT, max_bytes=MAX_BYTES)
        polite = dataclasses.replace(chosen.politeness, retries=1)
        chosen = dataclasses.replace(chosen, politeness=polite)

        def host(name: str) -> Host:
            return hosts.setdefault(name, Host(name, polite, patience=polite.longest_wait))

        async with net.session(chosen) as session:
            _system_dns(session.connector)
            fetcher = Fetcher(session, chosen, host)

            async def fetch(case: Case) -> Fetched:
                start = time.monotonic()
                found = await fetcher.fetch(case.address(running.witness))
                seconds[case.name] = time.monotonic() - start
                return found

            found = await asyncio.gather(*map(fetch, CASES.values()))
    return dict(zip(CASES, found, strict=True)), seconds, running


def _system_dns(connector: object) -> None:
    """Put the names of the corpus in place of the system's."""
    names = {case.host: [list(case.system_dns)] for case in CASES.values() if case.system_dns}
    names |= {name: [["127.0.0.1"]] for name in ("localhost", "localhost.", "127.0.0.1.")}
    resolver = connector._resolver  # type: ignore[attr-defined]
    assert isinstance(resolver, Resolver)
    resolver._system = SystemDns(names)  # type: ignore[assignment]


@pytest.mark.parametrize("name", CASES)
def test_each_case_ends_as_it_must(name: str) -> None:
    found = outcome()[0][name]
    assert found.status == CASES[name].expected, CASES[name].why or found.final_url


def test_nobody_ever_knocks_at_a_forbidden_address() -> None:
    assert outcome()[2].knocks == 0


def test_every_case_ends_in_time() -> None:
    slow = {name: round(took, 1) for name, took in outcome()[1].items() if took > 5 * TIMEOUT}
    assert not slow


def test_the_corpus_is_large_and_its_names_are_unique() -> None:
    names = [case.name for case in CASES.values()]
    assert len(names) >= 60
    assert len({case.host for case in CASES.values()}) == len(names)


def test_the_page_says_what_the_corpus_does() -> None:
    path = Path(__file__).parents[2] / "docs" / "hostile.md"
    again = "python -m tests.hostile.page > docs/hostile.md"
    assert path.read_text(encoding="utf-8") == page(CASES.values()), again


def test_of_a_mixed_answer_only_public_addresses_are_used() -> None:
    async def body() -> None:
        resolver = Resolver({})
        resolver._system = SystemDns({"mixed.example": [["10.0.0.1", "8.8.8.8", "::1"]]})  # type: ignore[assignment]
        found = await resolver.resolve("mixed.example", 80)
        assert [each["host"] for each in found] == ["8.8.8.8"]

    asyncio.run(body())


def test_a_name_that_turns_inward_is_refused_when_it_does() -> None:
    async def body() -> None:
        resolver = Resolver({})
        resolver._system = SystemDns({"turns.example": [["8.8.8.8"], ["127.0.0.1"]]})  # type: ignore[assignment]
        assert (await resolver.resolve("turns.example", 80))[0]["host"] == "8.8.8.8"
        with pytest.raises(ForbiddenAddressError):
            await resolver.resolve("turns.example", 80)

    asyncio.run(body())
