import csv
import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml
from PIL import Image

from flora import records
from flora.errors import ContractError
from flora.records import Verdict
from shards import about, licences, markdown
from shards.census import COUNTS
from shards.config import ShardSettings
from tests.shards import shelf

SETTINGS = ShardSettings(form="original")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shelf.write(tmp_path)
    assert about.write(tmp_path, SETTINGS) == 60
    return tmp_path / "shards"


def index(folder: Path) -> list[dict[str, object]]:
    return list(records.read(folder / "index.parquet", records.INDEX).to_pylist())


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_same_tables_give_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    shelf.write(tmp_path / "again")
    about.write(tmp_path / "again", SETTINGS)
    assert files(folder) == files(tmp_path / "again" / "shards")
    assert {"README.md", "datasheet.md", "croissant.json", "credits.csv", "counts.parquet",
            "pictures/most.jpg"} <= files(folder).keys()  # fmt: skip


def test_counts_are_those_of_the_index_in_order_of_label_split_and_tier(folder: Path) -> None:
    rows = records.read(folder / "counts.parquet", COUNTS).to_pylist()
    counted = {(row["species_id"], row["split"], row["tier"]): row["images"] for row in rows}
    assert counted == Counter((r["species_id"], r["split"], r["tier"]) for r in index(folder))
    assert [row["species_id"] for row in rows] == sorted(row["species_id"] for row in rows)
    order = ("train", "val", "test"), ("expert", "citizen", "web")
    places = [
        tuple(map(tuple.index, order, (r["split"], r["tier"])))
        for r in rows
        if r["species_id"] == "s1"
    ]
    assert places == sorted(places)
    assert rows[0]["name"] == "Genus0 species0"


def test_every_picture_is_credited_in_its_sources_words(folder: Path) -> None:
    with (folder / "credits.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 60
    for line, row in zip(lines, index(folder), strict=True):
        for column in ("key", "creator", "licence", "page_url"):
            assert line[column] == (row[column] or "")


def test_the_header_is_what_the_hub_expects(folder: Path) -> None:
    header = yaml.safe_load((folder / "README.md").read_text(encoding="utf-8").split("---")[1])
    assert header["license"] == ["cc-by-4.0", "cc-by-nc-sa-4.0", "cc0-1.0", "other"]
    assert header["license_link"] == "credits.csv"
    assert header["size_categories"] == ["n<1K"]
    assert header["annotations_creators"] == ["crowdsourced", "expert-generated", "found"]
    splits = {each["split"]: each["path"] for each in header["configs"][0]["data_files"]}
    assert splits == dict(train="train-*.tar", validation="val-*.tar", test="test-*.tar")
    names = [each["name"] for each in header["dataset_info"]["features"]]
    assert names == ["cls", "jpg", "png", "json", "__key__", "__url__"]


def test_strangers_words_stay_words(folder: Path) -> None:
    for name in ("README.md", "datasheet.md"):
        text = (folder / name).read_text(encoding="utf-8")
        assert "<script>" not in text and "<b>" not in text and "](http://evil" not in text
        tables = re.findall(r"(?:^\|.*\|\n?)+", text, re.MULTILINE)
        assert len(tables) >= 5
        for table in tables:
            assert len({line.count("|") for line in table.splitlines()}) == 1
    assert markdown.cell("a\u202e b\n|c_ " + "x" * 99) == "a b &#124;c&#95; " + "x" * 71 + "&#8230;"
    assert markdown.link("a", "javascript:alert(1)") == "a"
    assert markdown.link("a", "https://a.org/?x=(1)") == "a"
    assert markdown.link("a", "https://a.org/?x=1") == "[a](https://a.org/?x=1)"


def test_contact_sheets_show_what_may_be_shown_and_credit_it(folder: Path, tmp_path: Path) -> None:
    with Image.open(folder / "pictures" / "most.jpg") as sheet:
        assert sheet.size == (3 * 160, 180)
    text = (folder / "README.md").read_text(encoding="utf-8")
    credits = re.findall(r"<details>.*?</details>", text, re.DOTALL)
    assert len(credits) == 1, "three species are on the first sheet, none is left for a second"
    assert credits[0].count("creativecommons.org") == 3 and "BY-NC" not in credits[0]

    shelf.write(tmp_path / "closed", licence="All rights reserved")
    about.write(tmp_path / "closed", SETTINGS)
    assert not (tmp_path / "closed" / "shards" / "pictures" / "most.jpg").exists()
    assert "pictures/most.jpg" not in (tmp_path / "closed" / "shards" / "README.md").read_text()


def test_the_datasheet_counts_refusals_and_duplicates_by_reason(tmp_path: Path) -> None:
    shelf.write(tmp_path)
    path = tmp_path / "images" / "tables" / "b.parquet"
    rows = records.read(tmp_path / "images" / "tables", records.IMAGES).slice(0, 5).to_pylist()
    for row in rows:
        row.update(status="too_small", image_id=None, source="commons")
    records.write(path, records.table(records.IMAGES, rows))
    path = tmp_path / "verdicts" / "verdicts.parquet"
    rows = records.read(path, records.VERDICTS).to_pylist()
    for row in rows[:4]:
        row.update(verdict=str(Verdict.DROP), reason="mirrored")
    records.write(path, records.table(records.VERDICTS, rows))
    about.write(tmp_path, SETTINGS)
    text = (tmp_path / "shards" / "datasheet.md").read_text(encoding="utf-8")
    assert "| commons | 5 | 0 | 5 |" in text and "| gbif | 60 | 60 | 0 |" in text
    assert "| commons | too&#95;small | 5 |" in text
    assert "| keep | unique | no other picture is nearly the same | 56 |" in text
    assert "| drop | mirrored | the same as its keeper, left for right | 4 |" in text


def test_licences_have_the_names_and_deeds_that_others_know() -> None:
    for licence, hub, deed in (
        ("CC BY-SA 4.0", "cc-by-sa-4.0", "https://creativecommons.org/licenses/by-sa/4.0/"),
        ("CC BY 3.0 DE", "other", "https://creativecommons.org/licenses/by/3.0/de/"),
        ("CC0 1.0", "cc0-1.0", "https://creativecommons.org/publicdomain/zero/1.0/"),
        ("Public domain", "other", "https://creativecommons.org/publicdomain/mark/1.0/"),
        ("by permission", "other", None),
        (None, "other", None),
    ):
        assert (licences.hub(licence), licences.deed(licence)) == (hub, deed)


READ_PICTURES = """
import json, sys
import mlcroissant
data = mlcroissant.Dataset(jsonld=sys.argv[1])
assert not data.metadata.issues.errors, data.metadata.issues.errors
told = [(row["pictures/key"].decode(), row["pictures/label"], list(row["pictures/image"].size))
        for row in data.records("pictures")]
classes = [row["classes/name"].decode() for row in data.records("classes")]
print(json.dumps([told, classes, sorted(data.metadata.issues.warnings)]))
"""


def test_mlcroissant_finds_no_fault_and_reads_every_picture_with_its_label(
    folder: Path, tmp_path: Path
) -> None:
    pytest.importorskip("mlcroissant")
    answer = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", READ_PICTURES, str(folder / "croissant.json")],
        env={**os.environ, "HOME": str(tmp_path), "CROISSANT_CACHE": str(tmp_path / "cache")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    told, classes, warnings = json.loads(answer.stdout.splitlines()[-1])
    assert sorted(told) == sorted([r["key"], r["label"], [96, 72]] for r in index(folder))
    assert classes == [f"Genus{n} species{n}" for n in range(3)]
    assert "not standard" not in answer.stderr
    assert all("is recommended, but does not exist" in each for each in warnings)


def test_without_an_index_the_message_says_what_to_do(tmp_path: Path) -> None:
    shelf.write(tmp_path)
    (tmp_path / "shards" / "index.parquet").write_bytes(b"no table")
    with pytest.raises(ContractError, match="not as its stage promised"):
        about.write(tmp_path, SETTINGS)
    (tmp_path / "shards" / "index.parquet").unlink()
    with pytest.raises(ContractError, match=r"index\.parquet: there is no table here"):
        about.write(tmp_path, SETTINGS)
