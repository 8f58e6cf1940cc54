import csv
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import ImageOps

from dedup.__main__ import main
from dedup.folder import Group, duplicates
from flora.hashes import words
from flora.pictures import inspect
from tests.conftest import encode
from tests.dedup.garden import jpeg, leaf, mirrored


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "sub").mkdir()
    framed = ImageOps.expand(leaf(1, (360, 270)), 3, "white")
    for path, content in {
        "b.jpg": jpeg(1, (400, 300)),
        "a copy.jpg": jpeg(1, (400, 300)),
        "sub/small.png": encode(leaf(1, (200, 150)), "PNG"),
        "sub/ä mirrored.jpg": encode(mirrored(leaf(1, (320, 240))), "JPEG"),
        "framed.jpg": encode(framed, "JPEG", quality=95),
        "other.jpg": jpeg(2),
        "again.jpg": jpeg(3, quality=70),
        "first.jpg": jpeg(3, (640, 480)),
        "notes.txt": b"no picture",
        "broken.jpg": jpeg(4)[:2000],
        ".hidden/b.jpg": jpeg(2),
    }.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


def rules(group: Group) -> dict[str, tuple[str, bool]]:
    return {copy.path: (copy.rule, copy.mirrored) for copy in group.copies}


def test_one_call_finds_the_groups_of_a_folder(folder: Path) -> None:
    one, two = duplicates(folder)
    found = rules(one)
    assert one.keeper == "a copy.jpg"  # of those with the same bytes, the first by name
    assert found["b.jpg"] == ("bytes", False)
    assert found["sub/small.png"][0] in ("pdq", "pixels")
    assert found["sub/ä mirrored.jpg"][1]
    assert set(found) == {"b.jpg", "sub/small.png", "sub/ä mirrored.jpg", "framed.jpg"}
    assert (two.keeper, set(rules(two))) == ("first.jpg", {"again.jpg"})


def test_the_command_writes_lines_of_json_or_csv(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["folder", str(folder)]) == 0
    shown = capfd.readouterr()
    groups = [json.loads(line) for line in shown.out.splitlines()]
    assert [group["keeper"] for group in groups] == ["a copy.jpg", "first.jpg"]
    assert groups[1]["copies"][0]["path"] == "again.jpg"
    assert "8 pictures, 5 of them copies of 2 others" in shown.err
    assert main(["folder", str(folder), "--out", str(tmp_path / "found.csv")]) == 0
    text = (tmp_path / "found.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    assert {(row["keeper"], row["path"]) for row in rows} >= {("first.jpg", "again.jpg")}
    assert len(rows) == 5
    assert main(["folder", str(folder), "--out", str(tmp_path / "found.jsonl")]) == 0
    assert (tmp_path / "found.jsonl").read_text(encoding="utf-8") == shown.out


def test_a_folder_without_pictures_has_no_duplicates(tmp_path: Path) -> None:
    assert duplicates(tmp_path) == []


def test_a_table_of_hashes_becomes_pairs_and_components(tmp_path: Path) -> None:
    looks = [inspect(jpeg(seed, size), max_pixels=10**7, min_side=1)
             for seed, size in ((1, (400, 300)), (2, (400, 300)), (1, (200, 150)))]  # fmt: skip
    pdq = pa.array([look.pdq for look in looks], pa.binary(32))
    table = pa.table({"id": ["x", "y", "z"], "pdq": pdq})
    table = table.append_column("phash", pa.array([look.phash for look in looks], pa.uint64()))
    bits = words(table["pdq"])
    for number, some in enumerate(
        (table, table.select(["id", "phash"]), table.select(["id", "pdq"]))
    ):
        pq.write_table(some, tmp_path / f"{number}.parquet")
        assert main(["table", str(tmp_path / f"{number}.parquet"), "--out", str(tmp_path)]) == 0
        pairs = pq.read_table(tmp_path / f"{number}-pairs.parquet").to_pylist()
        assert [(row["a"], row["b"]) for row in pairs] == [("x", "z")]
        linked = pq.read_table(tmp_path / f"{number}-components.parquet").to_pydict()
        assert linked == {"id": ["x", "y", "z"], "component": ["x", "y", "x"]}
        if "pdq" in some.column_names:
            apart = int(np.bitwise_count(bits[0] ^ bits[2]).sum())
            assert pairs[0]["pdq_distance"] == apart


def test_hashes_may_be_written_in_hex(tmp_path: Path) -> None:
    path = tmp_path / "hex.parquet"
    pq.write_table(pa.table({"id": [7, 8], "phash": ["00ff" * 4, "00fe" * 4]}), path)
    assert main(["table", str(path), "--out", str(tmp_path)]) == 0
    pairs = pq.read_table(tmp_path / "hex-pairs.parquet").to_pylist()
    assert pairs == [{"a": 7, "b": 8, "phash_distance": 4}]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["folder", "absent"], "absent: there is no such folder"),
        (["table", "absent.parquet"], "absent.parquet: cannot be read"),
        (["table", "text"], "text: cannot be read as a parquet table"),
        (["table", "odd.parquet"], "odd.parquet: needs a column id and one of phash and pdq"),
        (["table", "bad.parquet"], "bad.parquet: column phash does not hold hashes"),
        (["--set", "dedup.pdq_radius=500", "folder", "."], "dedup.pdq_radius is 500"),
    ],
)
def test_a_mistake_is_one_clear_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
    arguments: list[str], message: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text").write_text("no table")
    pq.write_table(pa.table({"id": ["a"], "hash": [1]}), tmp_path / "odd.parquet")
    pq.write_table(pa.table({"id": ["a"], "phash": ["leaf"]}), tmp_path / "bad.parquet")
    assert main(arguments) == 2
    said = capfd.readouterr().err
    assert said.count("Error: ") == 1
    assert message in said
