import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench import demo_kills
from demo.__main__ import main
from flora.ledger import Ledger

SMALL = (
    "--species", "6", "--pictures", "150",
    "--set", "train.image_size=32", "--set", "train.head.epochs=2", "--set", "train.full.epochs=1",
    "--set", "train.backbone=mobilenetv3_small_050", "--set", "train.weights=none",
    "--set", "train.checkpoint_seconds=1",
)  # fmt: skip
"""A demo of half a minute: its model learns little, and no goal is set for that."""


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("calm")
    demo_kills.run(data, *SMALL)
    return data


def test_the_whole_job_runs_and_says_what_it_did(calm: Path) -> None:
    for stage in ("checklist", "candidates", "images", "verdicts", "shards", "runs/main"):
        assert Ledger(calm / stage).receipts(), stage
    page = (calm / "report.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    found = json.loads((calm / "truth.json").read_text())
    goals = {goal["what"]: goal["met"] for goal in found["goals"]}
    assert goals["exact, re-encoded and resized copies found"]
    assert goals["pictures wrongly dropped"]


def test_status_is_a_table_of_all_stages(calm: Path) -> None:
    command = [sys.executable, "-m", "flora", "--data", str(calm), "status"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\n")
    assert lines[0].split() == ["stage", "units", "rows", "bytes", "refused", "seconds", "last"]
    for line in lines[2:6]:
        units = line.split()[1]
        assert units.partition("/")[0] == units.partition("/")[2], line
    assert lines[6].startswith("runs/main")


def test_a_second_run_changes_nothing(calm: Path) -> None:
    files = {p: p.stat().st_mtime_ns for p in calm.rglob("*") if p.suffix in (".tar", ".parquet")}
    demo_kills.run(calm, *SMALL)
    again = {p: p.stat().st_mtime_ns for p in calm.rglob("*") if p.suffix in (".tar", ".parquet")}
    changed = {
        path.name for path in files.keys() | again.keys() if files.get(path) != again.get(path)
    }
    assert changed <= {"names.parquet"}


def test_three_kills_change_nothing_in_the_end(calm: Path, tmp_path: Path) -> None:
    demo_kills.kill(tmp_path, 3, 25.0, random.Random(7), *SMALL)
    demo_kills.run(tmp_path, *SMALL)
    assert demo_kills.differences(calm, tmp_path) == []


def test_two_runs_on_one_folder_do_not_mix(tmp_path: Path) -> None:
    command = demo_kills._command(tmp_path, *SMALL)
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not (tmp_path / ".lock").exists():
            time.sleep(0.05)
        time.sleep(0.5)
        second = subprocess.run(command, check=False, capture_output=True, text=True)
    finally:
        first.send_signal(signal.SIGKILL)
        first.wait()
    assert second.returncode == 1
    assert f"another run (process {first.pid}) is working here" in second.stderr
    assert "Traceback" not in second.stderr


def test_a_dry_run_of_the_demo_touches_nothing(tmp_path: Path) -> None:
    assert main(["--data", str(tmp_path / "data"), "--dry-run"]) == 0
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        (["--set", "crawler.conections=3"], 2, "there is no setting crawler.conections"),
        (["--set", "train.image_size=big"], 2, "train.image_size is 'big'"),
        (["--config", "absent.toml"], 2, "absent.toml: cannot be read"),
        (["--photos", "absent"], 2, "--checklist"),
        (["--photos", "absent", "--checklist", "absent.csv"], 2, "absent"),
        (["--checklist", "absent.csv"], 2, "absent.csv"),
        (["--cluster", "tcp://127.0.0.1:1"], 2, "no Dask scheduler answers"),
    ],
)
def test_a_mistake_is_one_clear_message(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    flags: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.setattr("flora.cluster._CONNECT_SECONDS", 1)
    data = ["--data", str(tmp_path / "data"), "--species", "6", "--pictures", "30"]
    assert main([*data, *flags]) == code
    said = capfd.readouterr().err
    assert message in said
    assert said.count("Error:") == 1
    assert "Traceback" not in said
