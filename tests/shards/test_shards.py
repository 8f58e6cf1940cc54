import hashlib
import json
import os
from pathlib import Path

import pytest
import webdataset

from flora import records
from flora.command import Options
from flora.ledger import Ledger
from shards.__main__ import main, shards
from tests import dataset


def pack(data: Path, cluster: str, *sets: str) -> None:
    shards(Options(data=data, cluster=cluster, sets=("shards.shard_bytes=60000", *sets)))


def digests(data: Path) -> dict[str, str]:
    files = sorted((data / "shards").glob("*.tar"))
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture
def packed(tmp_path: Path, cluster: str) -> Path:
    dataset.write(tmp_path)
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


def test_the_index_points_at_the_bytes(packed: Path) -> None:
    for row in records.read(packed / "shards" / "index.parquet", records.INDEX).to_pylist():
        with (packed / "shards" / row["shard"]).open("rb") as file:
            data = os.pread(file.fileno(), row["length"], row["offset"])
        assert hashlib.sha256(data).hexdigest() == row["image_id"]


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


def test_packing_again_elsewhere_gives_the_same_bytes(
    packed: Path, tmp_path: Path, cluster: str
) -> None:
    other = tmp_path / "elsewhere"
    dataset.write(other)
    pack(other, cluster)
    assert digests(other) == digests(packed)


def test_an_interrupted_packing_is_completed(packed: Path, cluster: str) -> None:
    before = digests(packed)
    (packed / "shards" / "train-000001.tar").unlink()
    Ledger(packed / "shards").forget("train-000001")
    (packed / "shards" / ".train-000001.tar.0123abcd").write_bytes(b"half a shard")
    pack(packed, cluster)
    assert digests(packed) == before
    assert not list((packed / "shards").glob(".train*"))


def test_another_seed_makes_another_plan_and_leaves_nothing_of_the_old(
    packed: Path, cluster: str
) -> None:
    before = digests(packed)
    pack(packed, cluster, "shards.seed=1", "shards.shard_bytes=1000000")
    after = digests(packed)
    assert len(after) < len(before)
    receipts = Ledger(packed / "shards").receipts()
    assert {name for name in receipts if "-" in name} == {Path(name).stem for name in after}


def test_a_damaged_pack_is_named(tmp_path: Path, cluster: str) -> None:
    dataset.write(tmp_path)
    os.truncate(tmp_path / "images" / "packs" / "a-000.tar", 5000)
    flags = ["--data", str(tmp_path), "--cluster", cluster]
    assert main(flags) == 3


def test_without_verdicts_the_message_says_which_stage_to_run(
    tmp_path: Path, cluster: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["--data", str(tmp_path), "--cluster", cluster]) == 3
    assert "verdicts.parquet: there is no table here" in capfd.readouterr().err
