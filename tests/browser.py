"""A headless Chromium that says what a page shows: its words, its pixels, what it asks for."""

import asyncio
import base64
import contextlib
import io
import itertools
import shutil
import tempfile
from asyncio.subprocess import PIPE
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from PIL import Image

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FOUND = next((path for name in _NAMES if (path := shutil.which(name))), None)
needs_browser = pytest.mark.skipif(
    FOUND is None, reason="No Chromium on the PATH: apt-get install chromium"
)
_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--hide-scrollbars", "--remote-debugging-port=0",
)  # fmt: skip
_PATIENCE = 30.0


class Window:
    """A window of the browser, spoken to in the DevTools protocol."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.requests: list[str] = []
        """Addresses that were asked for."""
        self._socket, self._numbers = socket, itertools.count(1)

    async def open(self, url: str, *, width: int, height: int = 2400, script: bool = True) -> None:
        """Show *url* in a window of that size, with scripts or without; wait until it is there."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.requests.clear()
        for method in ("Page.enable", "Network.enable"):
            await self._ask(method)
        await self._ask("Emulation.setDeviceMetricsOverride", **size)
        await self._ask("Emulation.setScriptExecutionDisabled", value=not script)
        await self._ask("Page.navigate", url=url)
        await self._until("Page.loadEventFired")

    async def ask(self, expression: str) -> Any:
        """Return the value of a JavaScript *expression*; a promise is waited for."""
        answer = await self._ask(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def read(self, words: str = "") -> str:
        """Return all text that is shown, once *words* are among it."""
        for _ in range(int(_PATIENCE / 0.1)):
            text = str(await self.ask("document.body.innerText"))
            if words in text:
                return text
            await asyncio.sleep(0.1)
        raise AssertionError(f"{words!r} does not show up in {text!r}")

    async def look(self) -> Image.Image:
        """Return what the window shows."""
        data = (await self._ask("Page.captureScreenshot", format="png"))["data"]
        return Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")

    async def _ask(self, method: str, **params: Any) -> Any:
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": params})
        return (await self._until(number))["result"]

    async def _until(self, what: int | str) -> Any:
        """Read until the answer of that number, or the event of that name."""
        while True:
            message = await self._socket.receive_json(timeout=_PATIENCE)
            if message.get("method") == "Network.requestWillBeSent":
                self.requests.append(message["params"]["request"]["url"])
            if what in (message.get("id"), message.get("method")):
                assert "error" not in message, message
                return message


@contextlib.asynccontextmanager
async def window() -> AsyncGenerator[Window]:
    """Start a browser and yield its window."""
    assert FOUND is not None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            FOUND, *_FLAGS, f"--user-data-dir={profile}", "about:blank", stderr=PIPE
        )
        try:
            port = await asyncio.wait_for(_port(process, Path(profile)), _PATIENCE)
            async with aiohttp.ClientSession() as session:
                async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                    pages = [each for each in await answer.json() if each["type"] == "page"]
                address = pages[0]["webSocketDebuggerUrl"]
                async with session.ws_connect(address, max_msg_size=0) as socket:
                    yield Window(socket)
        finally:
            process.terminate()
            await process.communicate()


async def _port(process: asyncio.subprocess.Process, profile: Path) -> int:
    """Return the port the browser chose; it writes it into its profile when it listens."""
    chosen = profile / "DevToolsActivePort"
    while not chosen.is_file() or not chosen.read_text():
        assert process.returncode is None, "the browser did not start"
        await asyncio.sleep(0.05)
    return int(chosen.read_text().split()[0])
