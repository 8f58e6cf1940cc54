import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shards import gather, units
from shards.config import ShardSettings
from shards.units import Task
from tests import dataset


def packed(data: Path, **how: Any) -> tuple[dict[str, str], int]:
    """Pack as the units do; return the digest of each shard, and how many spills there were."""
    settings = ShardSettings(stripe_bytes=20_000, stripes=8, **how)
    task = Task(data=data, settings=settings)
    planned = units.make_plan(task).detail
    task = replace(task, straight=planned["straight"], spills=len(planned["spills"]))
    for number in range(task.spills):
        units.make_spill(replace(task, number=number))
    found = dict[str, str]()
    for number, name in enumerate(units.make_cut(task).detail["shards"]):
        units.make_shard(replace(task, name=name, number=number))
        found |= units.make_sums(replace(task, shards=(name,))).detail
        tar = (data / "shards" / f"{name}.tar").read_bytes()
        assert hashlib.sha256(tar).hexdigest() == found[name]
    return found, task.spills


@pytest.mark.parametrize("one_pass_bytes", [0, 2**30])
def test_spills_of_several_runs_give_the_same_bytes(tmp_path: Path, one_pass_bytes: int) -> None:
    dataset.write(tmp_path, each=50)
    how = {"form": "original", "one_pass_bytes": one_pass_bytes}
    one, spills = packed(tmp_path, **how)
    assert len(one) > 3 and spills == 1
    many, spills = packed(tmp_path, **how, gather_bytes=1)
    assert spills == 75  # of two pictures each, which are two runs
    assert many == one


def test_there_are_so_many_runs_in_a_spill_that_spills_stay_few() -> None:
    for groups in (1, 2, 128, 129, 1688, 100_000):
        assert -(-groups // gather.runs(groups)) <= 128
    assert gather.runs(128) == 1
