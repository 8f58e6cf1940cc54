from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dedup.__main__ import main
from flora import records
from tests.conftest import encode
from tests.dedup.garden import jpeg, leaf, listing, mirrored, name, write

BYTES, COPY, CROP, MIRRORED, OTHER, SEEN, THIRD = (
    jpeg(1), jpeg(2), encode(leaf(3, (480, 360)).crop((12, 9, 468, 351)), "JPEG", quality=90),
    encode(mirrored(leaf(4)), "JPEG"), jpeg(5), jpeg(6), jpeg(2, (800, 600), quality=95),
)  # fmt: skip
TESTED = {
    "one.jpg": BYTES,
    "two.jpg": jpeg(2, (200, 150), quality=50),
    "deep/three.jpg": jpeg(3, (480, 360)),
    "four.png": encode(leaf(4), "PNG"),
}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder with copies of what is tested on, and other pictures."""
    write(tmp_path / "data", [
        *map(listing, (BYTES, COPY, CROP, MIRRORED, OTHER)),
        listing(SEEN, observation_id="inat:7"), listing(THIRD),
    ])  # fmt: skip
    return tmp_path / "data"


def run(data: Path, cluster: str, evaluation: Path | None = None) -> int:
    more = [] if evaluation is None else ["--holdout", str(evaluation)]
    return main(["--data", str(data), "--cluster", cluster, *more])


def gone(data: Path) -> dict[str, tuple[str, str]]:
    """image_id -> evaluation_id and why; agrees with the verdicts."""
    table = records.read(data / "verdicts" / "holdout.parquet", records.HOLDOUT).to_pylist()
    verdicts = records.read(data / "verdicts" / "verdicts.parquet", records.VERDICTS).to_pylist()
    held = {row["image_id"] for row in verdicts if row["reason"] == "holdout"}
    assert held == {row["image_id"] for row in table}
    assert {row["verdict"] for row in verdicts if row["image_id"] in held} <= {"drop"}
    return {row["image_id"]: (row["evaluation_id"], row["why"]) for row in table}


def test_what_is_like_a_picture_of_the_folder_goes(
    data: Path, cluster: str, tmp_path: Path
) -> None:
    folder = tmp_path / "tests"
    for path, content in TESTED.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    (folder / "notes.txt").write_text("not a picture")
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert run(data, cluster, folder) == 0
    found = gone(data)
    assert found[name(BYTES)] == ("one.jpg", "bytes")
    assert found[name(COPY)] == ("two.jpg", "pdq")
    assert found[name(THIRD)] == ("two.jpg", "pdq")
    assert found[name(CROP)] == ("deep/three.jpg", "pixels")
    assert found[name(MIRRORED)] == ("four.png", "mirrored_pdq")
    assert set(found) == {*map(name, (BYTES, COPY, CROP, MIRRORED, THIRD))}
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert "two.jpg" in (data / "verdicts" / "page.html").read_text(encoding="utf-8")

    assert run(data, cluster) == 0  # without it, all is as if it had never been
    assert not (data / "verdicts" / "holdout.parquet").exists()
    verdicts = records.read(data / "verdicts" / "verdicts.parquet", records.VERDICTS)
    assert "holdout" not in verdicts["reason"].to_pylist()


def test_a_table_of_observations_or_ids_is_enough(data: Path, cluster: str, tmp_path: Path) -> None:
    table = tmp_path / "tested.parquet"
    pq.write_table(pa.table({"observation_id": ["inat:7", None, "inat:8"]}), table)
    assert run(data, cluster, table) == 0
    assert gone(data) == {name(SEEN): ("inat:7", "observation")}
    pq.write_table(pa.table({"image_id": [name(COPY), "not one"]}), table)
    assert run(data, cluster, table) == 0
    assert gone(data) == {  # and what is the same picture
        name(COPY): (name(COPY), "bytes"), name(THIRD): (name(COPY), "same_picture"),
    }  # fmt: skip


def test_an_images_table_has_hashes_and_pixels(data: Path, cluster: str, tmp_path: Path) -> None:
    tested = [TESTED["deep/three.jpg"], TESTED["four.png"]]
    write(tmp_path / "other", [listing(content) for content in tested])
    table = tmp_path / "whole.parquet"
    parts = [tmp_path / "other" / "images" / "tables" / f"{part}.parquet" for part in "ab"]
    pq.write_table(pa.concat_tables([pq.read_table(part) for part in parts]), table)
    assert run(data, cluster, table) == 0
    three, four = map(name, tested)
    assert gone(data) == {  # far from its packs, the pixels cannot decide
        name(CROP): (three, "hashes"), name(MIRRORED): (four, "mirrored_pdq"),
    }  # fmt: skip
    assert run(data, cluster, parts[0]) == 0
    assert gone(data) == {name(CROP): (three, "pixels")}


@pytest.mark.parametrize("kind", ["absent", "empty folder", "text", "other columns", "half"])
def test_what_is_no_evaluation_set_is_said_so(
    data: Path, cluster: str, tmp_path: Path, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "set"
    if kind == "empty folder":
        path.mkdir()
    elif kind == "text":
        path.write_text("a list of names")
    elif kind != "absent":
        column = "species" if kind == "other columns" else "pdq"
        pq.write_table(pa.table({column: ["a"]}), path)
    assert run(data, cluster, path) == 2
    said = capfd.readouterr().err
    assert said.count("Error: ") == 1
    assert "--holdout" in said
