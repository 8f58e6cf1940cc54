"""A web on loopback for the benchmarks: its pictures, its certificate, its log.

The server runs in a process of its own (bench/server.py), so that its CPU is not counted as a
crawler's. Here is also how our crawler is started against it, and what a command cost.
"""

import contextlib
import io
import math
import multiprocessing
import os
import ssl
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bench.server import ADDRESSES, Hit, Rule, Serving, serve

HOSTS = tuple(f"h{number:03}.test" for number in range(50))
"""The names its certificate is made out to, besides the addresses."""


class Web(contextlib.AbstractContextManager["Web"]):
    """The web, serving until the block ends: `/<number>.jpg` on every host."""

    def __init__(
        self,
        pictures: Sequence[bytes],
        *,
        folder: Path,
        rule: Rule | None = None,
        rules: dict[str, Rule] | None = None,
        bandwidth: float = math.inf,
    ) -> None:
        certificate = _certify(folder)
        self.bundle = folder / "bundle.pem"
        system = ssl.get_default_verify_paths().cafile
        trusted = Path(system).read_bytes() if system else b""
        self.bundle.write_bytes(trusted + b"\n" + certificate.read_bytes())
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        serving = Serving(
            pictures=list(pictures),
            rule=rule or Rule(),
            rules=rules or {},
            bandwidth=bandwidth,
        )
        self._process = context.Process(
            target=serve, args=(serving, str(certificate), theirs), daemon=True
        )
        self._process.start()
        theirs.close()
        self.http, self.https = self._pipe.recv()

    def __exit__(self, *_error: object) -> None:
        self._pipe.close()  # it stops when nobody listens any more
        self._process.join()

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a program that trusts this web besides the system's authorities."""
        return {**os.environ, "SSL_CERT_FILE": str(self.bundle)}

    def hits(self) -> list[Hit]:
        """Return all requests since the last call, in the order they came, and forget them."""
        found: list[Hit] = self._ask("hits")
        return found

    def count(self) -> int:
        """Return how many requests came since `hits` was last called."""
        count: int = self._ask("count")
        return count

    def cpu(self) -> float:
        """Return the CPU-seconds that the server has taken."""
        seconds: float = self._ask("cpu")
        return seconds

    def _ask(self, what: str) -> Any:
        self._pipe.send(what)
        return self._pipe.recv()


def photographs(
    count: int, *, size: tuple[int, int] = (900, 680), quality: int = 88
) -> list[bytes]:
    """Return *count* JPEGs that weigh and decode like photographs: 80 KB at the usual size."""
    found = []
    for seed in range(count):
        rng, side = np.random.default_rng(seed), 4
        pixels = np.full((size[1], size[0], 3), 128, np.float32)
        while side <= min(512, size[0]):  # coarse forms strong, fine ones weak, as in nature
            grid = Image.fromarray(rng.integers(0, 256, (side * 3 // 4, side, 3), dtype=np.uint8))
            layer = np.asarray(grid.resize(size, Image.Resampling.BICUBIC), np.float32)
            pixels += (layer - 128) * 0.8 * (4 / side) ** 0.75
            side *= 2
        file = io.BytesIO()
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=quality)
        found.append(file.getvalue())
    return found


def span(hits: Iterable[Hit]) -> float:
    """Return the seconds from the first request to the last answer."""
    times = [(hit.at, hit.until) for hit in hits if hit.until < math.inf]
    return max(until for _, until in times) - min(at for at, _ in times)


def crawler(
    urls: Path, data: Path, port: int, *flags: str, workers: int = 2, unit_images: int = 10_000
) -> list[str]:
    """Return the command that fetches *urls* of `*.test` with our crawler, budgets wide open.

    A small list is one unit, and so one worker's, unless units are made smaller.
    """
    settings = {
        "crawler.contact": "bench@example.org",
        "crawler.net.connect_to": f'{{"*.test" = "127.0.0.1:{port}"}}',
        "crawler.politeness.requests_per_second": 1000,
        "crawler.politeness.connections": 64,
        "crawler.connections": 64,
        "crawler.unit_images": unit_images,
        "cluster.workers": workers,
        "cluster.dashboard": "127.0.0.1:0",
    }
    sets = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    return [sys.executable, "-m", "crawler", "fetch", "--urls", str(urls),
            "--data", str(data), *sets, *flags]  # fmt: skip


def cpu_of(command: Sequence[str], environment: dict[str, str], log: Path) -> float:
    """Run *command* to its end; return the CPU-seconds of it and all its descendants."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        tail = log.read_text(encoding="utf-8", errors="replace")[-2000:]
        sys.exit(f"{' '.join(command)}: exit code {process.returncode}\n{tail}")
    return usage.ru_utime + usage.ru_stime


def _certify(folder: Path) -> Path:
    """Make a certificate for all hosts and addresses, which is its own authority."""
    path = folder / "web.pem"
    names = [f"DNS:{name}" for name in HOSTS] + [f"IP:{address}" for address in ADDRESSES]
    key = folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-keyout", str(key), "-out", str(path), "-days", "2",
         "-subj", "/CN=test web", "-addext", "subjectAltName=" + ",".join(names)],
        check=True, capture_output=True,
    )  # fmt: skip
    return path
