import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from train.checkpoint import Checkpoints

ROWS = range(9)
PARTS = ["shared.pt", "rows-0000000-0000009.safetensors", "manifest.json"]


def saved(folder: Path, recipe: str = "a") -> Checkpoints:
    checkpoints = Checkpoints(folder, recipe)
    for number in (9, 10, 11):
        shared = {"step": number, "model": {"weight": torch.full((4,), number)}}
        checkpoints.begin(number, shared, {"weight": torch.full((9, 2), number)}, ROWS)
    checkpoints.finish()
    return checkpoints


def found(checkpoints: Checkpoints) -> dict[str, Any]:
    shared = checkpoints.newest()
    assert shared is not None
    return shared


def test_the_newest_two_are_kept_and_the_newest_is_taken(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["000000010", "000000011"]
    assert sorted(path.name for path in (tmp_path / "000000011").iterdir()) == sorted(PARTS)
    shared = found(checkpoints)
    assert shared["step"] == 11
    assert shared["model"]["weight"].tolist() == [11] * 4
    assert checkpoints.rows(ROWS)["weight"].tolist() == [[11, 11]] * 9


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("keep", [0.0, 0.5])
def test_a_spoiled_one_gives_way_to_the_one_before(
    tmp_path: Path, part: str, keep: float, capfd: pytest.CaptureFixture[str]
) -> None:
    checkpoints = saved(tmp_path)
    newest = tmp_path / "000000011" / part
    data = newest.read_bytes()
    newest.write_bytes(data[: int(len(data) * keep)])
    assert found(checkpoints)["step"] == 10
    assert checkpoints.rows(ROWS)["weight"].tolist() == [[10, 10]] * 9
    assert "spoiled" in capfd.readouterr().err


@pytest.mark.parametrize("part", PARTS[:2])
def test_one_changed_bit_is_enough(tmp_path: Path, part: str) -> None:
    checkpoints = saved(tmp_path)
    newest = tmp_path / "000000011" / part
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes(data)
    assert found(checkpoints)["step"] == 10


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_is_gone_is_missed(tmp_path: Path, part: str) -> None:
    checkpoints = saved(tmp_path)
    (tmp_path / "000000011" / part).unlink()
    assert found(checkpoints)["step"] == 10


def test_what_was_begun_and_not_finished_is_none(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path)
    shutil.copytree(tmp_path / "000000011", tmp_path / ".000000012")
    (tmp_path / ".000000012" / "manifest.json").unlink()
    assert found(checkpoints)["step"] == 11
    assert not (tmp_path / ".000000012").exists()


def test_a_spoiled_one_is_written_anew(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path)
    (tmp_path / "000000011" / "shared.pt").write_bytes(b"")
    assert found(checkpoints)["step"] == 10
    checkpoints.begin(11, {"step": 11}, {"weight": torch.ones(9, 2)}, ROWS)
    checkpoints.finish()
    assert found(checkpoints)["step"] == 11


def test_what_is_being_written_may_change_meanwhile(tmp_path: Path) -> None:
    checkpoints, weight, shared = Checkpoints(tmp_path, "a"), torch.ones(9, 2), torch.ones(3)
    checkpoints.begin(1, {"model": [shared]}, {"weight": weight}, ROWS)
    weight.zero_()
    shared.zero_()
    checkpoints.finish()
    assert found(checkpoints)["model"][0].tolist() == [1] * 3
    assert checkpoints.rows(range(2))["weight"].tolist() == [[1, 1]] * 2


def test_rows_are_found_whoever_wrote_them(tmp_path: Path) -> None:
    """As three ranks leave them: here one after the other."""
    whole = torch.randn(9, 2)
    for part in (range(4), range(4, 8), range(8, 9)):
        checkpoints = Checkpoints(tmp_path / str(part.start), "a")
        checkpoints.begin(1, {}, {"weight": whole[part.start : part.stop]}, part)
        checkpoints.finish()
    folder = tmp_path / "0" / "000000001"
    for start in ("4", "8"):
        for path in (tmp_path / start / "000000001").glob("rows-*"):
            path.rename(folder / path.name)
    checkpoints = Checkpoints(tmp_path / "0", "a")
    assert checkpoints.newest() == {}
    for cut in (range(9), range(3), range(3, 9), range(5, 6), range(9, 9)):
        assert torch.equal(checkpoints.rows(cut)["weight"], whole[cut.start : cut.stop])


def test_those_of_another_recipe_are_never_loaded(tmp_path: Path) -> None:
    saved(tmp_path, "a")
    assert Checkpoints(tmp_path, "b").newest() is None
    assert json.loads((tmp_path / "000000011" / "manifest.json").read_text())["recipe"] == "a"


def test_a_folder_without_any_has_none(tmp_path: Path) -> None:
    assert Checkpoints(tmp_path / "none", "a").newest() is None
