"""The test web's server: fast, and it writes down all that comes.

It serves JPEGs under any host name, over HTTP and HTTPS; each URL has bytes of its own. Of every
request it keeps when it came, for which host, and how many others of that host were under way.
Hosts can be slow, turn requests away, and share one link of limited bandwidth.
"""

import asyncio
import math
import signal
import socket
import ssl
import time
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

ADDRESSES = tuple(f"127.0.0.{number}" for number in range(1, 51))
"""Where it listens: for a program that has to resolve names, an address stands for a host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How a host behaves."""

    delay: float = 0.0
    """Seconds until it answers."""
    refuse_every: int = 0
    """Every so manieth request is turned away with 429; 0 means none."""
    retry_after: int = 0
    """Seconds it then asks for."""


@dataclass(slots=True, kw_only=True)
class Hit:
    """One request, as the server saw it. Times are of the machine's monotonic clock."""

    at: float
    host: str
    path: str
    under_way: int
    """Requests of this host that are being answered, this one included."""
    status: int = 0
    until: float = math.inf
    """When the last byte of the answer was handed to the kernel."""


@dataclass(slots=True, kw_only=True)
class Serving:
    """What all connections share."""

    pictures: list[bytes]
    rule: Rule
    rules: dict[str, Rule]
    bandwidth: float
    log: list[Hit] = field(default_factory=list)
    busy: dict[str, int] = field(default_factory=dict)
    asked: dict[str, int] = field(default_factory=dict)
    link_free: float = 0.0

    def answer(self, hit: Hit) -> tuple[bytes, float]:
        """Return the answer to *hit* and the seconds after which to give it."""
        rule = self.rules.get(hit.host, self.rule)
        self.asked[hit.host] = asked = self.asked.get(hit.host, 0) + 1
        kind, extra, body = b"image/jpeg", b"", b""
        stem, _, suffix = hit.path.strip("/").rpartition(".")
        if hit.path == "/robots.txt":
            hit.status, kind, body = 200, b"text/plain", b"User-agent: *\nAllow: /\n"
        elif suffix != "jpg" or not stem.isdigit():
            hit.status = 404
        elif rule.refuse_every and asked % rule.refuse_every == 0:
            hit.status, extra = 429, b"Retry-After: %d\r\n" % rule.retry_after
        else:
            hit.status, body = 200, self._picture(int(stem), hit.host)
        head = b"HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n%s\r\n"
        text = head % (hit.status, b"OK" if hit.status == 200 else b"No", kind, len(body), extra)
        self.link_free = max(self.link_free, hit.at) + len(body) / self.bandwidth
        return text + body, max(rule.delay, self.link_free - hit.at)

    def _picture(self, number: int, host: str) -> bytes:
        """Return a picture whose comment names the URL: every URL has bytes of its own."""
        picture = self.pictures[number % len(self.pictures)]
        comment = b"%s/%d" % (host.encode(), number)
        size = (len(comment) + 2).to_bytes(2)
        return b"".join((picture[:2], b"\xff\xfe", size, comment, memoryview(picture)[2:]))


class _Connection(asyncio.Protocol):
    """One connection; answers one request after the other."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self._buffer = b""
        self._hit: Hit | None = None
        self._writing = self._last = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=0)  # so that we hear when all is handed over

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._hit is None and b"\r\n\r\n" in self._buffer:
            self._begin()

    def pause_writing(self) -> None:
        self._writing = True

    def resume_writing(self) -> None:
        self._writing = False
        self._end()

    def connection_lost(self, error: Exception | None) -> None:
        if self._hit is not None:
            self._serving.busy[self._hit.host] -= 1
            self._hit = None

    def _begin(self) -> None:
        now, serving = time.monotonic(), self._serving
        request, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        lines = request.decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
        host = headers.get("host", "").partition(":")[0]
        self._last = headers.get("connection") == "close"
        serving.busy[host] = busy = serving.busy.get(host, 0) + 1
        self._hit = Hit(at=now, host=host, path=lines[0].split(" ")[1], under_way=busy)
        serving.log.append(self._hit)
        answer, wait = serving.answer(self._hit)
        if wait <= 0:
            self._write(answer)
        else:
            asyncio.get_running_loop().call_later(wait, self._write, answer)

    def _write(self, answer: bytes) -> None:
        if self._hit is None:
            return  # they hung up while we waited
        self._transport.write(answer)
        if not self._writing:
            self._end()

    def _end(self) -> None:
        if self._hit is None:
            return
        self._hit.until = time.monotonic()
        self._serving.busy[self._hit.host] -= 1
        self._hit = None
        if self._last:
            self._transport.close()
        elif b"\r\n\r\n" in self._buffer:
            self._begin()


def serve(serving: Serving, certificate: str, pipe: Connection) -> None:
    """Serve until the other end of *pipe* is closed; answer what is asked through it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the benchmark
    asyncio.run(_listen(serving, certificate, pipe))


async def _listen(serving: Serving, certificate: str, pipe: Connection) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, str(Path(certificate).with_name("key.pem")))
    ports = []
    for tls in (None, context):
        port = 0
        for address in ADDRESSES:
            listener = socket.create_server((address, port), backlog=1024)
            port = listener.getsockname()[1]
            await loop.create_server(lambda: _Connection(serving), sock=listener, ssl=tls)
        ports.append(port)
    pipe.send(ports)

    def reply() -> None:
        try:
            what = pipe.recv()
        except (EOFError, OSError):
            stop.set()
            return
        if what == "hits":
            pipe.send(serving.log)
            serving.log = []
        else:
            pipe.send(len(serving.log) if what == "count" else time.process_time())

    loop.add_reader(pipe.fileno(), reply)
    await stop.wait()
