import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from flora.command import Options
from flora.errors import ConfigError, ContractError, LaterError, StageError
from flora.ledger import Ledger, Receipt
from flora.stage import Outcome, Run, Unit
from flora.tally import Meter


def count(task: Any) -> Outcome:
    meter = Meter("test")
    meter.count(rows=int(task))
    return Outcome(rows=int(task))


def note_when(task: Any) -> Outcome:
    folder, name = task
    start = time.time()
    time.sleep(0.1)
    (folder / name).write_text(f"{start} {time.time()}")
    return Outcome()


def fail_once(task: Any) -> Outcome:
    if not task.exists():
        task.touch()
        raise RuntimeError("the first time")
    return Outcome()


def fail(task: Any) -> Outcome:
    raise RuntimeError(f"no {task}")


def fill_the_disk(task: Any) -> Outcome:
    with Path("/dev/full").open("wb", buffering=0) as file:
        file.write(b"x")
    return Outcome()


def break_a_contract(task: Any) -> Outcome:
    raise ContractError("species.parquet: is not there.")


def die(task: Any) -> Outcome:
    os._exit(1)


def units(tasks: Sequence[Any], recipe: str = "r", lane: str = "") -> list[Unit]:
    return [
        Unit(name=f"u/{i}", recipe=recipe, task=task, lane=lane) for i, task in enumerate(tasks)
    ]


def run(
    cluster: str, folder: Path, todo: list[Unit], work: Callable[[Any], Outcome], dry: bool = False
) -> dict[str, Receipt]:
    folder.mkdir(parents=True, exist_ok=True)
    with Run(Options(data=folder, cluster=cluster, dry_run=dry)) as stage:
        return stage.units("test", folder, todo, work)


def test_units_run_and_leave_receipts(cluster: str, tmp_path: Path) -> None:
    receipts = run(cluster, tmp_path, units([1, 2, 3]), count)
    assert [receipt.rows for receipt in receipts.values()] == [1, 2, 3]
    assert Ledger(tmp_path).receipts() == receipts
    assert Ledger(tmp_path).planned() == {"test": 3}


def test_what_is_done_is_not_done_again_until_its_recipe_changes(
    cluster: str, tmp_path: Path
) -> None:
    first = run(cluster, tmp_path, units([1, 2]), count)
    assert run("no cluster is needed", tmp_path, units([8, 8]), count) == first
    again = run(cluster, tmp_path, units([8, 8], recipe="changed"), count)
    assert [receipt.rows for receipt in again.values()] == [8, 8]


def test_a_dry_run_does_nothing_and_says_why(
    cluster: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run(cluster, tmp_path, units([1]), count)
    run(cluster, tmp_path, units([1, 2], recipe="changed"), count, dry=True)
    said = capfd.readouterr().err
    assert "2 of 2 units would run" in said
    assert "u/0: its recipe changed" in said
    assert "u/1: never done" in said
    assert list(Ledger(tmp_path).receipts()) == ["u/0"]


def test_units_of_one_lane_never_overlap(cluster: str, tmp_path: Path) -> None:
    run(cluster, tmp_path, units([(tmp_path, f"t{i}") for i in range(4)], lane="a.org"), note_when)
    times = sorted(tuple(map(float, path.read_text().split())) for path in tmp_path.glob("t?"))
    assert all(end <= start for (_, end), (start, _) in pairwise(times))


def test_a_unit_that_fails_is_tried_again(cluster: str, tmp_path: Path) -> None:
    assert len(run(cluster, tmp_path, units([tmp_path / "mark"]), fail_once)) == 1


def test_a_unit_that_keeps_failing_does_not_stop_the_others(cluster: str, tmp_path: Path) -> None:
    todo = [*units(["way"]), Unit(name="good", recipe="r", task=1)]
    with pytest.raises(StageError, match=r"1 of 2 units failed, u/0 with: RuntimeError: no way"):
        run(cluster, tmp_path, todo, fail_unless_number)
    assert list(Ledger(tmp_path).receipts()) == ["good"]
    logged = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [entry["unit"] for entry in logged] == ["u/0"] * 3


def test_a_stage_that_only_fails_gives_up_early(cluster: str, tmp_path: Path) -> None:
    with pytest.raises(StageError, match="The rest was not tried"):
        run(cluster, tmp_path, units(["way"] * 50), fail)
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) < 50


def fail_unless_number(task: Any) -> Outcome:
    return count(task) if isinstance(task, int) else fail(task)


def test_a_full_disk_ends_the_stage_with_one_message(cluster: str, tmp_path: Path) -> None:
    with pytest.raises(StageError, match="the disk is full"):
        run(cluster, tmp_path, units([1]), fill_the_disk)


def test_a_broken_contract_ends_the_stage_with_its_own_error(cluster: str, tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"species\.parquet"):
        run(cluster, tmp_path, units([1]), break_a_contract)


def test_a_scheduler_that_is_not_there_is_a_mistake_in_the_flags(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flora.cluster._CONNECT_SECONDS", 1)
    with pytest.raises(ConfigError, match="no Dask scheduler answers"):
        run("tcp://127.0.0.1:1", tmp_path, units([1]), count)


def spent(task: Any) -> Outcome:
    if task == "spent":
        raise LaterError("engine a: today's requests are used up.")
    return Outcome()


def test_what_has_to_wait_closes_its_lane_and_no_other(cluster: str, tmp_path: Path) -> None:
    todo = [
        Unit(name=f"{lane}/{i}", recipe="r", task=task, lane=lane)
        for lane, tasks in (("a", [0, "spent", 2]), ("b", [0, 1]))
        for i, task in enumerate(tasks)
    ]
    with pytest.raises(LaterError, match=r"2 of 5 units have to wait.*used up"):
        run(cluster, tmp_path, todo, spent)
    assert sorted(Ledger(tmp_path).receipts()) == ["a/0", "b/0", "b/1"]


def test_units_that_mostly_wait_are_in_hand_together(cluster: str, tmp_path: Path) -> None:
    todo = [replace(unit, waits=True) for unit in units([(tmp_path, f"t{i}") for i in range(12)])]
    run(cluster, tmp_path, todo, note_when)
    times = sorted(tuple(map(float, path.read_text().split())) for path in tmp_path.glob("t*"))
    most = max(sum(start <= at < end for start, end in times) for at, _ in times)
    assert most > 2  # there are two workers of one thread


def test_units_may_come_up_while_others_run(cluster: str, tmp_path: Path) -> None:
    late = [replace(unit, name=f"{unit.name}-later") for unit in units([1])]
    calls = iter([late, [], None])
    with Run(Options(data=tmp_path, cluster=cluster)) as stage:
        receipts = stage.units("test", tmp_path, units([1, 2]), count, more=lambda: next(calls))
    assert sorted(receipts) == ["u/0", "u/1"]
    assert sorted(Ledger(tmp_path).receipts()) == ["u/0", "u/0-later", "u/1"]
    assert Ledger(tmp_path).planned() == {"test": 3}


def test_the_lane_with_the_most_left_goes_first(cluster: str, tmp_path: Path) -> None:
    short = [replace(unit, seconds=1.0) for unit in units([(tmp_path, f"s{i}") for i in range(6)])]
    (long,) = units([(tmp_path, "long")])
    run(cluster, tmp_path, [*short, replace(long, name="long", seconds=60.0)], note_when)
    starts = {path.name: float(path.read_text().split()[0]) for path in tmp_path.glob("[sl]*")
              if path.is_file()}  # fmt: skip
    assert sorted(starts, key=starts.__getitem__).index("long") < 2
