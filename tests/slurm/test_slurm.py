"""Training and packing on a real SLURM: submitted, signalled, requeued, done, and the same."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import torch

from flora import config
from tests import dataset
from tests.slurm import box
from tests.train.squares import TINY, pack

ROOT = Path(__file__).parent.parent.parent
PATIENCE = 240
SETTINGS = replace(TINY, ranks=1, checkpoint_seconds=600.0, full=replace(TINY.full, epochs=16))
"""A rank a node, and no checkpoint but those that are asked for."""

pytestmark = pytest.mark.usefixtures("slurm")


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def make(target: str, data: Path, **variables: object) -> str:
    """Run `make` as a person would; return what it said."""
    given = {"VENV": sys.prefix, "DATA": data, "ARGS": "", **variables}
    ready = f"--assume-old={sys.prefix}/.ready"
    command = ["make", ready, target, *(f"{name}={value}" for name, value in given.items())]
    fresh = {name: value for name, value in os.environ.items() if name != "MAKEFLAGS"}
    done = subprocess.run(command, cwd=ROOT, env=fresh, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def ask(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def job_of(number: str) -> dict[str, str]:
    """Return what SLURM says of a job."""
    text = ask("scontrol", "--oneliner", "show", "job", number)
    return dict(re.findall(r"(\w+)=(\S*)", text))


def state_in_haste(number: str) -> str:
    """Return the state of a job; one that was requeued starts now, not two minutes later."""
    job = job_of(number)
    soon = datetime.now() + timedelta(seconds=5)
    # Only where it would take long: who asks again and again puts the start off.
    if job["JobState"] == "PENDING" and job["StartTime"] > soon.isoformat():
        haste = ["scontrol", "update", f"JobId={number}", "StartTime=now"]
        subprocess.run(haste, capture_output=True)  # refused where it started meanwhile
    return job["JobState"]


def wait_for(what: Callable[[], object], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not what():
        if time.monotonic() > deadline:
            heard = log.read_text(encoding="utf-8") if log.is_file() else "no log"
            raise AssertionError(f"{ask('scontrol', 'show', 'jobs')}\n{heard}")
        time.sleep(0.3)


def lines(run: Path) -> list[dict[str, Any]]:
    path = run / "metrics.jsonl"
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return [json.loads(line) for line in text.splitlines()]


def told(run: Path) -> list[dict[str, Any]]:
    """Return the lines of metrics.jsonl without what a clock says."""
    clock = {"seconds", "images_per_second", "data_wait", "exchange"}
    return [{k: v for k, v in line.items() if k not in clock} for line in lines(run)]


def weights(run: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(run / "model.pt", weights_only=True)["state"]
    return state


def test_a_run_of_four_nodes_is_stopped_requeued_and_ends_as_an_undisturbed_one(
    tmp_path: Path,
) -> None:
    pack(tmp_path / "shards")
    file = tmp_path / "flora.toml"
    file.write_text(config.show(SETTINGS, "train"), encoding="utf-8")
    run, log = tmp_path / "runs" / "main", tmp_path / "runs" / "main" / "train.log"

    said = make("train", tmp_path, CONFIG=file, NODES=box.NODES)
    number = re.findall(r"SLURM's job (\d+)", said)[0]
    wait_for(lambda: any(line["phase"] == "full" for line in lines(run)), log)
    assert job_of(number)["NumNodes"] == str(box.NODES)

    ask("scancel", "--batch", "--signal=USR1", number)  # as SLURM does before the time limit
    wait_for(lambda: job_of(number)["JobState"] == "PENDING", log)
    stopped = re.findall(r"stopped as asked, at step (\d+)", log.read_text(encoding="utf-8"))
    assert len(stopped) == 1, "one rank speaks for all"
    assert not (run / "model.pt").exists()

    wait_for(lambda: state_in_haste(number) == "COMPLETED", log)
    assert job_of(number)["Restarts"] == "1"
    starts = json.loads((run / "starts.json").read_text(encoding="utf-8"))
    assert starts[0] == 0 and starts[1] > int(stopped[0]), "it did not start anew"
    assert "trained before" in make("train", tmp_path, CONFIG=file, NODES=box.NODES)

    undisturbed = [sys.executable, "-m", "train", "--data", tmp_path, "--config", file]
    undisturbed += ["--run", "undisturbed", "--nodes", str(box.NODES)]
    local = subprocess.run(
        undisturbed, env={**os.environ, "PATH": ""}, capture_output=True, text=True
    )
    assert "there is no sbatch here" in local.stderr
    assert told(run) == told(tmp_path / "runs" / "undisturbed")
    mine, theirs = weights(run), weights(tmp_path / "runs" / "undisturbed")
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)


def test_a_mistake_in_the_settings_ends_the_job_and_says_what_it_is(tmp_path: Path) -> None:
    pack(tmp_path / "shards")
    file = tmp_path / "flora.toml"
    file.write_text(config.show(replace(SETTINGS, backbone="oak"), "train"), encoding="utf-8")
    log = tmp_path / "runs" / "main" / "train.log"
    said = make("train", tmp_path, CONFIG=file, NODES=2)
    number = re.findall(r"SLURM's job (\d+)", said)[0]
    wait_for(lambda: job_of(number)["JobState"] == "FAILED", log)
    assert job_of(number)["Restarts"] == "0"
    assert "timm has no oak" in log.read_text(encoding="utf-8")


def test_dask_workers_on_slurm_pack_the_same_bytes(tmp_path: Path) -> None:
    for name in ("here", "slurm"):
        dataset.write(tmp_path / name)
    sets = f"--set cluster.workers=2 --set cluster.slurm.interface={box.NETWORK}"
    sets += " --set cluster.dashboard=127.0.0.1:0"
    make("shards", tmp_path / "here", ARGS=sets)
    make("shards", tmp_path / "slurm", ARGS=sets, CLUSTER="slurm")
    tars = [sorted((tmp_path / name / "shards").glob("*.tar")) for name in ("here", "slurm")]
    assert [tar.name for tar in tars[0]] == [tar.name for tar in tars[1]]
    assert len(tars[0]) >= 3
    for here, there in zip(*tars, strict=True):
        assert here.read_bytes() == there.read_bytes()
    assert ask("scontrol", "show", "jobs").count("JobName=dask-worker") == 2
    wait_for(lambda: not ask("squeue", "--noheader"), tmp_path / "none")  # they end with it


def test_partitions_that_are_not_there_are_refused_with_one_message(tmp_path: Path) -> None:
    dataset.write(tmp_path)
    command = [sys.executable, "-m", "shards", "--data", str(tmp_path), "--cluster", "slurm"]
    command += ["--set", "cluster.slurm.partition=nowhere"]
    command += ["--set", f"cluster.slurm.interface={box.NETWORK}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert "sbatch refuses" in done.stderr and "nowhere" in done.stderr
    assert "Traceback" not in done.stderr
