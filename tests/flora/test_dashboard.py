import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Generator
from pathlib import Path
from typing import Any

from distributed import Client, LocalCluster

from flora import dashboard, page
from flora.cluster import ClusterSettings, connect
from flora.command import Options
from flora.stage import Outcome, Run, Unit
from flora.tally import TOPIC, Meter, Post, Tally
from tests.browser import FOUND, needs_browser, window
from tests.flora.test_page import LATER, Tables, crowd

ROOT = Path(__file__).parents[2]
BLUE, ORANGE = (0, 114, 178), (230, 159, 0)
SETTINGS = ClusterSettings(workers=1, dashboard="127.0.0.1:0")
SHOWN = ("1,000 of 4,000", "100,000 images", "25,999 (26.0%)", "host-1.example.org",
         "150 of 200", "1.0 TiB of 4.0 TiB", "median 30, from 30 to 30 % of its limit")  # fmt: skip
DRAWN_BY_BOKEH = """(async () => {
  const text = root => [...root.querySelectorAll("*")].filter(it => it.shadowRoot).map(
    it => it.shadowRoot.textContent + text(it.shadowRoot)).join(" ");
  for (let i = 0; i < 100 && !text(document).includes("Tasks"); i++)
    await new Promise(done => setTimeout(done, 100));
  return text(document);
})()"""
CUT_OFF = """[...document.querySelectorAll("main *")].filter(it =>
  it.getClientRects().length && (it.getBoundingClientRect().right > innerWidth + 1
  || it.scrollWidth > it.clientWidth + 1 && getComputedStyle(it).display != "inline"
  && !it.closest("thead"))).map(it => it.outerHTML.slice(0, 99))"""


def work(rows: int) -> Outcome:
    meter = Meter("fetch")
    with meter.watch("slow.org", lambda: {"a_second": 1.0, "connections": 2, "megabits": 0,
                                          "pace": 0.25, "until": 0, "down": False}):  # fmt: skip
        for _ in range(rows):
            meter.count(rows=1, bytes=1000, refused="robots")
        meter.tell_quota("openverse", {"left": 42, "a_day": 200, "today": 158, "dollars": 0})
        time.sleep(0.7)
    meter.flush()
    return Outcome(rows=rows)


def totals(dask_scheduler: Any) -> tuple[int, int, dict[str, int]]:
    stage = dask_scheduler.plugins["flora"].stages["fetch"].totals
    return stage.rows, stage.bytes, dict(stage.refused)


def wait_for(words: str, url: str) -> str:
    """Return the page once *words* are on it."""
    for _ in range(300):
        with (
            contextlib.suppress(urllib.error.HTTPError),  # not served yet
            urllib.request.urlopen(url, timeout=30) as answer,
        ):
            text = str(answer.read().decode())
            if words in text:
                return text
        time.sleep(0.1)
    raise AssertionError(f"{words!r} does not show up at {url}")


def page_of(client: Client) -> str:
    return str(client.dashboard_link.replace("/status", dashboard.ROUTE))


def test_the_page_counts_what_workers_do_and_is_kept(tmp_path: Path) -> None:
    with connect("local", SETTINGS, tmp_path) as client:
        url = page_of(client)
        begin = {"stage": "fetch", "folder": "/data/images", "units": 3}
        client.log_event(TOPIC, {**begin, "left": {"slow.org": 7200.0}})
        futures = client.map(work, [1, 2, 3], pure=False)
        wait_for("25% of it", url)  # what a host is like is told while it is asked
        client.gather(futures)
        assert client.run_on_scheduler(totals) == (6, 6000, {"robots": 6})
        text = wait_for("42 of 200", url)
        assert "2 h 0 min at least, for slow.org" in text
        wait_for(f'href="{dashboard.ROUTE.strip("/")}"', client.dashboard_link)
        (pid,) = client.run(os.getpid).values()
        os.kill(pid, signal.SIGKILL)
        wait_for("1 lost so far", url)
    _, kept = sorted(tmp_path.iterdir())
    assert re.fullmatch(r"\d{8}-\d{6}-page\.html", kept.name)
    assert "6 images" in kept.read_text()
    assert "<script>" not in kept.read_text()


def run_for_long(data: Path) -> None:
    """Run more units of most of a second than anyone waits for."""
    flags = ("cluster.workers=1", "cluster.dashboard=127.0.0.1:0")
    units = [Unit(name=f"a.org/{number}", recipe="x", task=5) for number in range(300)]
    with Run(Options(data=data, sets=flags)) as run:
        run.units("fetch", data / "images", units, work)


def test_control_c_leaves_the_last_page_and_dasks_report(tmp_path: Path) -> None:
    body = (
        "import signal; from pathlib import Path; from flora.command import guard;"
        # whoever starts these tests in the background may have it ignored
        "signal.signal(signal.SIGINT, signal.default_int_handler);"
        "from tests.flora.test_dashboard import run_for_long;"
        f"raise SystemExit(guard(lambda: run_for_long(Path({str(tmp_path)!r}))))"
    )
    command = [sys.executable, "-c", body]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, start_new_session=True, cwd=ROOT
    ) as process:
        assert process.stderr is not None
        url = next(line for line in process.stderr if "Dashboard:" in line).split()[-1]
        wait_for("42 of 200", url)  # units are under way
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers, too
        said = process.stderr.read()
    assert process.returncode == 130
    assert "Traceback" not in said
    report, kept = sorted((tmp_path / "logs").iterdir())
    shown = Tables(kept.read_text()).rows
    assert re.fullmatch(r"\d+ of 300", shown["fetch"][0])
    assert re.fullmatch(r"\d+ images", shown["fetch"][1])
    assert shown["fetch"][-1] == "ended"
    assert "iB of " in shown[str(tmp_path)][0]
    assert "Dask Performance Report" in report.read_text()
    if FOUND is not None:
        words, addresses = asyncio.run(opened(report))
        assert "number of tasks: " in words
        assert addresses == {report.as_uri()}


async def opened(kept: Path) -> tuple[str, set[str]]:
    """Return what Dask's report shows, and what addresses it asks for."""
    async with window() as browser:
        await browser.open(kept.as_uri(), width=1000)
        shown = str(await browser.ask(DRAWN_BY_BOKEH))
        return shown, {each for each in browser.requests if not each.startswith("data:")}


@contextlib.contextmanager
def preloaded() -> Generator[tuple[subprocess.Popen[str], str, str]]:
    """Yield a scheduler's process, its address, and that of our page."""
    command = [sys.executable, "-m", "dask", "scheduler", "--host", "127.0.0.1", "--port", "0",
               "--dashboard-address", "127.0.0.1:0", "--preload", "flora.dashboard"]  # fmt: skip
    plain = {name: value for name, value in os.environ.items() if not name.startswith("DASK_")}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=plain) as process:
        assert process.stderr is not None
        found = {}
        try:
            while "dashboard" not in found:
                line = next(process.stderr)
                for name in ("Scheduler", "dashboard"):
                    if f"{name} at:" in line:
                        found[name] = line.partition("at:")[2].strip()
            yield (
                process,
                found["Scheduler"],
                found["dashboard"].replace("/status", dashboard.ROUTE),
            )
        finally:
            process.terminate()


def test_a_scheduler_of_ones_own_has_the_page_when_it_preloads_it() -> None:
    with preloaded() as (_, _, url):
        assert "0 workers" in wait_for("Nothing has run", url)


def test_counting_goes_on_without_a_cluster() -> None:
    meter = Meter("fetch")
    meter.count(rows=2, refused="robots")
    assert meter.totals.rows == 2
    assert meter.totals.refused == {"robots": 1}


def test_units_of_one_worker_send_one_message() -> None:
    with (
        LocalCluster(n_workers=1, threads_per_worker=8, processes=False, protocol="tcp://",
                     host="127.0.0.1", dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
    ):  # fmt: skip
        client.register_plugin(Tally())
        client.register_plugin(Post())
        heard: list[Any] = []
        client.subscribe_topic(TOPIC, heard.append)
        client.gather(client.map(slowly, range(8), pure=False))
        while client.run_on_scheduler(totals)[0] < 8000:
            time.sleep(0.1)
        assert len(heard) < 8 + 8  # one at the end of each unit; meanwhile one every half second


def slowly(_number: int) -> None:
    meter = Meter("fetch")
    for _ in range(1000):
        meter.count(rows=1, bytes=10)
        time.sleep(0.001)
    meter.flush()


@needs_browser
def test_a_browser_shows_all_of_the_page_in_any_window(tmp_path: Path) -> None:
    kept = tmp_path / "page.html"
    kept.write_text(page.draw(*crowd(1000), LATER, live=False), encoding="utf-8")

    async def look() -> None:
        async with window() as browser:
            for width in (1200, 760, 420, 360):
                await browser.open(kept.as_uri(), width=width, script=False)
                tall = await browser.ask("document.documentElement.scrollHeight")
                await browser.open(kept.as_uri(), width=width, height=tall, script=False)
                assert await browser.ask("document.documentElement.scrollWidth") == width
                assert await browser.ask(CUT_OFF) == []
                words = await browser.ask("document.body.innerText")
                for shown in SHOWN:
                    assert shown in words, (width, shown)
                picture = await browser.look()
                assert picture.size == (width, tall)
                colours = {colour: count for count, colour in picture.getcolors(2**20) or []}
                assert colours[BLUE] > 0.02 * width * tall  # charts and bars
                assert colours[ORANGE] > 500  # the second reason of refusals
                for edge in (0, width - 9):  # nothing reaches the edge
                    strip = picture.crop((edge, 0, edge + 9, tall))
                    assert strip.getcolors() == [(9 * tall, (255, 255, 255))]
                assert browser.requests == [kept.as_uri()]

    asyncio.run(look())


@needs_browser
def test_a_browser_keeps_the_page_up_to_date_and_asks_nobody_else() -> None:
    async def look(process: subprocess.Popen[str], scheduler: str, url: str) -> None:
        async with window() as browser:
            await browser.open(url, width=1000)
            await browser.read("Nothing has run")
            with Client(scheduler) as client:
                begin = {"stage": "fetch", "folder": "/data/images", "units": 1234}
                client.log_event(TOPIC, begin)
                await browser.read("0 of 1,234")
            process.kill()
            assert "0 of 1,234" in await browser.read("does not answer")
            assert set(browser.requests) == {url}

    with preloaded() as (process, scheduler, url):
        wait_for("Nothing has run", url)
        asyncio.run(look(process, scheduler, url))
