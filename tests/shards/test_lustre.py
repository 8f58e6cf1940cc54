from pathlib import Path

import pytest

from shards import lustre
from shards.config import ShardSettings

LFS = """#!/bin/sh
echo "$@" >> {log}
case "$*" in *broken*) echo "not a Lustre file system" >&2; exit 25;; esac
"""


@pytest.fixture
def lfs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A command of that name that writes down how it is called, as there is no Lustre here."""
    path, log = tmp_path / "bin" / "lfs", tmp_path / "log"
    path.parent.mkdir()
    path.write_text(LFS.format(log=log))
    path.chmod(0o755)
    monkeypatch.setenv("PATH", str(path.parent), prepend=":")
    return log


def test_the_folder_of_shards_is_striped_and_those_of_small_files_are_not(
    tmp_path: Path, lfs: Path
) -> None:
    folder = tmp_path / "shards"
    said = lustre.stripe(folder, ShardSettings(stripes=16))
    assert said == f"{folder}: 16 stripes of 32.0 MiB a shard (lfs)."
    assert lfs.read_text().splitlines() == [
        f"setstripe -S 33554432 -c 16 {folder}",
        f"setstripe -c 1 {folder}/receipts",
        f"setstripe -c 1 {folder}/parts",
    ]
    assert (folder / "parts").is_dir()


def test_where_it_fails_that_is_said_and_nothing_more(tmp_path: Path, lfs: Path) -> None:
    said = lustre.stripe(tmp_path / "broken", ShardSettings())
    assert said.startswith(f"{tmp_path / 'broken'} is not striped: lfs setstripe -S 33554432 -c 64")
    assert said.endswith("failed (not a Lustre file system).")


def test_without_lfs_the_command_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    said = lustre.stripe(tmp_path, ShardSettings())
    assert said == (
        f"There is no lfs here; on Lustre, lfs setstripe -S 33554432 -c 64 {tmp_path} would be run."
    )
    assert list(tmp_path.iterdir()) == []


def test_one_stripe_puts_all_readers_of_a_file_on_one_disk() -> None:
    load = lustre.simulate(640, 256, 64, 1, together=True)
    assert (load.at_work, load.busiest) == (1, 256)
    assert load.share == pytest.approx(1 / 64)


def test_stripes_spread_them_as_balls_fall_into_boxes() -> None:
    load = lustre.simulate(640, 256, 64, 64, together=True)
    assert load.at_work == pytest.approx(64 * (1 - (1 - 1 / 64) ** 256), abs=0.5)
    assert 8 < load.busiest < 12  # the most of 256 balls in 64 boxes
    assert load.fullest == 1
    apart = lustre.simulate(640, 256, 64, 1, together=False)
    assert apart.busiest == pytest.approx(load.busiest, rel=0.1)  # for as long as a shard lasts
    assert apart.fullest == 1


def test_a_reader_alone_has_a_disk_to_itself() -> None:
    load = lustre.simulate(10, 1, 64, 64, together=True)
    assert (load.at_work, load.busiest) == (1, 1)


def test_the_plan_says_all_that_was_asked_for() -> None:
    said = lustre.report(64, 4, 12_000_000, ShardSettings())
    for part in (
        "12,000,000 pictures",
        "64 nodes of 4 ranks",
        "on 64 stripes of 32.0 MiB",
        "256 readers on 64 OSTs",
        "Files (inodes)",
        "Why 40% became 91% in 2018",
    ):
        assert part in said, part


def test_there_are_never_fewer_shards_than_readers() -> None:
    few = lustre.report(64, 4, 100_000, ShardSettings())
    assert "256 train" in few
    many = lustre.report(2, 1, 100_000, ShardSettings(readers=512))
    assert "512 train" in many
