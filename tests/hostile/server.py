"""A server on loopback that speaks no HTTP of its own: each case writes its bytes itself."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass

Answer = Callable[["Visit"], Awaitable[None]]

RULES = ("/robots.txt", "/.well-known/tdmrep.json")
"""Files that a crawler asks for first: there is none where a case names none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One request, and the way back to who sent it."""

    writer: asyncio.StreamWriter
    host: str
    path: str
    witness: int
    """Port at which no one may ever knock."""

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()


@dataclass(slots=True, kw_only=True)
class Running:
    """The servers, while they run."""

    port: int
    witness: int
    knocks: int = 0
    """Connections that someone made to where none must go."""


def http(body: bytes = b"", *headers: str, status: str = "200 OK") -> bytes:
    """Return an honest answer; a Content-Length among *headers* takes the place of ours."""
    lines = [f"HTTP/1.1 {status}", "Connection: close", *headers]
    if not any(line.lower().startswith(("content-length", "transfer-enc")) for line in headers):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


@contextlib.asynccontextmanager
async def serve(answers: Mapping[str, Answer]) -> AsyncGenerator[Running]:
    """Serve *answers*, by host and path (`host/path`) or by host, and watch the witness port."""
    tasks: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, ValueError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            lines = head.split("\r\n")
            path = lines[0].split(" ")[1]
            hosts = [line[5:].strip() for line in lines if line.lower().startswith("host:")]
            host = hosts[0].partition(":")[0]
            default = _missing if path in RULES else answers.get(host, _missing)
            answer = answers.get(host + path, default)
            await answer(Visit(writer=writer, host=host, path=path, witness=running.witness))
        writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(converse(reader, writer))
        tasks[task] = writer

    async def knock(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        running.knocks += 1
        writer.close()

    witness = await asyncio.start_server(knock, "", 0)
    port = witness.sockets[0].getsockname()[1]
    if len(witness.sockets) > 1:  # IPv4 and IPv6, on one port
        witness.close()
        witness = await asyncio.start_server(knock, "", port)
    server = await asyncio.start_server(accept, "127.0.0.1", 0, limit=1_000_000, backlog=1000)
    running = Running(port=server.sockets[0].getsockname()[1], witness=port)
    try:
        yield running
    finally:
        server.close()
        witness.close()
        for task, writer in tasks.items():
            task.cancel()
            writer.transport.abort()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _missing(visit: Visit) -> None:
    await visit.send(http(b"", status="404 Not Found"))
