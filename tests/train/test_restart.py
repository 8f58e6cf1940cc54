"""Killed, and gone on with on another number of ranks: real processes, really killed."""

import random
from pathlib import Path

from bench import restart
from tests.train.squares import pack


def test_a_run_killed_on_2_1_and_4_ranks_ends_as_an_undisturbed_one(tmp_path: Path) -> None:
    pack(tmp_path / "shards", train=40, val=0, bad=(7,))
    found = restart.compare(tmp_path, 3, random.Random(0))
    assert found["ranks"] == [2, 1, 4, 2]
    assert found["ids_equal"]
    assert found["weight_error"] <= 1e-6
