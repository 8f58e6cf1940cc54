"""Kill one crawl 100 times with SIGKILL, let it go on, look for harm: `make bench NAME=kills`.

    make bench NAME=kills ARGS="--kills 100 --images 20000"    (a quarter of an hour)

One undisturbed crawl, then one that is killed at random moments and started again by the same
command. Three of four kills end the whole process group, the fourth one worker process alone.
A kill falls after a random number of requests, so that all of them meet the crawl at work.

Then the tables are compared (all columns but when a picture came and where it lies), every pack
is read through and every picture's bytes are held against its name, and the server's log says
which URLs were asked for again. A second request is put down to the first kill after the one
before it: that kill lost the picture.
"""

import argparse
import bisect
import collections
import contextlib
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq

from bench import loopback
from bench.loopback import HOSTS, Web
from bench.server import Hit, Rule

WHEN_AND_WHERE = ("fetched_at", "pack", "offset")
"""Columns of the images tables that two runs may differ in."""


def main() -> None:
    """Crawl twice, once in peace, and print what the kills did."""
    flags = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    flags.add_argument("--kills", type=int, default=100)
    flags.add_argument("--images", type=int, default=20_000)
    flags.add_argument("--seed", type=int, default=1)
    args = flags.parse_args()
    pictures = loopback.photographs(64, size=(320, 240), quality=85)
    with (
        tempfile.TemporaryDirectory() as temporary,
        Web(pictures, folder=Path(temporary), rule=Rule(delay=0.03)) as web,
    ):
        calm, killed = Path(temporary) / "calm", Path(temporary) / "killed"
        urls = Path(temporary) / "urls.txt"
        lines = [f"http://{HOSTS[n % len(HOSTS)]}/{n}.jpg\n" for n in range(args.images)]
        urls.write_text("".join(lines), encoding="utf-8")
        unit = max(args.images // 10, 1)
        commands = [
            loopback.crawler(urls, data, web.http, unit_images=unit) for data in (calm, killed)
        ]
        start = time.monotonic()
        subprocess.run(commands[0], check=True, env=web.environment)
        web.hits()
        print(f"undisturbed: {time.monotonic() - start:.0f} s", flush=True)
        crawl = Crawl(commands[1], web, random.Random(args.seed))
        crawl.suffer(args.kills, args.images)
        again, needless = asked_again(web.hits(), crawl.kills)
        figures = {
            "kills": len(crawl.kills),
            "lost": lost(killed, [line.strip() for line in lines]),
            "doubled": doubled(killed),
            "max_refetched": max(again, default=0),
            "needless": needless,
            "differing_rows": differing(calm, killed),
        }
    print(f"fetched again: {sum(again)} images, by kill: {sorted(again, reverse=True)}")
    print(json.dumps(figures))
    wrong = sum(figures[key] for key in ("lost", "doubled", "needless", "differing_rows"))
    sys.exit(wrong > 0 or len(crawl.kills) < args.kills)


class Crawl:
    """A crawl that is started again whenever it dies."""

    def __init__(self, command: list[str], web: Web, rng: random.Random) -> None:
        self._command, self._web, self._rng = command, web, rng
        self.kills: list[float] = []
        """When, by the machine's monotonic clock."""

    def suffer(self, kills: int, images: int) -> None:
        """Kill it *kills* times, evenly over the requests that *images* need; then let it end."""
        process = self._start()
        try:
            while len(self.kills) < kills and process.poll() is None:
                left = max(images - self._web.count(), 0) / (kills - len(self.kills) + 1)
                if self._worked(process, round(self._rng.uniform(0, 2 * left))):
                    process = self._kill(process)
            if process.wait():
                sys.exit(f"The crawl ended with exit code {process.returncode}.")
        finally:
            _end(process)

    def _worked(self, process: subprocess.Popen[bytes], requests: int) -> bool:
        """Wait until it has made another one and *requests*; False if it ends before."""
        aim = self._web.count() + 1 + requests
        while self._web.count() < aim:
            if process.poll() is not None:
                return False
            time.sleep(0.005)
        return True

    def _kill(self, process: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
        """Kill all of it or one worker; return the process that goes on."""
        workers = _workers(process.pid)
        alone = bool(workers) and len(self.kills) % 4 == 3
        now = time.monotonic()
        if alone:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._rng.choice(workers), signal.SIGKILL)
        else:
            _end(process)
        self.kills.append(now)
        print(f"{len(self.kills):>4}: {'a worker' if alone else 'all'}, after "
              f"{self._web.count():,} requests", flush=True)  # fmt: skip
        return process if alone else self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self._command,
            env=self._web.environment,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


def asked_again(hits: Sequence[Hit], kills: Sequence[float]) -> tuple[list[int], int]:
    """Return how many pictures each kill made us fetch again, and those that none excuses."""
    again, needless = [0] * len(kills), 0
    before: dict[tuple[str, str], Hit] = {}
    for hit in hits:
        if not hit.path.endswith(".jpg"):
            continue
        last = before.get((hit.host, hit.path))
        before[hit.host, hit.path] = hit
        if last is None:
            continue
        kill = bisect.bisect(kills, last.at)
        if kill < len(kills) and kills[kill] < hit.at:
            again[kill] += 1
        else:
            needless += 1
    return again, needless


def lost(data: Path, urls: Sequence[str]) -> int:
    """Return how many of *urls* have no row with a picture whose bytes are in a pack."""
    kept = {row["url"] for row in _rows(data) if _holds(data, row)}
    return len(set(urls) - kept)


def doubled(data: Path) -> int:
    """Return how many rows and pack members are there twice, or not what their name says."""
    rows = collections.Counter(row["url"] for row in _rows(data))
    members: collections.Counter[str] = collections.Counter()
    false = 0
    for pack in sorted((data / "images" / "packs").glob("*.tar")):
        with tarfile.open(pack) as tar:
            for member in tar:
                file = tar.extractfile(member)
                image_id = hashlib.sha256(file.read() if file else b"").hexdigest()
                members[image_id] += 1
                false += member.name.partition(".")[0] != image_id
    strangers = members.keys() - {row["image_id"] for row in _rows(data)}
    return (rows.total() - len(rows)) + (members.total() - len(members)) + false + len(strangers)


def differing(one: Path, other: Path) -> int:
    """Return how many rows are only in one of two crawls' tables."""
    first, second = ({_line(row) for row in _rows(data)} for data in (one, other))
    return len(first ^ second)


def _rows(data: Path) -> list[dict[str, Any]]:
    return list(pq.read_table(data / "images" / "tables").to_pylist())


def _line(row: dict[str, Any]) -> str:
    same = {key: value for key, value in row.items() if key not in WHEN_AND_WHERE}
    return json.dumps(same, sort_keys=True, default=str)


def _holds(data: Path, row: dict[str, Any]) -> bool:
    """Tell whether the bytes at the row's place are the row's picture."""
    if row["status"] != "kept":
        return False
    with (data / "images" / "packs" / row["pack"]).open("rb") as file:
        file.seek(row["offset"])
        found = file.read(row["length"])
    image_id: str = row["image_id"]
    return hashlib.sha256(found).hexdigest() == image_id


def _workers(driver: int) -> list[int]:
    """Return the worker processes of *driver*: its children that multiprocessing spawned."""
    try:
        children = psutil.Process(driver).children()
        return [each.pid for each in children if "spawn_main" in " ".join(each.cmdline())]
    except psutil.NoSuchProcess:
        return []


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


if __name__ == "__main__":
    main()
