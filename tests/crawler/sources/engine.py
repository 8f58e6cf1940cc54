"""An engine on loopback, and what a source module finds there."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from typing import Any

from aiohttp import web

from crawler import net
from crawler.ask import Ask
from crawler.candidates import Candidate
from crawler.config import CrawlerSettings
from tests.crawler.server import Handler, settings

KEY = "k3y/of+the=reader&"
"""What every engine's environment variables hold; it must never be seen again."""

Search = Callable[[Ask, CrawlerSettings, str, str], AsyncGenerator[Candidate]]
Engine = Any
"""A module of crawler.sources that is asked by name."""


def search(source: Engine, handler: Handler, **terms: Any) -> list[Candidate]:
    """Return what *source* finds for an oak where *handler* answers."""
    return asyncio.run(_search(source, handler, ["Quercus robur"], terms))[0]


def search_all(source: Engine, handler: Handler, *names: str) -> tuple[list[Candidate], Ask]:
    """Return what *source* finds for *names*, and the Ask that asked."""
    return asyncio.run(_search(source, handler, list(names), {}))


async def _search(
    source: Engine, handler: Handler, names: list[str], terms: dict[str, Any]
) -> tuple[list[Candidate], Ask]:
    runner = web.ServerRunner(web.Server(handler))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        base = settings(runner.addresses[0][1])
        here = {"endpoint": "http://engine.test/", "requests_per_second": 1000.0, **terms}
        if source.NAME != "brave":
            here = {"pages": 3, **here}
        chosen = replace(base, **{source.NAME: replace(getattr(base, source.NAME), **here)})
        async with net.session(chosen) as session:
            ask = Ask(session, source.NAME, getattr(chosen, source.NAME), chosen)
            found = [
                each for name in names async for each in source.search(ask, chosen, "s1", name)
            ]
            return found, ask
    finally:
        await runner.cleanup()


def replies(*answers: Any) -> tuple[Handler, list[web.Request]]:
    """Return a handler that gives *answers* one after the other, and what it was asked.

    The last one is given again and again; a callable makes its response anew.
    """
    asked: list[web.Request] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        await request.read()
        asked.append(request)
        answer = answers[min(len(asked), len(answers)) - 1]
        return answer() if callable(answer) else web.json_response(answer)

    return handle, asked
