import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flora import records
from flora.errors import ContractError, StageError
from shards import plan
from shards.config import ShardSettings


def key(number: int) -> str:
    return hashlib.sha256(b"%d" % number).hexdigest()


def listing(number: int, **more: Any) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(records.IMAGES.names)
    return row | {
        "image_id": key(number), "species_id": f"s{number % 2}", "status": "kept",
        "url": f"http://a.org/{number}", "tier": "web", "pack": f"{number % 3}.tar",
        "offset": 512 + 1000 * number, "length": 900, **more,
    }  # fmt: skip


def write(
    data: Path,
    tables: dict[str, Sequence[dict[str, Any]]],
    kept: dict[int, str],
    *,
    clusters: dict[int, int] | None = None,
    provenance: Sequence[tuple[int, str]] = (),
) -> None:
    """Write checklist (s0 to s3), images *tables*, and verdicts: *kept* is number -> species."""
    species = [
        {**dict.fromkeys(records.SPECIES.names), "species_id": f"s{n}", "class_index": 10 - n,
         "name": f"Genus species{n}"}
        for n in range(4)
    ]  # fmt: skip
    verdicts = [
        {**dict.fromkeys(records.VERDICTS.names), "image_id": key(number), "species_id": of,
         "verdict": "keep", "cluster_id": key((clusters or {}).get(number, number))}
        for number, of in kept.items()
    ]  # fmt: skip
    dropped = {**dict.fromkeys(records.VERDICTS.names), "image_id": key(10**6), "species_id": "s0",
               "verdict": "drop", "cluster_id": key(0)}  # fmt: skip
    theirs = [
        {**dict.fromkeys(records.PROVENANCE.names), "keeper_id": key(keeper),
         "image_id": key(10**6), "observation_id": observation}
        for keeper, observation in provenance
    ]  # fmt: skip
    path = data / "checklist" / "species.parquet"
    records.write(path, records.table(records.SPECIES, species))
    for name, rows in tables.items():
        path = data / "images" / "tables" / f"{name}.parquet"
        records.write(path, records.table(records.IMAGES, rows))
    for name, schema, rows in (
        ("verdicts", records.VERDICTS, [dropped, *verdicts]),
        ("provenance", records.PROVENANCE, theirs),
    ):
        path = data / "verdicts" / f"{name}.parquet"
        records.write(path, records.table(schema, rows))


def planned(data: Path, **changes: Any) -> dict[str, dict[str, Any]]:
    count = plan.write(data, ShardSettings(**changes))
    rows = pq.read_table(data / "shards" / "plan.parquet").to_pylist()
    assert len(rows) == count
    return {row["image_id"]: row for row in rows}


def usual(data: Path, count: int = 100, **how: Any) -> None:
    write(data, {"a": [listing(n) for n in range(count)]}, {n: f"s{n % 2}" for n in range(count)},
          **how)  # fmt: skip


def test_a_picture_is_taken_from_its_best_listing(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "a": [listing(0), listing(1, url="http://b.org/x", tier="citizen")],
            "b": [
                listing(1, tier="expert", status="not_found"),
                listing(1, tier="expert", species_id="s0"),
                listing(1, url="http://a.org/é", tier="citizen", pack="9.tar", offset=5),
                listing(1, url="http://a.org/a"),
            ],
            "c": [listing(1, url="http://c.org/x", tier="citizen"), listing(2)],
        },
        {1: "s1", 0: "s0"},
    )
    rows = planned(tmp_path)
    assert rows.keys() == {key(0), key(1)}
    best = rows[key(1)]
    assert (best["table"], best["row"], best["pack"], best["offset"]) == ("b", 2, "9.tar", 5)
    assert (best["species_id"], best["label"]) == ("s1", 0)  # s1 has the smaller class index
    assert (rows[key(0)]["table"], rows[key(0)]["row"], rows[key(0)]["label"]) == ("a", 0, 1)


@pytest.mark.parametrize("link", ["cluster", "listings", "provenance"])
def test_what_is_linked_stands_on_one_side(tmp_path: Path, link: str) -> None:
    tables = {"a": [listing(n) for n in range(100)], "b": [listing(7, species_id="s3")]}
    how: dict[str, Any] = {}
    if link == "cluster":
        how["clusters"] = {n: 500 for n in range(6)}
    elif link == "listings":  # of the same bytes, under any species
        tables["c"] = [listing(n, species_id="s2", observation_id="gbif:1") for n in range(6)]
    else:
        how["provenance"] = [(n, "gbif:1") for n in range(6)]
        how["provenance"] += [(50, ""), (51, "")]
    write(tmp_path, tables, {n: f"s{n % 2}" for n in range(100)}, **how)
    seen = set()
    for seed in range(20):
        rows = planned(tmp_path, seed=seed, val=0.3, test=0.3)
        found = {rows[key(n)]["split"] for n in range(6)}
        assert len(found) == 1
        seen |= found
    assert seen == {"train", "val", "test"}


def test_positions_are_dense_and_owe_nothing_to_the_tables(tmp_path: Path) -> None:
    usual(tmp_path / "one")
    kept = {n: f"s{n % 2}" for n in reversed(range(100))}
    back = [listing(n) for n in reversed(range(100))]
    write(tmp_path / "two", {"x": back[:30], "b": back[30:]}, kept)
    one, two = planned(tmp_path / "one"), planned(tmp_path / "two")
    same = ("species_id", "label", "split", "position", "pack", "offset", "length")
    assert {k: [row[n] for n in same] for k, row in one.items()} == {
        k: [row[n] for n in same] for k, row in two.items()
    }
    order = sorted(one.values(), key=lambda row: row["position"])
    assert [row["position"] for row in order] == list(range(100))
    splits = [row["split"] for row in order]
    assert splits == ["train"] * 80 + ["val"] * 10 + ["test"] * 10
    assert {k: row["position"] for k, row in one.items()} != {
        k: row["position"] for k, row in planned(tmp_path / "one", seed=1).items()
    }


def test_row_groups_are_what_is_read_at_a_time(tmp_path: Path) -> None:
    usual(tmp_path)
    before = planned(tmp_path)
    after = planned(tmp_path, gather_bytes=9000)
    assert after == before
    file = pq.ParquetFile(tmp_path / "shards" / "plan.parquet")
    groups = [file.read_row_group(n, ["pack", "offset"]) for n in range(file.num_row_groups)]
    assert [len(group) for group in groups] == [10] * 10
    rows = [(row["pack"], row["offset"]) for row in pa.concat_tables(groups).to_pylist()]
    assert rows == sorted(rows)


def test_tiers_and_caps_decide_what_enters(tmp_path: Path) -> None:
    tables = {"a": [listing(n, tier=("expert", "web")[n % 4 == 0]) for n in range(100)]}
    write(tmp_path, tables, {n: f"s{n % 2}" for n in range(100)})
    trusted = planned(tmp_path, tiers=("expert", "citizen"))
    assert trusted.keys() == {key(n) for n in range(100) if n % 4}
    capped = planned(tmp_path, max_images=7)
    assert sorted(row["position"] for row in capped.values()) == list(range(2 * (7 + 5 + 5)))
    classes = pq.read_table(tmp_path / "shards" / "classes.parquet").to_pylist()
    assert [(row["label"], row["species_id"]) for row in classes] == [(0, "s1"), (1, "s0")]
    assert all((row["train"], row["val"], row["test"]) == (7, 5, 5) for row in classes)


def test_nothing_to_pack_is_said(tmp_path: Path) -> None:
    write(tmp_path, {"a": [listing(0)]}, {})
    with pytest.raises(StageError, match="no picture is kept"):
        planned(tmp_path)
    usual(tmp_path)
    with pytest.raises(StageError, match=r"of other tiers than shards.tiers \(expert\)"):
        planned(tmp_path, tiers=("expert",))
    assert not (tmp_path / "shards" / "plan.parquet").exists()


@pytest.mark.parametrize(
    ("kept", "message"),
    [
        ({0: "s0", 77: "s1"}, "does not list 1 pictures that the verdicts keep"),
        ({0: "s1"}, "does not list 1 pictures that the verdicts keep"),
        ({0: "s9"}, "keeps pictures of s9, which the checklist does not have"),
    ],
)
def test_tables_that_do_not_fit_together_are_named(
    tmp_path: Path, kept: dict[int, str], message: str
) -> None:
    write(tmp_path, {"a": [listing(0)]}, kept)
    with pytest.raises(ContractError, match=message):
        planned(tmp_path)


def test_ids_that_are_none_are_named(tmp_path: Path) -> None:
    write(tmp_path, {"a": [listing(0, image_id="0" * 63)]}, {0: "s0"})
    with pytest.raises(ContractError, match=r"a\.parquet: its image_ids are not sha256"):
        planned(tmp_path)
