from pathlib import Path

import pytest
import torch

from train.checkpoint import Checkpoints


def saved(folder: Path, recipe: str = "a") -> Checkpoints:
    checkpoints = Checkpoints(folder, recipe)
    for number in (9, 10, 11):
        checkpoints.save(number, {"step": number, "model": {"weight": torch.full((9,), number)}})
    return checkpoints


def test_the_newest_two_are_kept_and_the_newest_is_taken(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path)
    assert [path.name[:9] for path in sorted(tmp_path.iterdir())] == ["000000010", "000000011"]
    state = checkpoints.newest()
    assert state is not None
    assert state["step"] == 11
    assert state["model"]["weight"].tolist() == [11] * 9


@pytest.mark.parametrize("keep", [0.0, 0.5])
def test_a_spoiled_one_gives_way_to_the_one_before(
    tmp_path: Path, keep: float, capfd: pytest.CaptureFixture[str]
) -> None:
    checkpoints = saved(tmp_path)
    newest = sorted(tmp_path.iterdir())[-1]
    data = newest.read_bytes()
    newest.write_bytes(data[: int(len(data) * keep)])
    state = checkpoints.newest()
    assert state is not None
    assert state["step"] == 10
    assert "spoiled" in capfd.readouterr().err


def test_one_changed_bit_is_enough(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path)
    newest = sorted(tmp_path.iterdir())[-1]
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes(data)
    state = checkpoints.newest()
    assert state is not None
    assert state["step"] == 10


def test_those_of_another_recipe_are_never_loaded(tmp_path: Path) -> None:
    saved(tmp_path, "a")
    assert Checkpoints(tmp_path, "b").newest() is None


def test_a_folder_without_any_has_none(tmp_path: Path) -> None:
    assert Checkpoints(tmp_path / "none", "a").newest() is None
