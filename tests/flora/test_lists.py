import gzip
from pathlib import Path

import pytest

from flora import lists
from flora.errors import ConfigError

TPL = (
    "ID,Major group,Family,Genus hybrid marker,Genus,Species hybrid marker,Species,"
    "Infraspecific rank,Infraspecific epithet,Authorship,Taxonomic status in TPL,"
    "Nomenclatural status from original data source,Confidence level,Source,Source id,IPNI id,"
    "Publication,Collation,Page,Date"
)
OAK = 'k-1,A,Fagaceae,,Quercus,,robur,,,"L., ""Sp. Pl.""",Accepted,,H,,,,,,,1753'
POOR_OAK = "k-2,A,Fagaceae,,Quercus,,pedunculata,,,Ehrh.,Synonym,,H,,,,,,,1790"


def put(path: Path, *lines: str, start: bytes = b"") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(start + "\n".join([*lines, ""]).encode())
    return path


def by_id(source: Path) -> dict[str, dict[str, object]]:
    return {row["id"]: row for row in lists.read(source).to_pylist()}


def test_theplantlist_with_links_is_read(tmp_path: Path) -> None:
    found = by_id(put(tmp_path / "tpl.csv", f"{TPL},Accepted ID", f"{OAK},", f"{POOR_OAK},k-1"))
    assert found["k-1"] == {
        "id": "k-1",
        "name": "Quercus robur",
        "authorship": 'L., "Sp. Pl."',
        "genus": "Quercus",
        "family": "Fagaceae",
        "major_group": "A",
        "status": "accepted",
        "infraspecific": False,
        "accepted_id": "",
        "parent_id": "",
    }
    assert found["k-2"]["status"] == "synonym"
    assert found["k-2"]["accepted_id"] == "k-1"


def test_theplantlist_of_a_family_has_a_byte_order_mark_and_no_links(tmp_path: Path) -> None:
    found = by_id(put(tmp_path / "Fagaceae.csv", TPL, OAK, POOR_OAK, start=b"\xef\xbb\xbf"))
    assert found["k-2"]["status"] == "synonym"
    assert found["k-2"]["accepted_id"] == ""


def test_hybrid_signs_stand_in_the_name(tmp_path: Path) -> None:
    found = by_id(
        put(
            tmp_path / "tpl.csv",
            TPL,
            "k-1,G,Cupressaceae,×,Cuprocyparis,,leylandii,,,Foo,Accepted,,H,,,,,,,1900",
            "k-2,A,Caprifoliaceae,,Abelia,×,grandiflora,var.,alba,,Accepted,,H,,,,,,,1900",
            "k-3,A,Leguminosae,+,Laburnocytisus,,adamii,,,,Accepted,,H,,,,,,,1900",
        )
    )
    assert [found[i]["name"] for i in ("k-1", "k-2", "k-3")] == [
        "× Cuprocyparis leylandii",
        "Abelia × grandiflora var. alba",
        "+ Laburnocytisus adamii",
    ]
    assert [found[i]["infraspecific"] for i in ("k-1", "k-2", "k-3")] == [False, True, False]


def test_a_folder_of_files_is_one_list_whatever_their_order(tmp_path: Path) -> None:
    put(tmp_path / "A" / "Fagaceae.csv", TPL, OAK, POOR_OAK, start=b"\xef\xbb\xbf")
    text = "\n".join([f"{TPL},Accepted ID", f"{POOR_OAK},k-1", ""])
    (tmp_path / "search.csv.gz").write_bytes(gzip.compress(text.encode()))
    put(tmp_path / "notes.md", "not a list")
    found = lists.read(tmp_path).to_pylist()
    assert [(row["id"], row["accepted_id"]) for row in found] == [("k-1", ""), ("k-2", "k-1")]


def test_gzip_is_known_by_its_bytes_not_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(gzip.compress(f"{TPL}\n{OAK}\n".encode()))
    assert list(by_id(path)) == ["k-1"]


WFO = (
    "taxonID\tscientificName\ttaxonRank\tparentNameUsageID\tscientificNameAuthorship\tfamily\t"
    "genus\tspecificEpithet\tinfraspecificEpithet\ttaxonomicStatus\tacceptedNameUsageID\tmajorGroup"
)
WFO_ROWS = (
    "w-1\tFagaceae\tfamily\t\tDumort.\tFagaceae\t\t\t\tAccepted\t\tA",
    "w-2\tQuercus\tgenus\tw-1\tL.\tFagaceae\tQuercus\t\t\tAccepted\t\tA",
    "w-3\tQuercus robur\tspecies\tw-2\tL.\tFagaceae\tQuercus\trobur\t\tAccepted\t\tA",
    "w-4\tQuercus robur subsp. brutia\tsubspecies\tw-3\t(Ten.) O.Schwarz\tFagaceae\t"
    "Quercus\trobur\tbrutia\tACCEPTED\t\tA",
    "w-5\tQuercus brutia\tSPECIES\t\tTen.\tFagaceae\tQuercus\tbrutia\t\tHomotypicSynonym\tw-4\tA",
    "w-6\tQuercus obscura\tspecies\t\tFoo\tFagaceae\tQuercus\tobscura\t\tUnchecked\t\tA",
    "\tQuercus lost\tspecies\t\t\tFagaceae\tQuercus\tlost\t\tAccepted\t\tA",
)


@pytest.mark.parametrize("delimiter", ["\t", ","])
def test_world_flora_online_is_read_with_tabs_or_commas(tmp_path: Path, delimiter: str) -> None:
    rows = (row.replace("\t", delimiter) for row in (WFO, *WFO_ROWS))
    found = by_id(put(tmp_path / "classification.csv", *rows))
    assert {i: (row["status"], row["infraspecific"]) for i, row in found.items()} == {
        "w-3": ("accepted", False),
        "w-4": ("accepted", True),
        "w-5": ("synonym", False),
        "w-6": ("unresolved", False),
    }
    assert found["w-4"]["parent_id"] == "w-3"
    assert found["w-5"]["accepted_id"] == "w-4"
    assert found["w-3"]["major_group"] == "A"


def test_quotes_around_fields_between_tabs_are_taken_off(tmp_path: Path) -> None:
    rows = (row.replace("Quercus robur\t", '"Quercus robur"\t') for row in WFO_ROWS)
    assert by_id(put(tmp_path / "wfo.csv", WFO, *rows))["w-3"]["name"] == "Quercus robur"


WCVP = (
    "plant_name_id|ipni_id|taxon_rank|taxon_status|family|genus_hybrid|genus|species_hybrid|"
    "species|infraspecific_rank|infraspecies|parenthetical_author|primary_author|"
    "publication_author|place_of_publication|volume_and_page|first_published|"
    "nomenclatural_remarks|geographic_area|lifeform_description|climate_description|taxon_name|"
    "taxon_authors|accepted_plant_name_id|basionym_plant_name_id|replaced_synonym_author|"
    "homotypic_synonym|parent_plant_name_id|powo_id|hybrid_formula|reviewed"
)


def wcvp_row(
    number: int, status: str, name: str, accepted: str = "", parent: str = "", remark: str = ""
) -> str:
    words = [word for word in name.split() if word not in ("×", "var.")]
    cells = dict.fromkeys(WCVP.split("|"), "")
    cells |= {
        "plant_name_id": str(number),
        "taxon_status": status,
        "family": "Oleaceae",
        "genus": words[0],
        "species": words[1] if len(words) > 1 else "",
        "infraspecies": words[2] if len(words) > 2 else "",
        "nomenclatural_remarks": remark,
        "taxon_name": name,
        "taxon_authors": "Foo",
        "accepted_plant_name_id": accepted,
        "parent_plant_name_id": parent,
    }
    return "|".join(cells.values())


def test_wcvp_is_read(tmp_path: Path) -> None:
    rows = (
        wcvp_row(1, "Accepted", "Forsythia", "1"),
        wcvp_row(2, "Accepted", "Forsythia suspensa", "2", "1"),
        wcvp_row(3, "Accepted", "Forsythia suspensa var. alba", "3", "2"),
        wcvp_row(4, "Artificial Hybrid", "Forsythia × intermedia", "4", remark='"F. a" × "b'),
        wcvp_row(5, "Artificial Hybrid", "Forsythia × other", "4"),
        wcvp_row(6, "Illegitimate", "Forsythia fortunei", "2"),
        wcvp_row(7, "Unplaced", "Forsythia dubia"),
        wcvp_row(8, "Misapplied", "Forsythia viridissima", "2"),
    )
    found = by_id(put(tmp_path / "wcvp_names.csv", WCVP, *rows))
    assert {i: row["status"] for i, row in found.items()} == {
        "2": "accepted",
        "3": "accepted",
        "4": "accepted",
        "5": "unresolved",
        "6": "synonym",
        "7": "unresolved",
        "8": "misapplied",
    }
    assert (found["3"]["infraspecific"], found["3"]["parent_id"]) == (True, "2")


def test_an_unknown_header_names_the_file_and_the_formats(tmp_path: Path) -> None:
    path = put(tmp_path / "birds.csv", "id,latin,english", "1,Turdus merula,blackbird")
    with pytest.raises(ConfigError, match=r"birds\.csv.*ThePlantList.*World Flora.*WCVP"):
        lists.read(path)


def test_two_kinds_of_list_are_not_mixed(tmp_path: Path) -> None:
    put(tmp_path / "a.csv", TPL, OAK)
    put(tmp_path / "b.csv", WFO, *WFO_ROWS)
    with pytest.raises(ConfigError, match="mixes lists"):
        lists.read(tmp_path)


def test_a_folder_without_lists_is_said_to_be_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no checklist"):
        lists.read(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n\n",
        f"{TPL}\nk-1,A,Fagaceae,,Quercus\n".encode(),
        f"{TPL}\n{OAK.replace('Quercus', 'Quércus')}\n".encode("latin-1"),
        gzip.compress(f"{TPL}\n{OAK}\n".encode() * 99)[:-40],
        b"\x1f\x8bnot gzip at all",
        f'{TPL}\n{OAK}\n{POOR_OAK[:-4]}"{POOR_OAK[-4:]}\n{POOR_OAK}\n'.encode(),
    ],
    ids=["empty", "blank", "cut row", "latin-1", "cut gzip", "no gzip", "open quote"],
)
def test_a_file_that_cannot_be_read_is_one_clear_message(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"list\.csv: cannot be read as a checklist .*UTF-8"):
        lists.read(path)


def test_a_file_that_is_not_there_is_one_clear_message(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.csv: cannot be read"):
        lists.read(tmp_path / "gone.csv")
