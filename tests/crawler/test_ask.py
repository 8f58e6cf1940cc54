import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from crawler import net
from crawler.ask import Answer, Ask
from crawler.terms import Engine
from flora.errors import ConfigError, FloraError, LaterError, StageError
from tests.crawler.server import Handler, settings

KEY = "s3cret/of+the reader"
NAME = "WORLDFLORA_TEST_KEY"


class Purse:
    """A quota of so many requests."""

    def __init__(self, left: int) -> None:
        self.left = left

    def spend(self) -> None:
        if not self.left:
            raise LaterError("the requests of today are used up.")
        self.left -= 1


def ask(
    handler: Handler,
    work: Callable[[Ask], Any] | None = None,
    quota: Purse | None = None,
    retries: int = 2,
) -> Any:
    """Return what *work* (one question, with the key in the address) brings at *handler*."""

    async def body() -> Any:
        runner = web.ServerRunner(web.Server(handler))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            base = settings(runner.addresses[0][1])
            politeness = replace(base.politeness, retries=retries)
            chosen = replace(base, politeness=politeness)
            async with net.session(chosen) as session:
                asking = Ask(session, "engine", Engine(requests_per_second=1000), chosen, quota)
                if work is not None:
                    return await work(asking)
                return await asking.json(
                    "http://engine.test/v1", {"q": "oak", "key": asking.key(NAME)}
                )
        finally:
            await runner.cleanup()

    return asyncio.run(body())


def always(response: Callable[[web.Request], web.Response]) -> tuple[Handler, list[web.Request]]:
    asked: list[web.Request] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        await request.read()
        asked.append(request)
        return response(request)

    return handle, asked


def says(status: int, text: str, **headers: str) -> tuple[Handler, list[web.Request]]:
    return always(lambda _: web.Response(status=status, text=text, headers=headers))


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, KEY)


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (403, '{"error": {"errors": [{"reason": "dailyLimitExceeded"}]}}'),
        (429, '{"error": {"errors": [{"reason": "rateLimitExceeded"}]}}'),
        (429, '{"error": {"status": "RESOURCE_EXHAUSTED"}}'),
        (429, '{"error": "Your account has run out of searches."}'),
        (400, '{"message": "Not enough credits", "statusCode": 400}'),
        (403, '{"error": {"message": "Out of call volume quota."}}'),
        (402, "payment required"),
    ],
)
def test_a_quota_that_is_used_up_is_for_another_day(status: int, text: str) -> None:
    handler, asked = says(status, text)
    with pytest.raises(LaterError, match="another day"):
        ask(handler)
    assert len(asked) == 1


def test_a_limit_of_a_minute_is_waited_for() -> None:
    handler, asked = says(429, "Quota exceeded for quota metric Queries per minute per user")
    with pytest.raises(LaterError):
        ask(handler)
    assert len(asked) == 3


def test_more_patience_than_we_have_is_for_another_day() -> None:
    handler, asked = says(429, "", **{"Retry-After": "86400"})
    with pytest.raises(LaterError, match="86400 s of patience"):
        ask(handler)
    assert len(asked) == 1


def test_an_engine_that_stumbles_is_asked_again() -> None:
    answers = iter([(429, {"Retry-After": "1"}), (500, {}), (200, {})])

    def response(_: web.Request) -> web.Response:
        status, headers = next(answers)
        return web.json_response({"good": True}, status=status, headers=headers)

    assert ask(always(response)[0]) == {"good": True}


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_is_not_taken_is_the_readers_to_mend(status: int) -> None:
    handler, asked = says(status, "wrong key")
    with pytest.raises(ConfigError, match=NAME):
        ask(handler)
    assert len(asked) == 1


def test_a_refusal_without_a_key_is_no_setting() -> None:
    async def work(asking: Ask) -> Answer:
        return await asking.json("http://engine.test/")

    with pytest.raises(StageError, match="status 403: json is off"):
        ask(says(403, "json is off")[0], work)


def test_a_key_that_is_not_set_is_named() -> None:
    async def work(asking: Ask) -> str:
        return asking.key("WORLDFLORA_NOBODYS_KEY")

    with pytest.raises(ConfigError, match="WORLDFLORA_NOBODYS_KEY"):
        ask(says(200, "{}")[0], work)


@pytest.mark.parametrize(
    "text", ["<html>", "", "[]", "[1, 2]", "null", '"oak"', "7", '{"half": ', "[" * 100_000]
)
def test_what_is_no_object_counts_as_an_empty_answer(text: str) -> None:
    handler, _ = says(200, text)

    async def work(asking: Ask) -> tuple[Answer, dict[str, int]]:
        return await asking.json("http://engine.test/"), dict(asking.odd)

    assert ask(handler, work, retries=0) == ({}, {"the answer is no JSON object": 1})


def test_what_is_no_object_is_asked_for_again() -> None:
    texts = iter(["<html>", '{"good": true}'])
    assert ask(always(lambda _: web.Response(text=next(texts)))[0]) == {"good": True}


def test_odd_answers_in_a_row_mean_that_the_engine_is_out_of_order() -> None:
    handler, asked = says(404, "no such page")

    async def work(asking: Ask) -> None:
        for _ in range(4):
            assert await asking.json("http://engine.test/") == {}
        await asking.json("http://engine.test/")

    with pytest.raises(StageError, match="5 names in a row; status 404: no such page"):
        ask(handler, work)
    assert len(asked) == 5


def test_a_quota_is_spent_before_every_request() -> None:
    handler, asked = says(500, "")
    quota = Purse(2)
    with pytest.raises(LaterError, match="of today"):
        ask(handler, quota=quota)
    assert (len(asked), quota.left) == (2, 0)


def test_a_body_is_posted() -> None:
    async def work(asking: Ask) -> Answer:
        return await asking.json("http://engine.test/", headers={"X-A": "b"}, body={"q": "oak"})

    def response(request: web.Request) -> web.Response:
        return web.json_response({"method": request.method, "a": request.headers["X-A"]})

    assert ask(always(response)[0], work) == {"method": "POST", "a": "b"}


def test_a_redirect_is_followed_on_the_same_host_only() -> None:
    def response(request: web.Request) -> web.Response:
        if request.path == "/v1":
            return web.Response(status=301, headers={"Location": f"/v2?{request.query_string}"})
        if request.path == "/v2":
            return web.json_response({"found": request.query["q"]})
        return web.Response(status=302, headers={"Location": request.query["q"]})

    handler, _ = always(response)
    assert ask(handler) == {"found": "oak"}
    for elsewhere in ("http://other.test/", "//other.test/x", "ftp://engine.test/", "http://[::"):

        async def work(asking: Ask, target: str = elsewhere) -> Answer:
            params = {"q": target}
            return await asking.json("http://engine.test/v3", params, headers={"X-API-KEY": KEY})

        handler, asked = always(response)
        with pytest.raises(StageError, match="a key must not follow"):
            ask(handler, work)
        assert len(asked) == 1


def test_redirects_in_a_circle_end() -> None:
    handler, asked = always(lambda _: web.Response(status=302, headers={"Location": "/v1"}))
    with pytest.raises(StageError, match="redirects without end"):
        ask(handler)
    assert len(asked) == 6


def echoes(status: int) -> Callable[[web.Request], web.Response]:
    """Return a server's answer that repeats the question, as several do."""
    return lambda request: web.Response(
        status=status, text=f"{'x' * 190} {KEY} {request.raw_path} {request.url}"
    )


@pytest.mark.parametrize("status", [200, 301, 400, 401, 403, 404, 429, 500])
def test_a_key_is_in_no_message(status: int) -> None:
    async def work(asking: Ask) -> None:
        for _ in range(5):
            await asking.json("http://engine.test/v1", {"key": asking.key(NAME)})

    with pytest.raises(FloraError) as caught:
        ask(always(echoes(status))[0], work, retries=0)
    hide(str(caught.value), repr(caught.value.__context__), repr(caught.value.__cause__))


def test_a_key_is_in_no_message_of_a_lost_connection() -> None:
    async def work(asking: Ask) -> Answer:
        key = asking.key(NAME)
        return await asking.json(f"http://engine.invalid:1/{key}", {"key": key})

    with pytest.raises(FloraError) as caught:
        ask(says(200, "")[0], work)
    hide(str(caught.value), repr(caught.value.__context__))


def test_a_key_is_blanked_out_of_answers() -> None:
    handler, _ = always(lambda request: web.json_response({"url": str(request.url), "k": KEY}))
    answer = ask(handler)
    hide(repr(answer))
    assert answer["k"] == "***"


def hide(*texts: str) -> None:
    for text in texts:
        for piece in ("s3cret", "of+the", "of%2Bthe", "reader"):
            assert piece not in text
