import gc
import hashlib
import json
import os
import random
import subprocess
import sys
import tarfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import webdataset
from distributed import LocalCluster

from bench import shard_kills
from flora import records, tar
from flora.command import Options
from flora.console import Progress
from flora.errors import ContractError
from flora.ledger import Ledger
from flora.tally import Totals
from shards import units
from shards.__main__ import main, shards
from shards.config import ShardSettings
from shards.units import Task
from tests import dataset

SMALL = ("shards.stripe_bytes=30000", "shards.stripes=2", "shards.gather_bytes=50000",
         "shards.form=original")  # fmt: skip


def pack(data: Path, cluster: str, *sets: str) -> None:
    shards(Options(data=data, cluster=cluster, sets=(*SMALL, *sets)))


def digests(data: Path) -> dict[str, str]:
    files = sorted((data / "shards").glob("*.tar"))
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture
def packed(tmp_path: Path, cluster: str) -> Path:
    dataset.write(tmp_path, packs=2)
    pack(tmp_path, cluster)
    return tmp_path


# webdataset 1.0 leaves closing its files to the garbage collector
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_webdataset_reads_what_was_packed(packed: Path) -> None:
    index = records.read(packed / "shards" / "index.parquet", records.INDEX).to_pylist()
    by_key = {row["key"]: row for row in index}
    assert len(by_key) == 60
    seen = set()
    for shard in sorted((packed / "shards").glob("*.tar")):
        for sample in webdataset.WebDataset(str(shard), shardshuffle=False):
            row = by_key[sample["__key__"]]
            assert hashlib.sha256(sample["jpg"]).hexdigest() == row["image_id"]
            assert int(sample["cls"]) == row["label"]
            assert json.loads(sample["json"])["creator"] == "Jane Ö."
            assert row["shard"] == shard.name
            seen.add(row["key"])
    assert seen == by_key.keys()
    gc.collect()


def test_the_index_points_at_the_bytes(packed: Path) -> None:
    for row in records.read(packed / "shards" / "index.parquet", records.INDEX).to_pylist():
        with (packed / "shards" / row["shard"]).open("rb") as file:
            data = os.pread(file.fileno(), row["length"], row["offset"])
        assert hashlib.sha256(data).hexdigest() == row["image_id"]
        assert (row["width"], row["height"], row["format"]) == (96, 72, "jpg")


def test_the_index_is_in_the_order_of_the_tars(packed: Path) -> None:
    index = records.read(packed / "shards" / "index.parquet", records.INDEX)
    lines = (packed / "shards" / "SHA256SUMS").read_text().splitlines()
    sums = dict(line.split("  ")[::-1] for line in lines)
    assert sums == digests(packed)
    members = []
    for name in sums:
        with tarfile.open(packed / "shards" / name) as shard:
            members += [key.removesuffix(".jpg") for key in shard.getnames() if key[-3:] == "jpg"]
    assert members == index["key"].to_pylist()
    assert list(dict.fromkeys(index["shard"].to_pylist())) == list(sums)


def test_shards_are_full_and_never_over(packed: Path) -> None:
    sizes = {path.name: path.stat().st_size for path in (packed / "shards").glob("train-*.tar")}
    *full, _last = [sizes[name] for name in sorted(sizes)]
    largest = 3 * tar.BLOCK + tar.BLOCK + 1024 + 4096
    assert all(60_000 - largest < size <= 60_000 for size in full)


def test_labels_are_dense_and_counts_add_up(packed: Path) -> None:
    classes = records.read(packed / "shards" / "classes.parquet", records.CLASSES).to_pylist()
    assert [row["label"] for row in classes] == [0, 1, 2]
    assert [row["class_index"] for row in classes] == [0, 10, 20]
    for row in classes:
        assert (row["train"], row["val"], row["test"]) == (16, 2, 2)


def test_an_observation_stands_on_one_side(packed: Path) -> None:
    sides: dict[str, set[str]] = {}
    for row in records.read(packed / "shards" / "index.parquet", records.INDEX).to_pylist():
        if row["observation_id"]:
            sides.setdefault(row["observation_id"], set()).add(row["split"])
    assert len(sides) == 3
    assert all(len(each) == 1 for each in sides.values())


def test_what_is_packed_does_not_lie_about_twice(packed: Path) -> None:
    assert not list((packed / "shards" / "spills").iterdir())


@pytest.mark.parametrize(
    "sets",
    [(), ("shards.one_pass_bytes=0",), ("shards.one_pass_bytes=0", "shards.gather_bytes=5000")],
    ids=["as before", "two passes", "two passes, many units"],
)
def test_packing_again_elsewhere_gives_the_same_bytes(
    packed: Path, tmp_path: Path, cluster: str, sets: tuple[str, ...]
) -> None:
    other = tmp_path / "elsewhere"
    dataset.write(other, packs=3)  # and other packs
    pack(other, cluster, *sets)
    assert digests(other) == digests(packed)


def test_one_worker_writes_the_same_bytes_as_two(packed: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere"
    dataset.write(other)
    with LocalCluster(
        n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
    ) as alone:
        pack(other, alone.scheduler_address, "shards.one_pass_bytes=0")
    assert digests(other) == digests(packed)


def test_a_shard_is_laid_out_window_by_window(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "shards"
    for way in (True, False):
        data = tmp_path / f"way-{way}"
        dataset.write(data)
        monkeypatch.setattr("shards.fill.MOST", 10_000)
        for path in _by_hand(data, straight=way):
            assert path.read_bytes() == (folder / path.name).read_bytes()


def _by_hand(data: Path, *, straight: bool) -> list[Path]:
    """Pack *data* in this process; return the shards."""
    settings = ShardSettings(form="original", stripe_bytes=30_000, stripes=2, gather_bytes=50_000)
    task = Task(data=data, settings=settings, straight=straight)
    spills = len(units.make_plan(task).detail["spills"])
    for number in range(spills):
        units.make_spill(replace(task, number=number))
    names = units.make_cut(replace(task, spills=spills)).detail["shards"]
    for number, name in enumerate(names):
        units.make_shard(replace(task, name=name, number=number))
    return [data / "shards" / f"{name}.tar" for name in names]


def test_there_are_shards_for_all_readers(packed: Path, cluster: str) -> None:
    pack(packed, cluster, "shards.readers=9", "shards.stripes=20")
    sizes = [path.stat().st_size for path in (packed / "shards").glob("train-*.tar")]
    assert len(sizes) == 9
    assert max(sizes) - min(sizes) < 2 * 8192


def test_an_interrupted_packing_is_completed(packed: Path, cluster: str) -> None:
    before = digests(packed)
    (packed / "shards" / "train-000001.tar").unlink()
    Ledger(packed / "shards").forget("train-000001")
    (packed / "shards" / ".train-000001.tar.0123abcd").write_bytes(b"half a shard")
    pack(packed, cluster)
    assert digests(packed) == before
    assert not list((packed / "shards").glob(".train*"))


def test_a_lost_shard_is_made_again(packed: Path, cluster: str) -> None:
    before = digests(packed)
    (packed / "shards" / "val-000000.tar").unlink()
    pack(packed, cluster)
    assert digests(packed) == before


def test_a_shard_that_was_summed_up_with_a_fault_is_made_and_summed_up_again(
    packed: Path, cluster: str
) -> None:
    folder, before = packed / "shards", digests(packed)
    sums = (folder / "SHA256SUMS").read_text()
    os.truncate(folder / "val-000000.tar", 1000)
    for unit in ("sums/00000", "index"):
        Ledger(folder).forget(unit)
    pack(packed, cluster)
    assert (folder / "SHA256SUMS").read_text() != sums
    Ledger(folder).forget("val-000000")  # as --verify asks for
    pack(packed, cluster)
    assert (folder / "SHA256SUMS").read_text() == sums
    assert digests(packed) == before


def test_packing_again_does_nothing(packed: Path, cluster: str) -> None:
    def times() -> dict[Path, int]:
        files = [path for path in (packed / "shards").rglob("*") if path.is_file()]
        return {path: path.stat().st_mtime_ns for path in files if path.name != ".lock"}

    before = times()
    pack(packed, cluster)
    changed = {path.name for path, time in times().items() if before.get(path) != time}
    assert changed <= {"units.json"}


def test_three_kills_change_nothing_in_the_end(packed: Path, tmp_path: Path, cluster: str) -> None:
    sets = ("shards.one_pass_bytes=0", "shards.gather_bytes=10000", "cluster.workers=1")
    calm, killed = tmp_path / "calm", tmp_path / "killed"
    for data in (calm, killed):
        dataset.write(data)
    pack(calm, cluster, *sets)
    units = shard_kills.done(calm)
    assert shard_kills.kill(killed, 3, units, random.Random(3), (*SMALL, *sets)) == 3
    shard_kills.pack(killed, (*SMALL, *sets))
    assert shard_kills.differences(calm, killed) == []
    assert digests(killed) == digests(packed)


def test_another_seed_makes_another_plan_and_leaves_nothing_of_the_old(
    packed: Path, cluster: str
) -> None:
    before = digests(packed)
    pack(packed, cluster, "shards.seed=1", "shards.stripes=40")
    after = digests(packed)
    assert len(after) < len(before)
    receipts = Ledger(packed / "shards").receipts()
    made = {Path(name).stem for name in after}
    assert {name for name in receipts if "-" in name} == made
    parts = (packed / "shards" / "parts").iterdir()
    assert {path.stem for path in parts} == made


def test_while_another_plan_is_packed_there_is_no_index_of_the_old(
    packed: Path, cluster: str
) -> None:
    os.truncate(packed / "images" / "packs" / "b-000.tar", 5000)
    with pytest.raises(ContractError, match="ends before byte"):
        pack(packed, cluster, "shards.seed=1")
    assert not (packed / "shards" / "index.parquet").exists()
    assert not digests(packed)


def test_a_picture_that_cannot_be_brought_into_form_is_counted_and_left_out(
    tmp_path: Path, cluster: str
) -> None:
    dataset.write(tmp_path)
    rows = records.read(tmp_path / "images" / "tables", records.IMAGES).to_pylist()
    with (tmp_path / "images" / "packs" / "a-000.tar").open("r+b") as file:
        file.seek(rows[7]["offset"] + 2)
        file.write(bytes(rows[7]["length"] - 2))
    pack(tmp_path, cluster, "shards.form=train")
    refused = Counter[str]()
    for name, receipt in Ledger(tmp_path / "shards").receipts().items():
        if name.startswith("gather/"):
            refused.update(receipt.refused)
    assert refused == {"corrupt": 1}
    index = records.read(tmp_path / "shards" / "index.parquet", records.INDEX)
    assert set(index["key"].to_pylist()) == {row["image_id"] for row in rows} - {
        rows[7]["image_id"]
    }


def test_verifying_reads_all_of_it_again(
    packed: Path, cluster: str, capfd: pytest.CaptureFixture[str]
) -> None:
    sets = [flag for each in SMALL for flag in ("--set", each)]
    flags = ["--data", str(packed), "--cluster", cluster, *sets, "--verify"]
    assert main(flags) == 0
    with (packed / "shards" / "train-000000.tar").open("r+b") as file:
        file.seek(20_000)
        file.write(b"a bit of rust")
    assert main(flags) == 3
    assert "train-000000.tar" in capfd.readouterr().err


def test_a_dry_run_says_what_it_takes_and_touches_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    dataset.write(tmp_path)
    assert main(["--data", str(tmp_path), "--dry-run"]) == 0
    said = capfd.readouterr().err
    assert "60 pictures" in said
    assert not (tmp_path / "shards").exists()


def test_a_damaged_pack_is_named(tmp_path: Path, cluster: str) -> None:
    dataset.write(tmp_path)
    os.truncate(tmp_path / "images" / "packs" / "a-000.tar", 5000)
    flags = ["--data", str(tmp_path), "--cluster", cluster]
    assert main(flags) == 3


def test_without_verdicts_the_message_says_which_stage_to_run(
    tmp_path: Path, cluster: str, capfd: pytest.CaptureFixture[str]
) -> None:
    dataset.write(tmp_path)
    (tmp_path / "verdicts" / "verdicts.parquet").unlink()
    assert main(["--data", str(tmp_path), "--cluster", cluster]) == 3
    assert "verdicts.parquet: there is no table here" in capfd.readouterr().err


def test_the_time_left_is_told_by_bytes() -> None:
    totals = Totals(units=2, bytes=1 << 30, todo=4 << 30)
    with Progress("shards", totals) as progress:
        line = progress.line()
    assert "1.0 GiB of 4.0 GiB" in line
    assert " left" in line


TINY_DISK = """
disk() { mount -t tmpfs -o "$1" none "$DATA/shards"; }
left() { find "$DATA/shards" -name '.*.????????' -o -name '*.bin' -o -name '*.tar'; }
disk size=200k
$SHARDS; echo "exit $?"; left
umount "$DATA/shards"; disk size=64m
$UNITS 2>&1 | tail -1; left
mount -o remount,size=64m "$DATA/shards"
rm "$DATA/shards/ballast"
$SHARDS; echo "exit $?"
cp "$DATA"/shards/*.tar "$DATA/found"
"""
UNITS = """
import os, shutil, sys
from pathlib import Path
from shards import units
from shards.config import ShardSettings
from shards.units import Task

data = Path(sys.argv[1])
task = Task(data=data, settings=ShardSettings(form="original", one_pass_bytes=0), spills=1)
units.make_plan(task)
with (data / "shards" / "ballast").open("wb") as ballast:
    ballast.write(bytes(shutil.disk_usage(data / "shards").free - 100_000))
units.make_spill(task)
"""


@pytest.mark.skipif(
    subprocess.run(["unshare", "-Urm", "true"], check=False, capture_output=True).returncode != 0,
    reason="takes a user namespace, to mount a small disk in",
)
def test_a_full_disk_is_one_message_and_nothing_half_written(packed: Path, tmp_path: Path) -> None:
    data = tmp_path / "small"
    dataset.write(data)
    for name in ("shards", "found"):
        (data / name).mkdir()
    (tmp_path / "units.py").write_text(UNITS)
    sets = " ".join(f"--set {each}" for each in (*SMALL, "cluster.workers=1"))
    environment = {
        "DATA": str(data),
        "SHARDS": f"{sys.executable} -m shards --data {data} {sets}",
        "UNITS": f"{sys.executable} {tmp_path / 'units.py'} {data}",
    }
    done = subprocess.run(
        ["unshare", "-Urm", "sh", "-c", TINY_DISK],
        env={**os.environ, **environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    refused, _, rest = done.stdout.partition("exit 1\n")
    full, _, _ = rest.partition("exit 0\n")
    assert not refused
    assert full.splitlines() == ["OSError: [Errno 28] No space left on device"]
    assert done.stderr.count("Error:") == 1
    assert "the shards need" in done.stderr
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (data / "found").iterdir()
    }
    assert found == digests(packed)
