"""How ranks come about: from a batch script, from srun's word, from torchrun, from ourselves."""

import json
import os
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from flora.command import Options
from flora.errors import ConfigError, StageError
from flora.slurm import SlurmSettings
from tests.train.squares import TINY, job
from train import launch, slurm

LIMITED = {"SLURM_JOB_ID": "7", "SLURM_RESTART_COUNT": "1"}


def script(folder: Path, *sets: str, gpus: int | None = None, nodes: int = 4) -> str:
    return slurm.script(job(folder), Options(data=folder, sets=sets), gpus, nodes)


def program(folder: Path, name: str, text: str) -> None:
    """Write a shell script that stands in for a program of SLURM's."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/bash\n{text}\n", encoding="utf-8")
    (folder / name).chmod(stat.S_IRWXU)


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of stand-ins, first on PATH; scontrol writes down what it is asked."""
    folder = tmp_path / "commands"
    program(folder, "scontrol", f'echo "$@" >> {tmp_path}/asked')
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def test_the_script_asks_for_nodes_a_signal_and_a_second_job(tmp_path: Path) -> None:
    text = script(tmp_path, gpus=2)
    for line in (
        "--nodes=4",
        "--ntasks-per-node=2",
        "--gpus-per-node=2",
        "--time=24:00:00",
        "--signal=B:USR1@120",
        "--requeue",
        "--open-mode=append",
        f"--output={tmp_path}/runs/main/train.log",
    ):
        assert f"\n#SBATCH {line}\n" in text
    assert "partition" not in text and "account" not in text
    assert f"--data {tmp_path} --run main --gpus 2 train" in text


def test_the_settings_reach_the_script(tmp_path: Path) -> None:
    sets = ("cluster.slurm.partition=long", "cluster.slurm.account=flora", "train.seed=3",
            'cluster.slurm.lines=["--qos=big", "--exclusive"]',
            "cluster.slurm.interface=ib0")  # fmt: skip
    text = script(tmp_path, *sets)
    for line in ("--partition=long", "--account=flora", "--qos=big", "--exclusive"):
        assert f"\n#SBATCH {line}\n" in text
    assert "export NCCL_SOCKET_IFNAME=ib0" in text
    assert "--set=train.seed=3" in text


def test_a_cpu_node_has_as_many_ranks_as_the_settings_say(tmp_path: Path) -> None:
    text = script(tmp_path)
    assert TINY.ranks == 2 and "--ntasks-per-node=2" in text
    assert "gpus" not in text


def test_names_with_blanks_stay_whole(tmp_path: Path) -> None:
    text = script(tmp_path / "two words", "train.weights=none")
    path = tmp_path / "train.sbatch"
    path.write_text(text, encoding="utf-8")
    subprocess.run(["bash", "-n", path], check=True)
    assert f"--data '{tmp_path}/two words'" in text


def test_weights_that_only_the_internet_has_are_no_ground_for_a_job(tmp_path: Path) -> None:
    asked = job(tmp_path, replace(TINY, weights="hub"))
    with pytest.raises(ConfigError, match="python -m train weights"):
        slurm.script(asked, Options(data=tmp_path), None, 2)


def test_a_line_that_is_no_option_is_a_mistake() -> None:
    with pytest.raises(ConfigError, match=r"cluster\.slurm\.lines"):
        SlurmSettings(lines=("#SBATCH --qos=long",))


def test_what_sbatch_refuses_is_one_message(tmp_path: Path, commands: Path) -> None:
    program(commands, "sbatch", "echo 'invalid partition' >&2; exit 1")
    with pytest.raises(ConfigError, match=r"train\.sbatch: invalid partition\. Partition, account"):
        slurm.submit(job(tmp_path), Options(data=tmp_path), None, 2)


@pytest.fixture
def shell(tmp_path: Path, commands: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """The batch script, its ranks asked for by a stand-in that leaves with 75 when signalled."""
    program(
        commands,
        "srun",
        f"trap 'exit 75' USR1; echo > {tmp_path}/ready; for _ in {{1..200}}; do sleep 0.05; done",
    )
    path = tmp_path / "train.sbatch"
    path.write_text(script(tmp_path), encoding="utf-8")
    process = subprocess.Popen(
        ["bash", path], env={**os.environ, **LIMITED}, start_new_session=True
    )
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_the_script_passes_the_signal_on_and_asks_for_its_requeue(
    tmp_path: Path, shell: "subprocess.Popen[bytes]"
) -> None:
    while not (tmp_path / "ready").exists():
        assert shell.poll() is None
        time.sleep(0.02)
    shell.send_signal(signal.SIGUSR1)
    assert shell.wait(10) == 75
    assert (tmp_path / "asked").read_text(encoding="utf-8") == "requeue 7\n"


@pytest.mark.parametrize(("code", "requeued"), [(0, False), (2, False), (75, True)])
def test_a_job_goes_back_to_the_queue_only_where_it_stopped(
    tmp_path: Path, commands: Path, code: int, requeued: bool
) -> None:
    program(commands, "srun", f"exit {code}")
    path = tmp_path / "train.sbatch"
    path.write_text(script(tmp_path), encoding="utf-8")
    done = subprocess.run(["bash", path], env={**os.environ, **LIMITED})
    assert done.returncode == code
    assert (tmp_path / "asked").exists() == requeued


def test_a_task_of_srun_knows_its_place(commands: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(commands, "scontrol", "printf 'oak1\\noak2\\n'")
    said = {"STEP_NUM_TASKS": "4", "STEP_NODELIST": "oak[1-2]", "PROCID": "3", "LOCALID": "1",
            "JOB_ID": "12", "STEP_ID": "0"}  # fmt: skip
    for name, value in said.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)  # and so what adopt() sets is gone after the test
    slurm.adopt()
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR")
    assert [os.environ[name] for name in names] == ["3", "4", "1", "oak1"]
    port = os.environ["MASTER_PORT"]
    assert 20_000 <= int(port) < 30_000
    assert launch.is_rank() and not launch.is_first()
    assert launch.devices(TINY, 0) == (4, False)
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    for name in ("RANK", "MASTER_PORT"):
        monkeypatch.delenv(name)
    slurm.adopt()
    assert os.environ["MASTER_PORT"] != port, "a port in use is not met again"


def test_a_task_that_is_alone_is_no_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "1")
    slurm.adopt()
    assert not launch.is_rank() and launch.is_first()


def test_requeues_that_get_a_run_nowhere_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    for count, step in enumerate([0, 0, 40, 40, 40]):
        monkeypatch.setenv("SLURM_RESTART_COUNT", str(count))
        (tmp_path / "checkpoints" / f"{step:09}-abcdef").mkdir(parents=True, exist_ok=True)
        slurm.check_progress(tmp_path)
    assert json.loads((tmp_path / "starts.json").read_text()) == [0, 0, 40, 40, 40]
    monkeypatch.setenv("SLURM_RESTART_COUNT", "5")
    with pytest.raises(StageError, match="no progress over 3 requeues; all began at step 40"):
        slurm.check_progress(tmp_path)
    monkeypatch.setenv("SLURM_RESTART_COUNT", "0")  # a job of its own has its own chances
    slurm.check_progress(tmp_path)


def test_nodes_without_slurm_are_processes_of_this_machine() -> None:
    assert launch.devices(TINY, 0, nodes=4) == (8, False)
    with pytest.raises(ConfigError, match="--gpus 999 on each of 2 nodes"):
        launch.devices(TINY, 999, nodes=2)
