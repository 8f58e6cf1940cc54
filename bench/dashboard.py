"""The dashboard page with 1,000 workers: `make bench NAME=dashboard` (two minutes).

A scheduler of its own process, and 1,000 workers that are made up, though what speaks for them is
our plugin: each has sixteen hosts in hand and counts like a crawl, and a driver listens, as a
stage does. Measured: messages a second, what one costs the tally, what one drawing costs the
scheduler (CPU time), how much the page weighs, and what the tally takes after 30 days of such
messages against after one. `--output page.html` keeps the page.
"""

import argparse
import asyncio
import json
import pickle
import random
import statistics
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from distributed import Client
from distributed.scheduler import heartbeat_interval

from flora import page
from flora.page import Health
from flora.tally import TOPIC, Post, State, Tally, disk

LANES = 16
DAYS, MESSAGES = 30, 5000
REASONS = ("not_found", "timeout", "robots", "too_small", "http_5xx", "opted_out", "corrupt", "dns")
QUOTAS = {"commons": (None, None), "openverse": (3120, 10_000), "flickr": (61_200, 77_760)}
PACE = 1.7
"""Pictures a second that a worker brings, in the mean: its hosts allow no more."""

Event = Mapping[str, Any]


def main() -> None:
    """Measure, print a table and one JSON object."""
    flags = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    flags.add_argument("--workers", type=int, default=1000)
    flags.add_argument("--seconds", type=float, default=90.0)
    flags.add_argument("--output", type=Path, help="keep the page here")
    args = flags.parse_args()
    command = [sys.executable, "-m", "dask", "scheduler", "--host", "127.0.0.1", "--port", "0",
               "--dashboard-address", "127.0.0.1:0", "--preload", "flora.dashboard"]  # fmt: skip
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            line = next(line for line in process.stderr if "Scheduler at:" in line)
            address = line.partition("at:")[2].strip()
            heard, costs, shown = asyncio.run(crawl(address, args.workers, args.seconds))
        finally:
            process.terminate()
    if args.output:
        args.output.write_text(shown, encoding="utf-8")
    report(heard, costs[len(costs) // 2 :], len(shown), len(heard) / args.seconds, args.workers)


async def crawl(address: str, workers: int, seconds: float) -> tuple[list[Event], list[float], str]:
    """Tell the scheduler of so many workers; return what it heard, its costs and the page."""
    heard: list[Event] = []
    async with Client(address, asynchronous=True) as client:
        client.subscribe_topic(TOPIC, lambda event: heard.append(event[1]))
        (room,) = disk(Path.cwd()).values()
        for stage, folder, units in (("search", "candidates", 352), ("fetch", "images", 4127)):
            event = {"stage": stage, "folder": f"/data/{folder}", "units": units}
            await client.log_event(TOPIC, {**event, "units_done": 12, "disk": {"/data": room}})
        hands = [asyncio.create_task(work(client, number, workers)) for number in range(workers)]
        costs, shown, start = list[float](), "", time.monotonic()
        while (now := time.monotonic() - start) < seconds:
            await drive(client, now)
            cost, shown = await client.run_on_scheduler(draw)
            costs.append(cost)
            await asyncio.sleep(1.0)
        for hand in hands:
            hand.cancel()
        await asyncio.gather(*hands, return_exceptions=True)
    return heard, costs, shown


async def work(client: Client, number: int, workers: int) -> None:
    """Be one worker: count what its units bring, until cancelled."""
    rng, sending = random.Random(number), set[asyncio.Future[Any]]()

    def send(topic: str, message: Event) -> None:
        told = {**message, "worker": f"tcp://10.0.{number // 250}.{number % 250}:40000"}
        sending.add(sent := asyncio.ensure_future(client.log_event(topic, told)))
        sent.add_done_callback(sending.discard)

    beat = SimpleNamespace(callback_time=1000 * heartbeat_interval(workers))
    await asyncio.sleep(rng.uniform(0, beat.callback_time / 1000))
    post = Post()
    post.setup(SimpleNamespace(log_event=send, periodic_callbacks={"heartbeat": beat}))
    for lane in range(LANES):
        told = state(rng)
        post.lanes[host(LANES * number + lane)] = lambda told=told: told  # type: ignore[misc]
    engine = list(QUOTAS)[number // 40 % len(QUOTAS)]
    if not number % 40:
        own = {**state(rng), "a_second": 1.66, "connections": 1, "until": 0}
        post.lanes[engine] = lambda: own
    speed = PACE * rng.gammavariate(6, 1 / 6)
    try:
        while True:
            await asyncio.sleep(rng.uniform(1, 3))
            if number % 40:
                bring(post, rng, round(2 * speed))
            else:
                post.add("search", {"rows": 40})
                left, a_day = QUOTAS[engine]
                post.quota[engine] = {"left": left, "a_day": a_day, "today": 6880, "dollars": 0}
    finally:
        post.teardown(None)


def bring(post: Post, rng: random.Random, rows: int) -> None:
    """Count so many pictures, some of them refused."""
    for _ in range(rows):
        if rng.random() < 0.16:
            (reason,) = rng.choices(REASONS, (9, 5, 4, 3, 2, 1, 1, 1))
            post.add("fetch", {"rows": 1, "refused": {reason: 1}})
        else:
            post.add("fetch", {"rows": 1, "bytes": rng.randint(40_000, 600_000)})


async def drive(client: Client, now: float) -> None:
    """Say what a driver says now and then."""
    left = {host(number): 200_000 / (number + 1) - now for number in range(12)}
    event = {"stage": "fetch", "left": left, "units_done": int(random.random() < 0.5)}
    await client.log_event(TOPIC, event)
    event = {"stage": "search", "left": {"openverse": 1.5 * 86_400 - now}}
    await client.log_event(TOPIC, event)


def host(number: int) -> str:
    """Return the name of a host."""
    return f"images.host-{number:05}.example.org"


def state(rng: random.Random) -> State:
    """Return how some host fares."""
    pace = rng.choice((1.0, 1.0, 1.0, 0.5))
    until = round(time.time() + 400) if rng.random() < 0.05 else 0
    return {"a_second": rng.choice((1.0, 1.0, 10.0)), "connections": 2, "megabits": 0,
            "pace": pace, "until": until, "down": rng.random() < 0.02}  # fmt: skip


def draw(dask_scheduler: Any) -> tuple[float, str]:
    """Return the CPU-seconds of one drawing, on the scheduler, and the page."""
    tally, rng, now = dask_scheduler.plugins[TOPIC], random.Random(0), time.time()
    workers = [
        Health(address=address, memory=rng.gauss(0.14, 0.03), processor=rng.gammavariate(4, 5),
               silent=rng.uniform(0, 6))
        for address in tally.hands
    ]  # fmt: skip
    start = time.thread_time()
    text = page.draw(tally, workers, now, live=False)
    return time.thread_time() - start, text


def report(
    heard: Sequence[Mapping[str, Any]], costs: Sequence[float], size: int, rate: float, workers: int
) -> None:
    """Print what was measured."""
    tally, start = Tally(), time.process_time()
    for number, event in enumerate(heard):
        tally.add(event, float(number))
    message = (time.process_time() - start) / len(heard)
    drawing = statistics.median(costs)
    sizes = memory(heard)
    rows = {
        "workers": workers,
        "messages_a_second": round(rate, 1),
        "microseconds_a_message": round(message * 1e6, 1),
        "milliseconds_a_drawing": round(drawing * 1e3, 1),
        "slowest_drawing_ms": round(max(costs) * 1e3, 1),
        "core_percent": round(100 * (rate * message + drawing), 2),
        "page_kib": round(size / 1024, 1),
        "tally_mib_day_1": round(sizes[0] / 2**20, 2),
        f"tally_mib_day_{DAYS}": round(sizes[-1] / 2**20, 2),
    }
    for name, value in rows.items():
        print(f"{name:<26} {value:>12,}")
    print(json.dumps(rows))


def memory(heard: Sequence[Mapping[str, Any]]) -> list[int]:
    """Return the bytes a tally takes after each of some days with the same messages in each."""
    packed = [pickle.dumps(event) for event in heard[:MESSAGES]]
    tracemalloc.start()
    tally, sizes = Tally(), list[int]()
    for day in range(DAYS):
        for number, event in enumerate(packed):
            tally.add(pickle.loads(event), 86_400 * (day + number / len(packed)))
        sizes.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    return sizes


if __name__ == "__main__":
    main()
