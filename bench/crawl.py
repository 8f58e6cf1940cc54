"""Our crawler against img2dataset on a loopback web: `make bench NAME=crawl` (about six minutes).

Alternating runs over the same photograph-like JPEGs of 80 KB (50 hosts), two processes with 64
requests each in flight, originals kept. img2dataset decodes each picture once (it cannot leave
that out without leaving out all checks) and resizes none; ours has all on that a crawl has. Each
figure is the median of the runs:

- CPU an image: of the program and all its children, less what a run over one single image
  takes. Start-up is subtracted from both in the same way.
- "alone" is one worker of ours: with two and the server, all hardware threads are taken, and what
  shares a core with another is slower. The peer is not given that.
- images/s: from the first request to the last answer in the server's log. The server shares the
  machine's cores, as all else on it does: CPU is the figure to trust.

Both trust the system's certificate authorities and the test web's own. img2dataset loads that
file anew for each connection; its size is most of what HTTPS costs it.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow.dataset as ds

from bench import loopback
from bench.loopback import HOSTS, Web
from bench.server import ADDRESSES

PEER = "img2dataset==1.47.0"
BODIES = 64

Program = Callable[[Web, str, int, Path], list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a run cost."""

    cpu_ms: float
    """An image, start-up subtracted."""
    rate: float
    """Images a second."""


def main() -> None:
    """Measure, print a table and one JSON object."""
    flags = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    flags.add_argument("--runs", type=int, default=3)
    flags.add_argument("--images", type=int, default=4000, help="that ours fetches a run")
    flags.add_argument("--peer-https", type=int, default=600, help="that img2dataset fetches")
    flags.add_argument("--peer-http", type=int, default=2000, help="the same, without TLS")
    flags.add_argument("--peer-venv", type=Path, default=Path(sys.prefix) / "peers", help="its own")
    args = flags.parse_args()
    peer = _img2dataset(install(args.peer_venv))
    figures: dict[str, float] = {}
    print(f"{'':>5} {'program':<12} {'images':>7} {'CPU ms/image':>13} {'images/s':>9}")
    with (
        tempfile.TemporaryDirectory() as temporary,
        Web(loopback.photographs(BODIES), folder=Path(temporary)) as web,
    ):
        for scheme, peer_images in (("https", args.peer_https), ("http", args.peer_http)):
            costs: dict[str, list[Cost]] = {"ours": [], "ours, alone": [], "img2dataset": []}
            for number in range(args.runs):
                folder = Path(temporary) / f"{scheme}-{number}"
                for name, program, images in (
                    ("ours", _ours(workers=2), args.images),
                    ("ours, alone", _ours(workers=1), args.images),
                    ("img2dataset", peer, peer_images),
                ):
                    cost = measure(web, program, scheme, images, folder / name)
                    costs[name].append(cost)
                    print(f"{scheme:>5} {name:<12} {images:>7} {cost.cpu_ms:>13.2f} "
                          f"{cost.rate:>9.0f}", flush=True)  # fmt: skip
            figures |= _compare(scheme, costs["ours"], costs["img2dataset"])
            alone = statistics.median(cost.cpu_ms for cost in costs["ours, alone"])
            figures[f"{scheme}_cpu_ms_alone"] = round(alone, 3)
    print(json.dumps(figures))


def measure(web: Web, program: Program, scheme: str, images: int, folder: Path) -> Cost:
    """Run *program* over one image and over *images*, and return what an image cost."""
    seconds = []
    for count in (1, images):
        data = folder / str(count)
        data.mkdir(parents=True)
        command = program(web, scheme, count, data)
        seconds.append(loopback.cpu_of(command, _environment(web, data), data / "output.txt"))
        hits = [hit for hit in web.hits() if hit.path.endswith(".jpg")]
        tables = sorted((data / "out").rglob("*.parquet"))
        status = ds.dataset(tables).to_table(["status"])["status"].to_pylist()
        good = sum(each in ("kept", "success") for each in status)
        if good != count or len(hits) != count:
            sys.exit(f"{data}: {good} of {count} images came, with {len(hits)} requests.")
    cpu = 1000 * (seconds[1] - seconds[0]) / (images - 1)
    return Cost(cpu_ms=cpu, rate=len(hits) / loopback.span(hits))


def install(folder: Path) -> Path:
    """Return the peer's executable, installed in a virtual environment of its own."""
    program = folder / "bin" / "img2dataset"
    if not program.exists():
        print(f"Installing {PEER} in {folder}", flush=True)
        venv.create(folder, with_pip=True)
        python = folder / "bin" / "python"
        subprocess.run([python, "-m", "pip", "install", "--quiet", PEER], check=True)
    return program


def _ours(*, workers: int) -> Program:
    def command(web: Web, scheme: str, images: int, data: Path) -> list[str]:
        urls = _list([f"{scheme}://{HOSTS[n % len(HOSTS)]}/{n}.jpg" for n in range(images)], data)
        port = web.https if scheme == "https" else web.http
        (data / "out").symlink_to(data / "crawl" / "images" / "tables")
        return loopback.crawler(urls, data / "crawl", port, workers=workers)

    return command


def _img2dataset(program: Path) -> Program:
    def command(web: Web, scheme: str, images: int, data: Path) -> list[str]:
        port = web.https if scheme == "https" else web.http
        addresses = [ADDRESSES[n % len(ADDRESSES)] for n in range(images)]
        urls = _list([f"{scheme}://{at}:{port}/{n}.jpg" for n, at in enumerate(addresses)], data)
        settings = {
            "url_list": urls,
            "output_folder": data / "out",
            "output_format": "webdataset",
            "resize_mode": "no",
            "skip_reencode": True,
            "processes_count": 2,
            "thread_count": 64,
            "number_sample_per_shard": max(images // 2, 1),  # a shard a process
            "timeout": 30,
        }
        return [str(program), *(f"--{key}={value}" for key, value in settings.items())]

    return command


def _list(urls: list[str], data: Path) -> Path:
    path = data / "urls.txt"
    path.write_text("\n".join(urls) + "\n", encoding="utf-8")
    return path


def _environment(web: Web, data: Path) -> dict[str, str]:
    # Its dependencies look for news of themselves at every start, and leave things lying about.
    return {**web.environment, "NO_ALBUMENTATIONS_UPDATE": "1", "TMPDIR": str(data)}


def _compare(scheme: str, ours: list[Cost], theirs: list[Cost]) -> dict[str, float]:
    """Return the figures of *scheme*: what theirs cost over what ours did, by medians."""
    cpu, peer_cpu = (statistics.median(cost.cpu_ms for cost in each) for each in (ours, theirs))
    rate, peer_rate = (statistics.median(cost.rate for cost in each) for each in (ours, theirs))
    return {
        f"{scheme}_cpu_ms": round(cpu, 3),
        f"{scheme}_cpu_ratio": round(peer_cpu / cpu, 2),
        f"{scheme}_rate_ratio": round(rate / peer_rate, 2),
    }


if __name__ == "__main__":
    main()
