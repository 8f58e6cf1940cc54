import asyncio
import gzip
import time
from itertools import pairwise

import pytest
from aiohttp import web

from crawler.fetch import Fetched
from flora.records import KEPT, Refusal
from tests.conftest import picture
from tests.crawler.server import fetch, pages

JPEG = picture(1, (300, 200))


def answer(status: int = 200, body: bytes = JPEG, **headers: str) -> web.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return web.Response(status=status, body=body, headers=named)


def one(response: web.Response, **changes: object) -> Fetched:
    (found,) = fetch(pages(a=response), "http://x.test/a", **changes)
    return found


def test_a_picture_arrives_with_its_facts() -> None:
    found = one(answer(Content_Type="text/html"))  # headers are not believed
    assert (found.status, found.data) == (KEPT, JPEG)
    assert found.picture is not None
    assert (found.picture.width, found.picture.height, found.picture.format) == (300, 200, "jpg")


@pytest.mark.parametrize(
    ("response", "status"),
    [
        (answer(404), Refusal.NOT_FOUND),
        (answer(410), Refusal.NOT_FOUND),
        (answer(403), Refusal.FORBIDDEN),
        (answer(418), Refusal.HTTP_4XX),
        (answer(503), Refusal.HTTP_5XX),
        (answer(304), Refusal.REDIRECTS),
        (answer(body=b""), Refusal.EMPTY),
        (answer(body=b"<html></html>", Content_Type="image/jpeg"), Refusal.NOT_AN_IMAGE),
        (answer(body=JPEG[: len(JPEG) // 2]), Refusal.CORRUPT),
        (answer(body=gzip.compress(JPEG), Content_Encoding="gzip"), Refusal.NOT_AN_IMAGE),
        (answer(X_Robots_Tag="noai, noimageai"), Refusal.OPTED_OUT),
    ],
)
def test_what_is_no_picture_gets_its_reason(response: web.Response, status: Refusal) -> None:
    assert one(response).status == status


def test_a_long_body_is_not_read_to_its_end() -> None:
    sent = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while sent < 50_000_000:
                await response.write(bytes(65_536))
                sent += 65_536
        except ConnectionError:
            pass
        return response

    (found,) = fetch(pages(a=endless), "http://x.test/a", max_bytes=100_000)
    assert found.status == Refusal.TOO_BIG
    assert sent < 10_000_000
    assert one(answer(body=bytes(200_000)), max_bytes=100_000).status == Refusal.TOO_BIG


def test_a_drip_is_cut_off_at_the_deadline() -> None:
    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(100):
            await response.write(b"\xff")
            await asyncio.sleep(0.1)
        return response

    start = time.monotonic()
    (found,) = fetch(pages(a=drip), "http://x.test/a", timeout=0.5)
    assert found.status == Refusal.TIMEOUT
    assert time.monotonic() - start < 6  # three tries of half a second, and the waits


def test_redirects_are_followed_and_remembered() -> None:
    found = fetch(
        pages(a=answer(302, b"", Location="http://y.test/b"), b=answer()), "http://x.test/a"
    )[0]
    assert (found.status, found.final_url) == (KEPT, "http://y.test/b")


@pytest.mark.parametrize(
    ("location", "status"),
    [
        ("http://x.test/a", Refusal.REDIRECTS),
        ("http://127.0.0.1/secret", Refusal.FORBIDDEN_ADDRESS),
        ("http://169.254.169.254/latest/meta-data", Refusal.FORBIDDEN_ADDRESS),
        ("http://[::ffff:10.0.0.1]/", Refusal.FORBIDDEN_ADDRESS),
        ("http://0x7f.1/", Refusal.FORBIDDEN_ADDRESS),
        ("http://localhost/", Refusal.FORBIDDEN_ADDRESS),
        ("file:///etc/passwd", Refusal.BAD_URL),
        ("http://user:word@x.test/", Refusal.BAD_URL),
        ("", Refusal.REDIRECTS),
    ],
)
def test_a_redirect_cannot_lead_astray(location: str, status: Refusal) -> None:
    assert one(answer(302, b"", Location=location)).status == status


@pytest.mark.parametrize("url", ["http://10.1.2.3/a", "ftp://x.test/a", "nonsense", "http://"])
def test_a_bad_address_is_never_asked(url: str) -> None:
    (found,) = fetch(pages(a=answer()), url)
    assert found.status in (Refusal.BAD_URL, Refusal.FORBIDDEN_ADDRESS)


def test_retry_after_is_obeyed() -> None:
    asked: list[float] = []

    async def flaky(_request: web.Request) -> web.StreamResponse:
        asked.append(time.monotonic())
        return answer(429, b"", Retry_After="1") if len(asked) == 1 else answer()

    (found,) = fetch(pages(a=flaky), "http://x.test/a")
    assert found.status == KEPT
    assert asked[1] - asked[0] >= 1.0


def test_a_host_that_asks_for_more_patience_than_we_have_is_left_alone() -> None:
    found = one(answer(429, b"", Retry_After="3600"))
    assert found.status == Refusal.RATE_LIMITED


def test_a_lost_connection_is_tried_again() -> None:
    asked = 0

    async def broken(request: web.Request) -> web.StreamResponse:
        nonlocal asked
        asked += 1
        if asked < 3:
            assert request.transport is not None
            request.transport.abort()
        return answer()

    (found,) = fetch(pages(a=broken), "http://x.test/a")
    assert (found.status, asked) == (KEPT, 3)


def test_robots_txt_is_asked_once_and_obeyed() -> None:
    asked: list[str] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        if request.path == "/robots.txt":
            return web.Response(text="User-agent: *\nDisallow: /closed\n")
        return answer()

    found = fetch(handle, *(f"http://x.test/{name}" for name in ("open", "closed/a", "closed/b")))
    assert [each.status for each in found] == [KEPT, Refusal.ROBOTS, Refusal.ROBOTS]
    assert sorted(asked) == ["/.well-known/tdmrep.json", "/open", "/robots.txt"]


def test_a_robots_txt_behind_a_server_error_allows_nothing() -> None:
    found = fetch(pages(robots_txt=answer(500), a=answer()), "http://x.test/a")[0]
    assert found.status == Refusal.ROBOTS_UNREACHABLE


def test_a_crawl_delay_slows_the_host_down() -> None:
    asked: list[float] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        if request.path == "/robots.txt":
            return web.Response(text="User-agent: worldflora\nCrawl-delay: 0.3\n")
        asked.append(time.monotonic())
        return answer()

    fetch(handle, *(f"http://x.test/{name}" for name in "abc"))
    gaps = [later - earlier for earlier, later in pairwise(asked[1:])]
    assert all(gap >= 0.25 for gap in gaps)


def test_we_say_who_we_are() -> None:
    seen: list[str] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        seen.append(request.headers["User-Agent"])
        return answer()

    fetch(handle, "http://x.test/a")
    assert set(seen) == {"worldflora/0.1 (+tests@example.org)"}
