"""Where units run: the only file that names a Dask cluster class."""

import contextlib
import logging
import os
import socket
import subprocess
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dask
from distributed import Client, LocalCluster

from flora import dashboard
from flora.config import OPERATIONAL
from flora.console import say
from flora.errors import ConfigError
from flora.slurm import SlurmSettings, is_here
from flora.tally import Post, Tally

_CONNECT_SECONDS = 15
_JOBS = 8
"""Workers on SLURM, a job each, where the settings do not say how many."""
_ENVIRONMENT = {
    "OMP_NUM_THREADS": 1,
    "MALLOC_ARENA_MAX": 2,
    "DASK_DISTRIBUTED__LOGGING__DISTRIBUTED": "critical",
}
"""All that reaches a worker before it imports anything: one thread for numeric libraries (the
workers are the parallelism), no heap for each of the threads that wait for hosts, a quiet log."""
_told: set[str] = set()  # dashboards whose address was said: the stages of one process share one


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSettings:
    """How many hands, and where they can be watched."""

    workers: int = field(default=0, metadata=OPERATIONAL)
    """Worker processes; 0 means one a core on this machine, and 8 on SLURM, each a job."""
    memory: str = field(default="2GiB", metadata=OPERATIONAL)
    """Limit of one worker; beyond it Dask restarts the worker and the unit is tried again."""
    dashboard: str = field(default="127.0.0.1:8787", metadata=OPERATIONAL)
    """Address of the dashboard. Loopback by default: it shows all and asks nobody's name."""
    slurm: SlurmSettings = field(default_factory=SlurmSettings)
    """What a SLURM cluster wants to be told of a job."""

    def __post_init__(self) -> None:
        if self.workers < 0:
            raise ConfigError(f"cluster.workers is {self.workers}, but must be 0 or more.")
        host, _, port = self.dashboard.rpartition(":")
        if not host or not port.isdigit():
            raise ConfigError(f"cluster.dashboard is {self.dashboard!r}, but must be host:port.")


@contextlib.contextmanager
def connect(target: str, settings: ClusterSettings, logs: Path | None = None) -> Generator[Client]:
    """Yield a client of *target*: `local` starts processes, `slurm` has SLURM start them,
    `tcp://…` joins a scheduler.

    At the end, however it comes, what the dashboard last showed is kept in the folder *logs*.
    Raises ConfigError where no scheduler answers, or SLURM refuses the jobs.
    """
    _quiet()
    if target == "local":
        with _local(settings) as cluster, Client(cluster) as client, _watched(client, logs):
            yield client
    elif target == "slurm":
        with _slurm(settings) as cluster, Client(cluster) as client, _watched(client, logs):
            yield client
    elif target.startswith(("tcp://", "tls://")):
        try:
            client = Client(target, timeout=_CONNECT_SECONDS)
        except (OSError, TimeoutError, ValueError) as error:
            raise ConfigError(
                f"--cluster {target}: no Dask scheduler answers there ({error}). "
                "Start one with `dask scheduler --preload flora.dashboard`, or leave the flag out."
            ) from error
        with client, _watched(client, logs):
            yield client
    else:
        raise ConfigError(
            f"--cluster {target}: write `local`, `slurm` or a scheduler's tcp:// address."
        )


def _quiet() -> None:
    """Keep Dask's own log for real trouble: failed units are told once, by the stage."""
    quiet = ("distributed", "distributed.nanny", "distributed.worker", "bokeh",
             "tornado", "tornado.application")  # fmt: skip
    for name in quiet:
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _local(settings: ClusterSettings) -> LocalCluster:
    for name, value in _ENVIRONMENT.items():
        dask.config.set({f"distributed.nanny.pre-spawn-environ.{name}": value})
    # Dask looks at itself a hundred times a second: at the stacks of all threads, at memory. With
    # threads that wait for hosts that is a tenth of a processor, and nobody looks at it here.
    dask.config.set(
        {
            "distributed.worker.profile.enabled": False,
            "distributed.worker.memory.monitor-interval": "500ms",
            "distributed.admin.system-monitor.interval": "5s",
            "distributed.scheduler.dashboard.tasks.task-stream-length": 10_000,
        }
    )
    return LocalCluster(
        n_workers=settings.workers or os.cpu_count() or 1,
        threads_per_worker=1,
        processes=True,
        memory_limit=settings.memory,
        host="127.0.0.1",
        dashboard_address=_free_address(settings.dashboard),
    )


def _slurm(settings: ClusterSettings) -> Any:
    """Start a scheduler here, and have SLURM start its workers on the nodes, a job each.

    Workers come and go as the queue lets them; one that its time limit ends is replaced.
    """
    if not is_here():
        raise ConfigError(
            "--cluster slurm: there is no sbatch on this machine. Run it on a login node of the "
            "cluster, or leave the flag out."
        )
    from dask_jobqueue import SLURMCluster

    ours = settings.slurm
    cluster = SLURMCluster(
        queue=ours.partition or None,
        account=ours.account or None,
        walltime=ours.time,
        interface=ours.interface or None,
        cores=1,
        processes=1,
        memory=settings.memory,
        job_script_prologue=[f"export {name}={value}" for name, value in _ENVIRONMENT.items()],
        job_extra_directives=["--output=/dev/null", *ours.lines],  # units that fail tell us
        scheduler_options={"dashboard_address": _free_address(settings.dashboard)},
    )
    asked = ["sbatch", "--test-only"]
    answer = subprocess.run(asked, input=cluster.job_script(), capture_output=True, text=True)
    if answer.returncode:
        cluster.close()
        raise ConfigError(
            f"--cluster slurm: sbatch refuses ({answer.stderr.strip()}). Partition, account, time "
            "and further lines are in flora.toml, [cluster.slurm]."
        )
    jobs = settings.workers or _JOBS
    cluster.adapt(minimum_jobs=jobs, maximum_jobs=jobs)
    return cluster


def _free_address(address: str) -> str:
    """Return *address*, or any free port of its host where another program sits on it."""
    host, _, port = address.rpartition(":")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, int(port)))
        except OSError:
            return f"{host}:0"
    return address


@contextlib.contextmanager
def _watched(client: Client, logs: Path | None) -> Generator[None]:
    """Have what *client* runs counted and shown, and keep what it came to in *logs*."""
    client.register_plugin(Tally())
    client.register_plugin(Post())
    client.run_on_scheduler(dashboard.serve)
    client.get_task_stream(start=0, stop=0)  # from now on tasks are noted for the report
    link = client.dashboard_link
    if link and link not in _told:
        _told.add(link)
        say(f"Dashboard: {link.removesuffix('/status')}{dashboard.ROUTE}")
    began = time.time()
    try:
        yield
    finally:
        if logs is not None:
            dashboard.save(client, logs, began)
