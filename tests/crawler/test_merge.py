from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crawler import candidates, merge
from crawler.candidates import Candidate
from flora import records
from flora.errors import ContractError
from flora.records import Tier

INAT = "https://inaturalist-open-data.s3.amazonaws.com/photos/1/original.jpg"
EOL = "https://content.eol.org/data/media/5d/1.jpg"
PAGE = "https://www.inaturalist.org/photos/1"


def candidate(url: str, species: str = "s1", **changes: Any) -> Candidate:
    known = {"query": "Quercus robur", "source": "gbif", "tier": Tier.WEB, **changes}
    return Candidate(url=url, species_id=species, **known)


def files(folder: Path, *tables: Sequence[Candidate]) -> list[Path]:
    paths = [folder / f"{i}.parquet" for i in range(len(tables))]
    for path, rows in zip(paths, tables, strict=True):
        records.write(path, candidates.table(rows))
    return paths


def merged(folder: Path, *tables: Sequence[Candidate]) -> list[dict[str, Any]]:
    with merge.database(folder) as db:
        merge.merge(db, files(folder, *tables), [])
        found = db.sql("SELECT * FROM fresh ORDER BY photo_id, species_id").to_arrow_table()
    assert not (folder / ".merge").exists()
    rows: list[dict[str, Any]] = found.to_pylist()
    return rows


def test_a_picture_listed_twice_is_one_with_the_better_tier(tmp_path: Path) -> None:
    found = merged(
        tmp_path,
        [
            candidate("http://a.org/1", source="openverse", rank=1, title="web"),
            candidate("http://a.org/1", source="eol", tier=Tier.EXPERT, title="expert"),
            candidate("http://a.org/1", species="s2"),
        ],
        [candidate("https://a.org/2")],
    )
    assert [(row["photo_id"], row["species_id"], row["tier"], row["title"]) for row in found] == [
        ("a.org/1", "s1", "expert", "expert"),
        ("a.org/1", "s2", "web", None),
        ("a.org/2", "s1", "web", None),
    ]


def test_a_photograph_is_fetched_at_home_and_in_full_size(tmp_path: Path) -> None:
    thumbnail = INAT.replace("original", "square")
    copies = candidate(EOL, page_url=PAGE, source="eol", tier=Tier.EXPERT, width=9)
    rows = [copies, candidate(thumbnail, tier=Tier.CITIZEN), candidate(INAT, width=2048)]
    (found,) = merged(tmp_path, rows)
    assert (found["url"], found["width"], found["tier"]) == (INAT, 2048, "expert")
    (found,) = merged(tmp_path, rows[:1])
    assert found["url"] == EOL


def test_licence_and_creator_come_from_one_row(tmp_path: Path) -> None:
    rows = [
        candidate(INAT, "s1", tier=Tier.EXPERT, creator="Ann", licence="ask me", page_url=PAGE),
        candidate(INAT, "s2", licence="cc-by-4.0", creator="Bo", rights_holder="Bo & Co"),
        candidate(INAT, "s1", licence="http://creativecommons.org/licenses/by-nc/4.0/"),
    ]
    for row in merged(tmp_path, rows[:1], rows[1:]):
        assert (row["licence"], row["creator"]) == ("CC BY 4.0", "Bo")
        assert (row["rights_holder"], row["page_url"]) == ("Bo & Co", None)


def test_an_observation_is_kept_from_whichever_row_has_one(tmp_path: Path) -> None:
    (found,) = merged(
        tmp_path, [candidate(INAT, tier=Tier.EXPERT), candidate(INAT, observation_id="gbif:7")]
    )
    assert found["observation_id"] == "gbif:7"


def test_files_in_another_order_give_the_same(tmp_path: Path) -> None:
    paths = files(tmp_path, *([candidate(f"http://a.org/{j % 7}", f"s{j % 3}", rank=j, title=str(i))
                               for j in range(20)] for i in range(4)))  # fmt: skip
    tables = []
    for order in (paths, paths[::-1]):
        with merge.database(tmp_path) as db:
            merge.merge(db, order, [])
            query = "SELECT * FROM fresh ORDER BY photo_id, species_id"
            tables.append(db.sql(query).to_arrow_table())
    assert tables[0] == tables[1]
    assert tables[0].num_rows == 20


def test_empty_tables_of_candidates_are_nothing(tmp_path: Path) -> None:
    assert merged(tmp_path, [], []) == []


@pytest.mark.parametrize("broken", [b"garbage", None])
def test_what_is_no_table_of_candidates_is_named(tmp_path: Path, broken: bytes | None) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"url": ["http://a.org/1"]}), path)
    if broken:
        path.write_bytes(broken)
    with merge.database(tmp_path) as db, pytest.raises(ContractError, match=r"a\.parquet"):
        merge.merge(db, [path], [])
