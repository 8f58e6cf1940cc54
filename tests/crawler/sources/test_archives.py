import csv
import gzip
import io
import tarfile
import uuid
import zipfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from crawler.config import CrawlerSettings, Gbif, Inaturalist
from crawler.sources import eol, gbif, inaturalist, plantnet
from flora.errors import ConfigError, ContractError

RECORDED = Path(__file__).parents[4] / "shared" / "data" / "responses"
SETTINGS = CrawlerSettings(contact="tests@example.org")


def find(name: str) -> str | None:
    return "s1" if name.startswith("Quercus robur") else None


def archive(path: Path, **tables: list[dict[str, str]]) -> Path:
    with zipfile.ZipFile(path, "w") as target:
        for name, rows in tables.items():
            out = io.StringIO()
            writer = csv.DictWriter(
                out, list(rows[0]), delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_NONE,
                quotechar=None,
            )  # fmt: skip
            writer.writeheader()
            writer.writerows(rows)
            target.writestr(f"{name}.txt", out.getvalue())
    return path


def occurrence(
    key: str, name: str = "Quercus robur L.", basis: str = "HUMAN_OBSERVATION"
) -> dict[str, str]:
    return {"gbifID": key, "basisOfRecord": basis, "scientificName": name, "license": "CC0_1_0"}


def medium(key: str, number: int, kind: str = "StillImage", title: str = "") -> dict[str, str]:
    return {
        "gbifID": key,
        "type": kind,
        "identifier": f"https://static.example.org/{number}.jpg",
        "references": f"https://example.org/photos/{number}",
        "title": title,
        "creator": "jane",
        "license": "http://creativecommons.org/licenses/by-nc/4.0/",
        "rightsHolder": "Jane",
    }


def test_a_gbif_archive_gives_the_pictures_own_licence(tmp_path: Path) -> None:
    path = archive(
        tmp_path / "a.zip",
        occurrence=[
            occurrence("1"),
            occurrence("2", basis="PRESERVED_SPECIMEN"),
            occurrence("3", name="Homo sapiens"),
        ],
        multimedia=[medium("1", 1), medium("1 ", 2), medium("1", 3, "Sound"), medium("2", 4),
                    medium("3", 5), medium("9", 6)],
    )  # fmt: skip
    found = list(gbif.read((path,), SETTINGS, find))
    assert [candidate.url[-5:] for candidate in found] == ["1.jpg", "2.jpg"]
    assert {candidate.observation_id for candidate in found} == {"gbif:1"}
    assert found[0].licence == "http://creativecommons.org/licenses/by-nc/4.0/"
    pressed = replace(SETTINGS, gbif=Gbif(herbarium_sheets=True))
    assert len(list(gbif.read((path,), pressed, find))) == 3


def test_quotes_and_torn_lines_of_a_gbif_archive_do_no_harm(tmp_path: Path) -> None:
    path = archive(
        tmp_path / "a.zip",
        occurrence=[occurrence("1"), occurrence("2")],
        multimedia=[medium("1", 1, title='"half a quote'), medium("2", 2, "")],
    )
    with zipfile.ZipFile(path, "a") as target:
        text = target.read("multimedia.txt") + b"1\tStillImage\ttorn"
    with zipfile.ZipFile(path, "r") as source, zipfile.ZipFile(tmp_path / "b.zip", "w") as target:
        target.writestr("occurrence.txt", source.read("occurrence.txt"))
        target.writestr("multimedia.txt", text)
    found = list(gbif.read((tmp_path / "b.zip",), SETTINGS, find))
    assert [(c.url[-5:], c.title) for c in found] == [("1.jpg", '"half a quote'), ("2.jpg", None)]


def test_a_plantnet_archive_has_other_names_for_its_ids(tmp_path: Path) -> None:
    def renamed(rows: Iterable[dict[str, str]], key: str) -> list[dict[str, str]]:
        return [{key: row["gbifID"], **row} for row in rows]

    records = [occurrence("q-1", basis="HumanObservation"), occurrence("12")]
    path = archive(
        tmp_path / "p.zip",
        occurrence=[occurrence("q-3", basis="PreservedSpecimen"), *records],
        multimedia=[medium("12", 2), medium("q-1", 1), medium("q-2", 3), medium("q-3", 4)],
    )
    path = archive(
        path,
        occurrence=renamed([*records, occurrence("q-3", basis="PreservedSpecimen")], "id"),
        multimedia=renamed([medium("12", 2), medium("q-1", 1), medium("q-3", 4)], "coreid"),
    )
    found = list(plantnet.read((path,), SETTINGS, find))
    assert [(c.observation_id, c.tier, c.source) for c in found] == [
        ("plantnet:12", "citizen", "plantnet"),
        ("plantnet:q-1", "citizen", "plantnet"),
    ]


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 half"])
def test_what_is_no_archive_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(ContractError, match=r"a\.zip: not a Darwin Core archive"):
        list(gbif.read((tmp_path / "a.zip",), SETTINGS, find))


def test_an_archive_without_a_table_or_a_column_is_named(tmp_path: Path) -> None:
    alone = archive(tmp_path / "a.zip", occurrence=[occurrence("1")])
    with pytest.raises(ContractError, match=r"multimedia\.txt"):
        list(gbif.read((alone,), SETTINGS, find))
    bare = archive(tmp_path / "b.zip", occurrence=[{"gbifID": "1"}], multimedia=[medium("1", 1)])
    with pytest.raises(ContractError, match="no column basisOfRecord"):
        list(gbif.read((bare,), SETTINGS, find))
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as target:
        target.writestr("occurrence.txt", b"gbifID\tbasisOfRecord\n1\t\xff\xfe\n")
        target.writestr("multimedia.txt", b"")
    with pytest.raises(ContractError, match=r"c\.zip"):
        list(gbif.read((tmp_path / "c.zip",), SETTINGS, find))


MANIFEST = """EOL content ID,EOL page ID,Medium Source URL,EOL Full-Size Copy URL,License Name,\
Copyright Owner
1,10,https://example.org/1,https://content.example.org/1.jpg,cc-by,Jane
2,99,https://example.org/2,https://content.example.org/2.jpg,cc-by,Jane
3,11,,https://content.example.org/3.jpg,cc0,
"""
NAMES = """node_id,resource_pk,resource_id,page_id,preferred_canonical_for_page
1,a,1,10,Quercus robur
2,b,1,11,Quercus robur
3,c,1,99,Homo sapiens
"""


def test_the_eol_manifest_is_joined_with_its_names(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "m.tgz", "w:gz") as tar:
        info = tarfile.TarInfo("media_manifest_1.csv")
        info.size = len(MANIFEST)
        tar.addfile(info, io.BytesIO(MANIFEST.encode()))
    with gzip.open(tmp_path / "n.csv.gz", "wt") as out:
        out.write(NAMES)
    paths = (tmp_path / "m.tgz", tmp_path / "n.csv.gz")
    found = list(eol.read(paths, SETTINGS, find))
    assert [(c.url[-5:], c.tier, c.rights_holder) for c in found] == [
        ("1.jpg", "expert", "Jane"),
        ("3.jpg", "expert", None),
    ]
    with pytest.raises(ContractError, match="not EOL's media manifest"):
        list(eol.read(paths[::-1], SETTINGS, find))


PLANTS = "48460/47126/211194/47125"
TAXA = ["taxon_id\tancestry\trank_level\trank\tname\tactive",
        f"1\t{PLANTS}\t10\tspecies\tQuercus robur\ttrue",
        f"2\t{PLANTS}/1\t5\tsubspecies\tQuercus robur brutia\ttrue",
        f"3\t{PLANTS}\t20\tgenus\tQuercus robur and others\ttrue",
        "4\t48460/1/2\t10\tspecies\tQuercus robur\ttrue",
        f"5\t{PLANTS}\t10\tspecies\tQuercus alba\ttrue"]  # fmt: skip
OBSERVERS = ["observer_id\tlogin\tname", "7\tjane\tJane Doe", "8\tjoe\t"]
_SEEN = "observation_uuid\tobserver_id\tlatitude\tlongitude\tpositional_accuracy\ttaxon_id\t" \
        "quality_grade\tobserved_on\tanomaly_score"  # fmt: skip
_SHOWN = "photo_uuid\tphoto_id\tobservation_uuid\tobserver_id\textension\tlicense\twidth\theight" \
         "\tposition"  # fmt: skip


def identity(number: int) -> uuid.UUID:
    """Return an id whose digits are all over the place, as those of version 4 are."""
    return uuid.uuid5(uuid.NAMESPACE_URL, str(number))


def observed(number: int, taxon: int, grade: str = "research") -> str:
    return f"{identity(number)}\t7\t1.0\t2.0\t\t{taxon}\t{grade}\t2018-06-24\t"


def photo(number: int, seen: int, licence: str = "CC-BY", observer: int = 7, more: str = "") -> str:
    return (
        f"{identity(number)}\t{number}\t{identity(seen)}\t{observer}\tjpg\t{licence}"
        f"\t2048\t1536\t0{more}"
    )


def open_data(folder: Path, seen: list[str], shown: list[str]) -> tuple[Path, ...]:
    tables = {"taxa": TAXA, "observations": [_SEEN, *seen], "photos": [_SHOWN, *shown],
              "observers": OBSERVERS}  # fmt: skip
    paths = []
    for name, lines in tables.items():
        paths.append(folder / f"{name}.csv.gz")
        with gzip.open(paths[-1], "wt", encoding="utf-8") as out:
            out.write("\n".join(lines) + "\n")
    return tuple(paths)


def test_the_tables_of_inaturalist_are_joined(tmp_path: Path) -> None:
    seen = [observed(30, 1), observed(10, 2), observed(20, 3), observed(40, 4), observed(50, 5),
            observed(60, 1, "needs_id")]  # fmt: skip
    shown = [photo(1, 60), photo(2, 30), photo(3, 10, "CC0", 8), photo(4, 20), photo(5, 40),
             photo(6, 50), photo(7, 30, "CC-BY-NC-SA", 9), photo(8, 99)]  # fmt: skip
    found = list(inaturalist.read(open_data(tmp_path, seen, shown), SETTINGS, find))
    assert [(c.url.rpartition("photos/")[2], c.query, c.licence, c.creator) for c in found] == [
        ("2/large.jpg", "Quercus robur", "CC BY 4.0", "Jane Doe"),
        ("3/large.jpg", "Quercus robur brutia", "CC0 1.0", "joe"),
        ("7/large.jpg", "Quercus robur", "CC BY-NC-SA 4.0", None),
    ]
    assert found[0].url.startswith("https://inaturalist-open-data.s3.amazonaws.com/photos/")
    assert found[0].observation_id == found[2].observation_id == f"inat:{identity(30)}"
    assert (found[0].width, found[0].height) == (1024, 768)
    assert found[0].page_url == "https://www.inaturalist.org/photos/2"


def test_a_common_species_gives_an_even_draw_of_its_observations(tmp_path: Path) -> None:
    seen = [observed(number, 1 + number % 2) for number in range(500)]
    shown = [photo(number, number) for number in range(500)]
    paths = open_data(tmp_path, seen, shown)
    few = replace(SETTINGS, inaturalist=Inaturalist(per_species=100))
    found = [c.url for c in inaturalist.read(paths, few, find)]
    every = [c.url for c in inaturalist.read(
        paths, replace(SETTINGS, inaturalist=Inaturalist(per_species=0)), find)]  # fmt: skip
    assert (len(found), len(every)) == (100, 500)
    early = sum(url in found for url in every[:250])
    assert 30 <= early <= 70  # not the first of the file
    assert found == [c.url for c in inaturalist.read(paths, few, find)]


def test_rows_of_inaturalist_that_make_no_sense_are_left_out(tmp_path: Path) -> None:
    seen = [observed(30, 1), "no-uuid\t7\t\t\t\t1\tresearch\t\t", "torn", observed(31, -5)]
    shown = [photo(1, 30, "weird"), photo(2, 30, more="\tone field too many"), "torn",
             photo(3, 30).replace("\t3\t", "\t../3\t"), photo(4, 30).replace("2048", ""),
             photo(5, 30).replace("jpg", "j/g")]  # fmt: skip
    found = list(inaturalist.read(open_data(tmp_path, seen, shown), SETTINGS, find))
    assert [(c.url.rpartition("photos/")[2], c.licence) for c in found] == [
        ("1/large.jpg", None),
        ("4/large.jpg", "CC BY 4.0"),
    ]


def test_tables_that_are_not_inaturalists_are_named(tmp_path: Path) -> None:
    paths = open_data(tmp_path, [observed(30, 1)], [photo(1, 30)])
    with pytest.raises(ContractError, match=r"observations\.csv\.gz has no column"):
        list(inaturalist.read((paths[0], paths[1], paths[1], paths[3]), SETTINGS, find))
    paths[2].write_bytes(paths[2].read_bytes()[:-20])
    with pytest.raises(ContractError, match=r"photos\.csv\.gz"):
        list(inaturalist.read(paths, SETTINGS, find))
    with pytest.raises(ConfigError, match="must be one of original, large"):
        Inaturalist(size="huge")


@pytest.mark.skipif(not RECORDED.is_dir(), reason="no recorded answers beside this checkout")
def test_the_recorded_files_of_the_real_services_are_read() -> None:
    path = RECORDED / "gbif" / "gbif-dwca-download.zip"
    ticks = list(gbif.read((path,), SETTINGS, lambda name: "tick"))
    with_licence = [candidate for candidate in ticks if candidate.licence]
    assert 0 < len(with_licence) < len(ticks)  # some publishers name none, and we invent none
    folder = RECORDED / "inaturalist-open-data"
    paths = tuple(
        folder / f"{name}.csv.gz" for name in ("taxa", "observations", "photos", "observers")
    )
    plants = list(inaturalist.read(paths, SETTINGS, lambda name: name))
    assert "Trifolium hybridum" in {candidate.query for candidate in plants}
    assert all(candidate.licence and candidate.width for candidate in plants)
