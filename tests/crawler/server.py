"""A real HTTP server on loopback that does what a test tells it to."""

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from aiohttp import web

from crawler.config import CrawlerSettings, Net, Politeness
from crawler.fetch import Fetched, Fetcher
from crawler.shared import Shared

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def settings(port: int, **changes: Any) -> CrawlerSettings:
    """Return settings under which `*.test` is the server at *port*, asked without delay."""
    limits = {"timeout": 5.0, "connect_to": {"*.test": f"127.0.0.1:{port}"}, **changes}
    return CrawlerSettings(
        contact="tests@example.org",
        net=Net(**limits),
        politeness=Politeness(requests_per_second=1000, connections=4, retries=2, longest_wait=2.0),
    )


def fetch(handler: Handler, *urls: str, **changes: Any) -> list[Fetched]:
    """Return what becomes of *urls* when every request ends in *handler*."""

    async def body() -> list[Fetched]:
        runner = web.ServerRunner(web.Server(handler))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            chosen = settings(runner.addresses[0][1], **changes)
            shared = Shared(chosen)
            async with shared.session:
                fetcher = Fetcher(shared.session, chosen, shared.host, shared.robots, shared.memory)
                return list(await asyncio.gather(*(fetcher.fetch(url) for url in urls)))
        finally:
            await runner.cleanup()

    return asyncio.run(body())


@contextlib.contextmanager
def serving(handler: Handler) -> Iterator[str]:
    """Yield the address (ip:port) of a server in a thread, whose requests end in *handler*."""
    loop = asyncio.new_event_loop()

    async def start() -> web.ServerRunner:
        runner = web.ServerRunner(web.Server(handler), shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner

    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    runner = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    try:
        yield f"127.0.0.1:{runner.addresses[0][1]}"
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def pages(**found: web.Response | Handler) -> Handler:
    """Return a handler that answers `/name` with *name*'s response, robots.txt with 404."""

    async def handle(request: web.Request) -> web.StreamResponse:
        answer = found.get(request.path.strip("/").replace(".", "_"))
        if answer is None:
            return web.Response(status=404)
        if isinstance(answer, web.Response):
            return web.Response(status=answer.status, body=answer.body, headers=answer.headers)
        return await answer(request)

    return handle
