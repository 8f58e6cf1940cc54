"""The demo's web: many hosts, all ending in `.test`, behind one port of the loopback.

    with Web(build(folder)) as web:
        ...  # connect every *.test to web.address, and ask as if it were the internet

It answers by the Host header. Ask the hosts below; what each URL does is in pages.parquet.
"""

import asyncio
import contextlib
import hashlib
import os
import threading
from collections import Counter
from concurrent.futures import Future
from dataclasses import dataclass
from time import monotonic
from types import TracebackType
from typing import Self

from aiohttp import hdrs, web

from demo import apis, archives
from demo.pages import Page
from demo.world import World
from flora.errors import ConfigError

ROBOTS = {
    "live.flickr.test": "User-agent: *\nDisallow:\n",
    "static.inaturalist.test": "User-agent: *\nAllow: /\n",
    "commons.wikimedia.test": "User-agent: *\nDisallow: /wiki/Special:\n",
    "botany.example.test": (
        "User-agent: GreedyBot\nDisallow: /\n\nUser-agent: *\nDisallow: /private/\n"
    ),
    "quiet.arboretum.test": "User-agent: *\nCrawl-delay: 1\n",
    "closed.herbarium.test": "User-agent: *\nDisallow: /\n",
}
"""The hosts that have a robots.txt; the others answer 404."""

THROTTLE_EVERY = 23
"""Openverse answers one request in so many with 429."""
DRIPS, PAUSE = 10, 0.12
"""In how many pieces a slow host sends a picture, and the seconds between them."""

_LONG_AGO = "Sat, 24 Nov 2018 10:00:00 GMT"


@dataclass(frozen=True, slots=True)
class Visit:
    """One request, as the server saw it; times are those of time.monotonic()."""

    host: str
    path: str
    status: int
    started: float
    ended: float


class Web:
    """The web of a world, up while the `with` block lasts. Raises ConfigError for a taken port."""

    def __init__(self, world: World, port: int = 0) -> None:
        self.world = world
        self.address = ""
        self.log: list[Visit] = []
        """Every request since the start, in the order of their ends."""
        self._port = port
        self._asked: Counter[str] = Counter()
        self._openverse = apis.Catalogue(world, "openverse")
        self._commons = apis.Catalogue(world, "commons")
        self._files = {
            archives.GBIF: ("application/zip", archives.gbif_archive(world)),
            archives.EOL_MANIFEST: ("application/x-gtar", archives.eol_manifest(world)),
            archives.EOL_NAMES: ("application/gzip", archives.eol_names(world)),
        }
        self._hosts = {url.split("/")[2] for url in (*world.pages, *self._files)}
        self._hosts |= {url.split("/")[2] for url in (apis.OPENVERSE, apis.COMMONS)}
        self._pack = -1
        self._up: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()
        self._thread = threading.Thread(target=self._run, name="demo web", daemon=True)

    def __enter__(self) -> Self:
        self._pack = os.open(self.world.pack, os.O_RDONLY)
        self._thread.start()
        try:
            self._up.result()
        except OSError as error:
            os.close(self._pack)
            raise ConfigError(
                f"The demo's web cannot use port {self._port} ({error.strerror}). "
                "Leave the port out to have a free one."
            ) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        loop, stop = self._up.result()
        loop.call_soon_threadsafe(stop.set)
        self._thread.join()
        os.close(self._pack)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            if self._up.done():
                raise
            self._up.set_exception(error)

    async def _serve(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", self._port).start()
            host, port = runner.addresses[0][:2]
            self.address = f"{host}:{port}"
            stop = asyncio.Event()
            self._up.set_result((asyncio.get_running_loop(), stop))
            await stop.wait()
        finally:
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        started = monotonic()
        host = request.host.partition(":")[0].lower()
        response = await self._respond(request, host)
        path, status = request.raw_path, response.status
        self.log.append(Visit(host, path, status, started, monotonic()))
        return response

    async def _respond(self, request: web.Request, host: str) -> web.StreamResponse:
        if host not in self._hosts:
            return web.Response(status=421, text=f"{host} is not one of our hosts.\n")
        if request.method not in ("GET", "HEAD"):
            return web.Response(status=405, headers={hdrs.ALLOW: "GET, HEAD"})
        if request.path == "/robots.txt":
            text = ROBOTS.get(host)
            return web.Response(text=text or "Not found\n", status=200 if text else 404)
        if host.endswith(".wikimedia.test") and "(" not in request.headers.get("User-Agent", ""):
            return web.Response(status=403, text="Please set a user-agent with a contact.\n")
        here = f"http://{host}{request.path}"
        if here == apis.OPENVERSE:
            return self._search_openverse(request)
        if here == apis.COMMONS:
            status, answer = apis.commons(self._commons, request.query)
            return web.json_response(answer, status=status)
        if here in self._files:
            content_type, data = self._files[here]
            return _send(request, data, content_type, hashlib.sha256(data).hexdigest()[:16])
        url = f"http://{host}{request.raw_path}"
        page = self.world.pages.get(url)
        if page is None:
            return web.Response(status=404, text="Not found\n")
        return await self._show(request, page)

    def _search_openverse(self, request: web.Request) -> web.Response:
        self._asked["openverse"] += 1
        if self._asked["openverse"] % THROTTLE_EVERY == 0:
            answer = {"detail": "Request was throttled. Expected available in 1 second."}
            return web.json_response(answer, status=429, headers={hdrs.RETRY_AFTER: "1"})
        status, found = apis.openverse(self._openverse, request.query)
        return web.json_response(found, status=status)

    async def _show(self, request: web.Request, page: Page) -> web.StreamResponse:
        """Answer as the page does: with trouble first, elsewhere, slowly, or at once."""
        self._asked[page.url] += 1
        if self._asked[page.url] <= page.stumbles:
            headers = {hdrs.RETRY_AFTER: "1"} if page.stumble == 429 else {}
            return web.Response(status=page.stumble, text="Later, please.\n", headers=headers)
        if page.location is not None:
            return web.Response(status=page.status, headers={hdrs.LOCATION: page.location})
        if page.body is None:
            return web.Response(
                status=page.status, text="<h1>Not here</h1>", content_type="text/html"
            )
        span = self.world.bodies[page.body]
        data = os.pread(self._pack, span.length, span.offset)
        if page.drips:
            return await _drip(request, data, page.content_type)
        response = _send(request, data, page.content_type, f"{span.offset:x}-{span.length:x}")
        if page.robots_tag:
            response.headers["X-Robots-Tag"] = page.robots_tag
        return response


def _send(request: web.Request, data: bytes, content_type: str, tag: str) -> web.Response:
    """Answer with *data*, or the part that was asked for, or nothing if the client has it."""
    etag = f'"{tag}"'
    headers = {hdrs.ETAG: etag, hdrs.LAST_MODIFIED: _LONG_AGO, hdrs.ACCEPT_RANGES: "bytes"}
    if request.headers.get(hdrs.IF_NONE_MATCH) == etag:
        return web.Response(status=304, headers=headers)
    headers[hdrs.CONTENT_TYPE] = content_type
    if hdrs.RANGE not in request.headers or request.headers.get(hdrs.IF_RANGE, etag) != etag:
        return web.Response(body=data, headers=headers)
    try:
        start, stop, _ = request.http_range.indices(len(data))
    except ValueError:
        start = stop = 0
    if start >= stop:
        headers[hdrs.CONTENT_RANGE] = f"bytes */{len(data)}"
        return web.Response(status=416, headers=headers)
    headers[hdrs.CONTENT_RANGE] = f"bytes {start}-{stop - 1}/{len(data)}"
    return web.Response(status=206, body=data[start:stop], headers=headers)


async def _drip(request: web.Request, data: bytes, content_type: str) -> web.StreamResponse:
    response = web.StreamResponse(headers={hdrs.CONTENT_TYPE: content_type})
    response.content_length = len(data)
    await response.prepare(request)
    step = -(-len(data) // DRIPS)
    with contextlib.suppress(ConnectionError):  # who waits may lose patience
        for start in range(0, len(data) if request.method == "GET" else 0, step):
            await asyncio.sleep(PAUSE)
            await response.write(data[start : start + step])
        await response.write_eof()
    return response
