from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from dedup.__main__ import main
from flora import records
from flora.ledger import Ledger
from tests.conftest import encode
from tests.dedup.garden import CITIZEN, EXPERT, jpeg, leaf, listing, mirrored, name, write

EVIL = '<script>alert("x")</script>'

ORIGINAL = jpeg(1, (480, 360))
SMALL = jpeg(1, (240, 180), quality=60)
CROPPED = encode(leaf(1, (480, 360)).crop((12, 9, 468, 351)), "JPEG", quality=90)
FLIPPED = encode(mirrored(leaf(1, (400, 300))), "JPEG", quality=85)
OTHER = jpeg(2)
DISPUTED = jpeg(3)
DISPUTED_SMALL = jpeg(3, (200, 150))
SIGN = jpeg(4)
BLANK = encode(Image.new("RGB", (200, 150), "white"), "JPEG")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, cluster: str) -> Path:
    """A folder with something of everything, judged."""
    folder = tmp_path_factory.mktemp("garden")
    write(folder, [
        listing(ORIGINAL), listing(SMALL, title=EVIL, creator=EVIL, page_url="javascript:alert(1)"),
        listing(CROPPED), listing(FLIPPED), listing(OTHER, tier=EXPERT, source="eol"),
        listing(OTHER, "t"), listing(DISPUTED, "s", CITIZEN, source="gbif"),
        listing(DISPUTED_SMALL, "t", EXPERT, source="eol"), listing(BLANK),
        *(listing(SIGN, species) for species in ("s", "t", "u")),
        {**listing(jpeg(9)), "status": "too_small", "image_id": None, "pdq": None},
    ], {"s": "Quercus robur", "t": "Quercus petraea", "u": "Fagus sylvatica"})  # fmt: skip
    assert run(folder, cluster) == 0
    return folder


def run(data: Path, cluster: str, *more: str) -> int:
    return main(["--data", str(data), "--cluster", cluster, *more])


def rows(data: Path, table: str = "verdicts") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(data / "verdicts" / f"{table}.parquet").to_pylist()
    return found


def of(data: Path, picture: bytes, species: str = "s") -> dict[str, Any]:
    every = {(row["image_id"], row["species_id"]): row for row in rows(data)}
    return every[name(picture), species]


def test_copies_of_all_kinds_yield_to_the_largest(data: Path) -> None:
    best = of(data, ORIGINAL)
    assert (best["verdict"], best["reason"], best["rule"]) == ("keep", "keeper", None)
    for copy, reason in (
        (SMALL, "near_duplicate"), (CROPPED, "near_duplicate"), (FLIPPED, "mirrored"),
    ):  # fmt: skip
        row = of(data, copy)
        assert (row["verdict"], row["reason"]) == ("drop", reason)
        assert row["keeper_id"] == name(ORIGINAL)
        assert row["distance"] is not None and row["phash_distance"] is not None
        assert (row["similarity"] is None) == (row["rule"] == "pdq")
        assert row["cluster_id"] == min(map(name, (ORIGINAL, SMALL, CROPPED, FLIPPED)))


def test_the_trusted_source_names_the_picture(data: Path) -> None:
    assert of(data, OTHER)["verdict"] == "keep"
    assert of(data, OTHER, "t")["reason"] == "outvoted"


def test_what_trusted_sources_dispute_keeps_its_genus(data: Path) -> None:
    for picture, species in ((DISPUTED, "s"), (DISPUTED_SMALL, "t")):
        row = of(data, picture, species)
        assert (row["verdict"], row["reason"]) == ("set_aside", "quarantine")
        assert row["genus"] == "Quercus"


def test_blank_pictures_are_set_aside_and_placeholders_dropped(data: Path) -> None:
    assert of(data, BLANK)["reason"] == "low_information"
    assert of(data, BLANK)["verdict"] == "set_aside"
    assert {of(data, SIGN, species)["reason"] for species in "stu"} == {"placeholder"}


def test_each_picture_and_species_has_one_row_of_the_promised_columns(data: Path) -> None:
    table = records.read(data / "verdicts" / "verdicts.parquet", records.VERDICTS)
    keys = [(row["image_id"], row["species_id"]) for row in table.to_pylist()]
    assert keys == sorted(set(keys))
    assert len(keys) == 12


def test_the_keeper_has_the_provenance_of_what_went(data: Path) -> None:
    table = records.read(data / "verdicts" / "provenance.parquet", records.PROVENANCE)
    found = {row["image_id"]: row for row in table.to_pylist()}
    assert set(found) == {name(SMALL), name(CROPPED), name(FLIPPED)}
    assert {row["keeper_id"] for row in found.values()} == {name(ORIGINAL)}
    assert found[name(SMALL)]["creator"] == EVIL
    assert found[name(FLIPPED)]["url"].startswith("https://site3.example/")


def test_the_page_shows_pairs_and_escapes_what_came_from_the_web(data: Path) -> None:
    page = (data / "verdicts" / "page.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg;base64,") >= 8
    for reason in ("near duplicate", "mirrored", "quarantine", "placeholder", "low information"):
        assert f"<h2>{reason}: " in page
    assert EVIL not in page
    assert "&lt;script&gt;" in page
    assert "javascript:" not in page
    assert 'src="http' not in page


def test_the_table_at_the_end_names_reasons_and_sources(
    data: Path, cluster: str, capfd: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in data.rglob("*.parquet")}
    assert run(data, cluster) == 0
    assert before == {path: path.stat().st_mtime_ns for path in data.rglob("*.parquet")}
    said = capfd.readouterr().out
    assert "9 pictures, 2 of them with near copies" in said
    assert "near duplicate" in said
    assert "gbif" in said
    noise = {row["source"]: row["noise"] for row in Ledger(data / "verdicts").receipts()[
        "verdicts"].detail["sources"]}  # fmt: skip
    assert noise["gbif"] == 0.5
    assert noise["commons"] == pytest.approx(1 / 5, abs=1e-4)


def test_units_of_any_size_come_to_the_same(data: Path, cluster: str, tmp_path: Path) -> None:
    (tmp_path / "images").symlink_to(data / "images")
    (tmp_path / "checklist").symlink_to(data / "checklist")
    assert run(tmp_path, cluster, "--set", "dedup.unit_pairs=2") == 0
    assert rows(tmp_path) == rows(data)


def test_hashes_of_another_version_are_not_taken(
    tmp_path: Path, cluster: str, capfd: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, [listing(ORIGINAL), listing(OTHER)])
    path = tmp_path / "images" / "tables" / "b.parquet"
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({"hashes": "0"}), path)
    assert run(tmp_path, cluster) == 3
    assert "Fetch its pictures again" in capfd.readouterr().err
    none = pa.nulls(table.num_rows, pa.binary(32))
    pq.write_table(table.set_column(table.column_names.index("pdq"), "pdq", none), path)
    assert run(tmp_path, cluster) == 3
    assert "crawl again" in capfd.readouterr().err


def test_a_thousand_pictures_alike_cost_no_million_pairs(tmp_path: Path) -> None:
    from dedup import candidates, listings
    from dedup.config import DedupSettings

    write(tmp_path, [listing(ORIGINAL)])
    one, _ = listings.load(tmp_path / "images")
    rng, count = np.random.default_rng(1), 5_000
    flips = np.zeros((count, 4), np.uint64)
    for column in range(4):
        flips[:, column] = np.uint64(1) << rng.integers(0, 64, count).astype(np.uint64)
    many = listings.Pictures(
        ids=rng.integers(0, 2**63, (count, 4), dtype=np.uint64), phash=one.phash.repeat(count),
        pdq=one.pdq.repeat(count, axis=0) ^ flips, quality=one.quality.repeat(count),
        tier=one.tier.repeat(count), licensed=one.licensed.repeat(count),
        pixels=np.arange(count), bytes=one.bytes.repeat(count),
    )  # fmt: skip
    place = listings.priority(many)
    edges = candidates.find(many, np.ones(count, np.bool_), place, DedupSettings())
    assert len(edges) == count - 1
    assert set(edges.i.tolist()) == {count - 1}
