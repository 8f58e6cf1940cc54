import random
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from bench import loopback, polite
from bench.kills import asked_again
from bench.loopback import Web
from bench.server import Hit, Rule
from flora.pictures import inspect

SLOW = Rule(refuse_every=3, retry_after=7)


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    pictures = loopback.photographs(2, size=(96, 72))
    folder = tmp_path_factory.mktemp("web")
    with Web(pictures, folder=folder, rules={"127.0.0.2": SLOW}) as web:
        yield web


def ask(web: Web, address: str, path: str, *, tls: bool = False) -> bytes:
    url = f"https://{address}:{web.https}" if tls else f"http://{address}:{web.http}"
    context = ssl.create_default_context(cafile=web.bundle) if tls else None
    with urllib.request.urlopen(url + path, context=context) as answer:
        return bytes(answer.read())


def site(rate: float, connections: int, rule: Rule = SLOW) -> polite.Site:
    return polite.Site(
        name="a", images=1, requests_per_second=rate, connections=connections, rule=rule
    )


def hit(at: float, *, path: str = "/1.jpg", under_way: int = 1, status: int = 200) -> Hit:
    return Hit(at=at, until=at + 0.01, host="a", path=path, under_way=under_way, status=status)


def test_every_url_is_a_whole_picture_of_its_own(web: Web) -> None:
    found = {ask(web, "127.0.0.1", f"/{number}.jpg", tls=number > 2) for number in range(5)}
    assert len(found) == 5
    for data in found:
        picture = inspect(data, max_pixels=10**6, min_side=64)
        assert (picture.width, picture.height) == (96, 72)


def test_the_server_writes_down_what_was_asked_and_when(web: Web) -> None:
    web.hits()
    ask(web, "127.0.0.3", "/robots.txt")
    ask(web, "127.0.0.3", "/8.jpg")
    assert web.count() == 2
    hits = web.hits()
    assert [(each.host, each.path, each.status) for each in hits] == [
        ("127.0.0.3", "/robots.txt", 200),
        ("127.0.0.3", "/8.jpg", 200),
    ]
    assert hits[0].at < hits[0].until < hits[1].at < hits[1].until
    assert web.count() == 0 and web.cpu() > 0


def test_a_host_that_turns_requests_away_says_for_how_long(web: Web) -> None:
    ask(web, "127.0.0.2", "/1.jpg")
    ask(web, "127.0.0.2", "/2.jpg")
    with pytest.raises(urllib.error.HTTPError) as caught:
        ask(web, "127.0.0.2", "/3.jpg")
    with caught.value as refusal:
        assert (refusal.code, refusal.headers["Retry-After"]) == (429, "7")


def test_the_judge_counts_requests_in_every_window_and_at_once() -> None:
    steady = [hit(number / 2) for number in range(100)]
    assert polite.judge([site(2.0, 1)], steady) == {"a": []}
    hasty = [hit(number / 2.4) for number in range(100)]
    assert polite.judge([site(2.0, 1)], hasty)["a"]
    crowd = [hit(1.0), hit(1.1, under_way=2), hit(1.2, under_way=3)]
    assert len(polite.judge([site(2.0, 2)], crowd)["a"]) == 1


def test_the_judge_minds_a_request_before_the_pause_is_over() -> None:
    asked = [hit(0.0, status=429), hit(0.05), hit(5.0), hit(7.5)]
    assert len(polite.judge([site(2.0, 2)], asked)["a"]) == 1


def test_the_slowest_of_the_simulated_hosts_takes_as_long_as_it_should() -> None:
    found = polite.sites(20_000, 120.0, random.Random(1))
    assert len(found) == polite.HOSTS
    assert max(each.seconds for each in found) == pytest.approx(120, rel=0.01)
    assert sum(each.images for each in found) == pytest.approx(20_000, rel=0.01)


def test_a_picture_fetched_again_is_put_down_to_the_kill_that_lost_it() -> None:
    hits = [hit(1.0), hit(2.0, path="/2.jpg"), hit(5.0), hit(9.0, path="/2.jpg"), hit(9.5)]
    assert asked_again(hits, [3.0, 6.0, 8.0]) == ([2, 1, 0], 0)
    assert asked_again(hits, [3.0]) == ([2], 1)
