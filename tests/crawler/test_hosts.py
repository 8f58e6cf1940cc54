import asyncio
import time
from itertools import pairwise

import pytest

from crawler import hosts
from crawler.config import Budget, CrawlerSettings
from crawler.hosts import Host, HostDownError, retry_after


def times(host: Host, count: int, hold: float = 0.0) -> list[float]:
    """Return when each of *count* requests that want to start at once may start."""
    began: list[float] = []

    async def one() -> None:
        async with host.turn():
            began.append(time.monotonic())
            await asyncio.sleep(hold)

    async def all_() -> None:
        await asyncio.gather(*(one() for _ in range(count)))

    asyncio.run(all_())
    return began


def budget(rate: float, connections: int = 100) -> Budget:
    return Budget(requests_per_second=rate, connections=connections)


def test_requests_keep_their_distance() -> None:
    began = times(Host("h", budget(20.0)), 10)
    assert began[-1] - began[0] >= 9 / 20 - 0.02
    assert all(later - earlier >= 0.025 for earlier, later in pairwise(began))


def test_a_fast_host_is_asked_fast() -> None:
    began = times(Host("h", budget(1000.0)), 300)
    assert 0.25 <= began[-1] - began[0] <= 0.6


def test_no_more_connections_than_allowed() -> None:
    began = times(Host("h", budget(1000.0, connections=2)), 6, hold=0.1)
    assert began[-1] - began[0] >= 0.19


def test_lanes_split_one_budget() -> None:
    halves = [Host("h", budget(40.0, 4), share=0.5) for _ in range(2)]
    began = sorted(moment for half in halves for moment in times(half, 6))
    assert began[-1] - began[0] >= 2 * 5 / 20 - 0.05


def test_a_host_says_what_it_bears_and_how_it_fares() -> None:
    host = Host("h", Budget(requests_per_second=4.0, connections=4, megabits=8.0), share=0.5)
    calm = host.state()
    assert (calm["a_second"], calm["connections"], calm["megabits"]) == (2.0, 2, 4.0)
    assert (calm["pace"], calm["until"], calm["down"]) == (1.0, 0, False)
    host.slow_down(2.0)  # a Crawl-delay, of which half is this lane's
    host.failed(time.monotonic())
    host.pause(100.0)
    slowed = host.state()
    assert slowed["a_second"] == pytest.approx(0.25, rel=0.02)
    assert slowed["pace"] == 0.5
    assert slowed["until"] == pytest.approx(time.time() + 100, abs=2)


def test_a_pause_stops_everyone() -> None:
    async def body() -> float:
        host = Host("h", budget(100.0))
        host.pause(0.3)
        start = time.monotonic()
        async with host.turn():
            return time.monotonic() - start

    assert asyncio.run(body()) >= 0.29


def test_more_patience_than_we_have_is_not_waited_for() -> None:
    async def body() -> None:
        host = Host("h", budget(100.0), patience=5.0)
        host.pause(3600.0)
        async with host.turn():
            pass

    with pytest.raises(HostDownError):
        asyncio.run(body())


def test_errors_halve_the_pace_and_answers_bring_it_back() -> None:
    host = Host("h", budget(50.0))
    host.failed(time.monotonic())
    slow = times(host, 4)
    for _ in range(10):
        host.answered(0.01)
    fast = times(host, 4)
    assert slow[-1] - slow[0] > 1.5 * (fast[-1] - fast[0])


def test_a_host_that_gets_slow_is_asked_less() -> None:
    host = Host("h", budget(50.0))
    host.answered(0.05)
    before = times(host, 4)
    for _ in range(20):
        host.answered(3.0)
    after = times(host, 4)
    assert after[-1] - after[0] > 1.1 * (before[-1] - before[0])


def test_a_host_that_only_fails_is_left_alone_then_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hosts, "_REST", 0.01)

    async def body() -> int:
        host, asked = Host("h", budget(10_000.0)), 0
        try:
            while asked < 1000:
                async with host.turn():
                    asked += 1
                    host.failed(time.monotonic())
        except HostDownError:
            pass
        return asked

    assert asyncio.run(body()) == 10 + 3  # ten in a row, and one after each of three rests


def test_a_given_up_host_gets_another_chance_from_the_next_unit() -> None:
    async def body() -> None:
        host = Host("h", budget(1000.0), patience=0.05)
        for _ in range(100):
            host.failed(time.monotonic() + 60)
        with pytest.raises(HostDownError):
            async with host.turn():
                pass
        host.give_another_chance()
        await asyncio.sleep(0.1)
        async with host.turn():
            pass

    asyncio.run(body())


def test_bandwidth_is_shared_over_time() -> None:
    async def body() -> float:
        host = Host("h", Budget(requests_per_second=100.0, megabits=8.0))  # a megabyte a second
        start = time.monotonic()
        for _ in range(15):
            await host.taken(100_000)
        return time.monotonic() - start

    assert asyncio.run(body()) >= 0.4  # the first second's worth may come at once


def test_budgets_are_found_by_pattern() -> None:
    settings = CrawlerSettings(
        contact="tests@example.org", hosts={"*.museum.org": budget(3.0), "museum.org": budget(4.0)}
    )
    assert settings.budget("img.museum.org").requests_per_second == 3.0
    assert settings.budget("museum.org").requests_per_second == 4.0
    assert settings.budget("elsewhere.org") is settings.politeness


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("5", 5.0), ("0.5", 0.5), (None, None), ("", None), ("soon", None), ("-3", None),
     ("inf", None), ("nan", None), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0)],
)  # fmt: skip
def test_retry_after_is_a_number_or_a_date(header: str | None, seconds: float | None) -> None:
    assert retry_after(header) == seconds
