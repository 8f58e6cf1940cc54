"""What a second worker adds: `make bench NAME=workers` (three minutes).

One worker and two take turns over the same photograph-like JPEGs of 80 KB: from a web that
answers after 0.3 s, as a far one does (then the requests that a worker may have under way bound
it), and from one that answers at once (then the CPU does). A worker is a process with one core's
work to do; the web and the driver need cores as well, so how much they take is measured: with
two workers, a server and two cores, less than double is what the machine can give.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.dataset as ds

from bench import loopback
from bench.loopback import HOSTS, Web
from bench.server import Rule

BODIES = 64
DELAYS = {"latency": 0.3, "cpu": 0.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How a run went."""

    rate: float
    """Images a second, from the first request to the last answer."""
    client: float
    """CPU-seconds of the crawler, its start and end included."""
    server: float
    """CPU-seconds of the web."""
    seconds: float
    """From the first request to the last answer."""


def main() -> None:
    """Measure, print a table and one JSON object."""
    flags = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    flags.add_argument("--runs", type=int, default=3)
    flags.add_argument("--images", type=int, default=8000, help="a run")
    args = flags.parse_args()
    pictures = loopback.photographs(BODIES)
    figures: dict[str, float] = {}
    print(f"{'bound by':<9} {'workers':>7} {'images/s':>9} {'client CPU s':>13} "
          f"{'server CPU s':>13} {'seconds':>8}")  # fmt: skip
    for name, delay in DELAYS.items():
        paces: dict[int, list[Pace]] = {1: [], 2: []}
        for _ in range(args.runs):
            for workers, found in paces.items():
                pace = measure(pictures, args.images, Rule(delay=delay), workers)
                found.append(pace)
                print(f"{name:<9} {workers:>7} {pace.rate:>9.0f} {pace.client:>13.1f} "
                      f"{pace.server:>13.1f} {pace.seconds:>8.1f}", flush=True)  # fmt: skip
        one, two = (statistics.median(pace.rate for pace in paces[number]) for number in (1, 2))
        figures[f"{name}_bound_ratio"] = round(two / one, 2)
    both = paces[2]
    share = sum(pace.server for pace in both) / sum(pace.server + pace.client for pace in both)
    figures["server_cpu_share"] = round(share, 3)
    print(f"{os.cpu_count()} cores; with two workers the server took {share:.0%} of the CPU")
    print(json.dumps(figures))


def measure(pictures: Sequence[bytes], images: int, rule: Rule, workers: int) -> Pace:
    """Fetch *images* with so many *workers*."""
    with (
        tempfile.TemporaryDirectory() as temporary,
        Web(pictures, folder=Path(temporary), rule=rule) as web,
    ):
        urls, data = Path(temporary) / "urls.txt", Path(temporary) / "data"
        lines = [f"http://{HOSTS[n % len(HOSTS)]}/{n}.jpg\n" for n in range(images)]
        urls.write_text("".join(lines), encoding="utf-8")
        command = loopback.crawler(urls, data, web.http, workers=workers)
        client = loopback.cpu_of(command, web.environment, Path(temporary) / "output.txt")
        seconds, server = loopback.span(web.hits()), web.cpu()
        status = ds.dataset(data / "images" / "tables").to_table(["status"])["status"]
        kept = status.to_pylist().count("kept")
    if kept != images:
        sys.exit(f"{kept} of {images} images came.")
    return Pace(rate=images / seconds, client=client, server=server, seconds=seconds)


if __name__ == "__main__":
    main()
