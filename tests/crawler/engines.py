"""Three engines on one loopback server in a thread: what they were asked, and what they answer."""

import asyncio
import threading
from collections import Counter
from types import TracebackType
from typing import Any

from aiohttp import web

from crawler.config import CrawlerSettings, Net, Politeness
from crawler.terms import Openverse, Searxng, Serper

PICTURES = 3
"""What an engine lists for a name, if it is not told otherwise."""


class Engines:
    """`openverse` and `searxng` are free, `serper` takes money. All list pictures of their own."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, int]] = []
        """engine, name, page"""
        self.pictures: dict[tuple[str, str], list[str]] = {}
        """(engine, name) -> the addresses it lists"""
        self.broken: dict[str, int] = {}
        """engine -> the status it answers with"""
        self.stuck_at = ""
        """A name that is never answered."""

    def __enter__(self) -> "Engines":
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        assert self._started.wait(10)
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: object, _tb: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(10)

    def settings(self, *sources: str, per_day: int = 0, **changes: Any) -> CrawlerSettings:
        """Return settings under which *sources* are these engines; openverse has a quota."""
        fast: dict[str, Any] = {"requests_per_second": 1000.0, "pages": 1}
        return CrawlerSettings(
            contact="tests@example.org",
            sources=sources or ("openverse",),
            openverse=Openverse(endpoint="http://a.test/openverse", requests_per_day=per_day,
                                page_size=5, **fast),
            searxng=Searxng(endpoint="http://a.test/searxng", page_size=4, **fast),
            serper=Serper(endpoint="http://a.test/serper", page_size=100, **fast),
            net=Net(connect_to={"*.test": self.address}),
            politeness=Politeness(retries=0, longest_wait=1.0),
            **changes,
        )  # fmt: skip

    def names(self, engine: str) -> list[str]:
        """Return the names *engine* was asked for, in order, a page each."""
        return [name for asked, name, _ in self.asked if asked == engine]

    def doubled(self) -> dict[tuple[str, str, int], int]:
        """Return what was asked more than once."""
        return {what: times for what, times in Counter(self.asked).items() if times > 1}

    async def _serve(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        runner = web.ServerRunner(web.Server(self._answer), shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.address = f"127.0.0.1:{runner.addresses[0][1]}"
        self._started.set()
        await self._over.wait()
        await runner.cleanup()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        engine = request.path.strip("/")
        if engine not in ("openverse", "searxng", "serper"):
            return web.Response(status=404)
        body = await request.json() if request.method == "POST" else {}
        name = str(body.get("q") or request.query["q"]).strip('"')
        page = int(body.get("page") or request.query.get("page") or request.query.get("pageno", 1))
        self.asked.append((engine, name, page))
        if name == self.stuck_at:
            await asyncio.sleep(60)
        if engine in self.broken:
            return web.Response(status=self.broken[engine], text="out of order")
        slug = name.replace(" ", "-")
        usual = [f"http://{engine}.test/{slug}-{i}.jpg" for i in range(PICTURES)]
        urls = self.pictures.get((engine, name), usual)
        if engine == "openverse":
            return web.json_response({"page_count": 1, "results": [{"url": url} for url in urls]})
        if engine == "searxng":
            return web.json_response({"results": [{"img_src": url} for url in urls]})
        return web.json_response({"images": [{"imageUrl": url} for url in urls]})
