"""The whole of it: real ranks, killed and gone on with."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from flora import config, predictions, records
from flora.command import Options
from flora.errors import ConfigError, StageError
from flora.ledger import Ledger
from tests.train.squares import TINY, pack
from train import launch
from train.__main__ import evaluate, train
from train.data import Shards
from train.job import STOPPED, Job
from train.loop import Trainer
from train.world import World

TIMES = {"seconds", "images_per_second", "data_wait", "exchange"}


def options(data: Path, *sets: str, dry_run: bool = False) -> Options:
    """Return the flags of a run of TINY on *data*."""
    file = data / "flora.toml"
    file.write_text(config.show(TINY, "train"), encoding="utf-8")
    return Options(data=data, config=file, sets=sets, dry_run=dry_run)


def run_of(data: Path, name: str = "main") -> Path:
    return data / "runs" / name


def told(run: Path) -> list[dict[str, Any]]:
    """Return the lines of metrics.jsonl without what a clock says."""
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [{k: v for k, v in json.loads(line).items() if k not in TIMES} for line in lines]


def weights(run: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(run / "model.pt", weights_only=True)["state"]
    return state


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run that two ranks trained undisturbed, and evaluated."""
    data = tmp_path_factory.mktemp("finished")
    pack(data / "shards")
    train(options(data, "train.checkpoint_seconds=60"))
    evaluate(options(data))
    return data


def test_a_finished_run_is_evaluated_and_predicts(finished: Path) -> None:
    rows = predictions.read(run_of(finished) / "guesses-test.parquet")
    assert rows.ranks.tolist() == [1] * 6
    assert rows.top_labels[:, 0].tolist() == rows.labels.tolist()
    table = records.read(run_of(finished) / "predictions-test.parquet", records.PREDICTIONS)
    assert table["truth_rank"].to_pylist() == [1] * 6
    assert sum(table["top_probabilities"][0].as_py()) == pytest.approx(1, abs=1e-5)
    assert set(Ledger(run_of(finished)).receipts()) == {"train", "evaluate/val", "evaluate/test"}


def test_a_finished_run_says_so_and_does_nothing(
    finished: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in run_of(finished).rglob("*.*")}
    train(options(finished))
    evaluate(options(finished))
    heard = capfd.readouterr()
    assert "trained before" in heard.err
    assert "evaluated before" in heard.err
    del before[run_of(finished) / ".lock"]
    assert all(path.stat().st_mtime_ns == then for path, then in before.items())


def test_two_ranks_learn_what_one_learns(finished: Path, tmp_path: Path) -> None:
    settings = replace(TINY, dropout=0.0, checkpoint_seconds=60.0)
    asked = [
        Job(task="train", shards=finished / "shards", folder=folder, settings=settings, recipe="x")
        for folder in (tmp_path / "one", tmp_path / "two")
    ]
    Trainer(asked[0], Shards(finished / "shards"), World()).run()
    launch.run(asked[1], 2, cuda=False)
    for one, two in zip(told(tmp_path / "one"), told(tmp_path / "two"), strict=True):
        assert two["loss"] == pytest.approx(one["loss"], rel=1e-4)
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert all(torch.allclose(one[name], two[name], atol=1e-3) for name in one)


def test_a_run_killed_and_started_again_ends_the_same(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "shards").symlink_to(finished / "shards")
    flags = options(tmp_path)
    command = [sys.executable, "-m", "train", "--data", str(tmp_path)]
    command += ["--config", str(flags.config)]
    launcher = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        ranks = killed_at_step(launcher, run_of(tmp_path), 7)
    finally:
        launcher.kill()
        launcher.wait()
    assert len(ranks) == 2
    deadline = time.monotonic() + 10
    while any(is_alive(rank) for rank in ranks):
        assert time.monotonic() < deadline, "a rank outlived its launcher"
        time.sleep(0.05)
    assert not Ledger(run_of(tmp_path)).receipts()
    train(flags)
    assert_same(run_of(tmp_path), run_of(finished))


def test_a_run_asked_to_stop_writes_a_checkpoint_and_goes_on_the_same(
    finished: Path, tmp_path: Path
) -> None:
    (tmp_path / "shards").symlink_to(finished / "shards")
    flags = options(tmp_path, "train.checkpoint_seconds=600")
    command = [sys.executable, "-m", "train", "--data", str(tmp_path), "--nodes", "2"]
    command += ["--config", str(flags.config), "--set=train.checkpoint_seconds=600"]
    command += ["--set=train.ranks=1"]
    here = {**os.environ, "PATH": ""}  # without SLURM, wherever these tests are run
    launcher = subprocess.Popen(command, env=here, stderr=subprocess.PIPE, text=True)
    try:
        wait_for_step(launcher, run_of(tmp_path), 4)  # the end of the first phase
        launcher.send_signal(signal.SIGUSR1)
        said = launcher.communicate(timeout=60)[1]
    finally:
        launcher.kill()
        launcher.wait()
    assert launcher.returncode == STOPPED
    assert "2 nodes are 2 processes of this machine" in said
    assert re.search(r"stopped as asked, at step [1-9]\d? of 32; the same command goes on", said)
    assert not (run_of(tmp_path) / "model.pt").exists()
    train(flags)
    assert_same(run_of(tmp_path), run_of(finished))


def test_torchrun_may_start_the_ranks(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "shards").symlink_to(finished / "shards")
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]
    command += ["--standalone", "-m", "train", "--data", str(tmp_path)]
    command += ["--config", str(options(tmp_path).config)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert_same(run_of(tmp_path), run_of(finished))
    assert Ledger(run_of(tmp_path)).receipts()["train"].detail["ranks"] == 2


def assert_same(run: Path, other: Path) -> None:
    """See that two runs told the same and ended with the same weights, to the last bit."""
    assert told(run) == told(other)
    mine, theirs = weights(run), weights(other)
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)


def wait_for_step(launcher: subprocess.Popen[Any], run: Path, step: int) -> None:
    """Return once there is a checkpoint of *step* or later."""
    deadline = time.monotonic() + 120
    while max((int(path.name[:9]) for path in run.glob("checkpoints/[0-9]*")), default=0) < step:
        assert launcher.poll() is None, "the launcher ended by itself"
        assert time.monotonic() < deadline, "no checkpoint came"
        time.sleep(0.02)


def killed_at_step(launcher: subprocess.Popen[bytes], run: Path, step: int) -> list[int]:
    """Kill *launcher* once there is a checkpoint of *step* or later; return its ranks."""
    wait_for_step(launcher, run, step)
    children = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text()
    os.kill(launcher.pid, signal.SIGKILL)
    return [int(child) for child in children.split()]


def is_alive(process: int) -> bool:
    try:
        status = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status not in "ZX"


def test_a_dead_rank_ends_the_run_with_its_error(tmp_path: Path) -> None:
    pack(tmp_path / "shards")
    with pytest.raises(ConfigError, match="timm has no oak"):
        train(options(tmp_path, "train.backbone=oak"))
    assert not Ledger(run_of(tmp_path)).receipts()


def test_a_rank_that_is_killed_ends_the_run(tmp_path: Path) -> None:
    pack(tmp_path / "shards")
    killer = threading.Thread(target=kill_a_rank)
    killer.start()
    with pytest.raises(StageError, match=r"rank [01] of 2 ended with signal 9"):
        train(options(tmp_path))
    killer.join()


def kill_a_rank() -> None:
    """Kill the first rank that this process starts."""
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for child in children.read_text().split():
            if b"train.rank" in Path(f"/proc/{child}/cmdline").read_bytes():
                return os.kill(int(child), signal.SIGKILL)
        time.sleep(0.01)


def test_changed_settings_train_anew_and_say_so(
    finished: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    changed = options(finished, "train.seed=1", dry_run=True)
    train(changed)
    assert "would start anew: its recipe changed" in capfd.readouterr().err
    evaluate(changed)  # of the run as it is
    assert "is done" in capfd.readouterr().err


def test_the_number_of_ranks_is_no_part_of_the_recipe(
    finished: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    train(options(finished, "train.ranks=1"))
    assert "trained before" in capfd.readouterr().err


def test_a_folder_in_use_is_left_alone(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flora.ledger.LOCK_PATIENCE", 0.1)
    with Ledger(run_of(finished)).lock(), pytest.raises(StageError, match="another run"):
        train(options(finished))


@pytest.mark.parametrize("name", ["../up", "", ".hidden", "a/b"])
def test_a_run_is_named_by_a_plain_word(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="--run"):
        train(Options(data=tmp_path), run=name)


def test_a_dry_run_shows_the_batch_script(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    pack(tmp_path / "shards")
    train(options(tmp_path, dry_run=True), nodes=4)
    heard = capfd.readouterr()
    assert heard.out.startswith("#!/bin/bash\n#SBATCH ")
    assert "exec srun" in heard.out
    assert "there is no sbatch here, so 4 nodes are 8 processes of this machine" in heard.err
    assert not run_of(tmp_path).exists()


def test_more_gpus_than_there_are_is_a_mistake() -> None:
    with pytest.raises(ConfigError, match="--gpus 999"):
        launch.devices(TINY, 999)
