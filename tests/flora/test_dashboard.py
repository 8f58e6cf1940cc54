import subprocess
import sys
import urllib.request
from typing import Any

from bokeh.client import pull_session
from distributed import Client, LocalCluster

from flora import dashboard
from flora.stage import Outcome
from flora.tally import TOPIC, Meter, Tally


def work(rows: int) -> Outcome:
    meter = Meter("fetch")
    meter.count(rows=rows, bytes=rows * 1000, refused="robots", host="a.org")
    meter.flush()
    return Outcome(rows=rows)


def totals(dask_scheduler: Any) -> tuple[int, int, dict[str, int]]:
    stage = dask_scheduler.plugins["flora"].stages["fetch"]
    return stage.rows, stage.bytes, dict(stage.refused)


def test_the_page_is_served_and_counts_what_workers_do() -> None:
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
        ) as cluster,
        Client(cluster) as client,
    ):
        client.register_plugin(Tally())
        client.log_event(TOPIC, {"stage": "fetch", "left": {"slow.org": 7200.0}})
        client.gather(client.map(work, [1, 2, 3], pure=False))
        assert client.run_on_scheduler(totals) == (6, 6000, {"robots": 3})
        address = client.dashboard_link.removesuffix("/status")
        with pull_session(url=address + dashboard.ROUTE) as session:
            drawn = str(session.document.to_json())
        assert "Refused, by reason" in drawn
        assert "a.org" in drawn
        assert "slow.org" in drawn
        with urllib.request.urlopen(address + "/status", timeout=30) as answer:
            assert dashboard.ROUTE.strip("/") in answer.read().decode()


def test_a_scheduler_of_ones_own_has_the_page_when_it_preloads_it() -> None:
    command = [sys.executable, "-m", "dask", "scheduler", "--host", "127.0.0.1", "--port", "0",
               "--dashboard-address", "127.0.0.1:0", "--preload", "flora.dashboard"]  # fmt: skip
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        address = ""
        for line in process.stderr:
            address = address or line.partition("dashboard at:")[2].strip()
            if "Run preload setup" in line:
                break
        with urllib.request.urlopen(address.replace("/status", dashboard.ROUTE)) as answer:
            assert answer.status == 200
        process.terminate()


def test_counting_goes_on_without_a_cluster() -> None:
    meter = Meter("fetch")
    meter.count(rows=2, refused="robots")
    assert meter.totals.rows == 2
    assert meter.totals.refused == {"robots": 1}
