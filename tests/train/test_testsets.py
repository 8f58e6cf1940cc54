"""Sets of pictures, in all the forms they come in."""

import csv
import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import webdataset

from flora import records, taxa
from flora.errors import ConfigError
from tests.train.squares import pack, square
from train.naming import Names
from train.testsets import PictureSet, load
from train.trial import Source

CHECKLIST = (
    "ID,Major group,Family,Genus hybrid marker,Genus,Species hybrid marker,Species,"
    "Infraspecific rank,Infraspecific epithet,Authorship,Taxonomic status in TPL,Accepted ID",
    "colour-0,A,Formae,,Quadratum,,rubrum,,,L.,Accepted,",
    "colour-9,A,Formae,,Quadratum,,nigrum,,,L.,Accepted,",
    "syn-1,A,Formae,,Rhombus,,ruber,,,L.,Synonym,colour-0",
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with shards of four species, named `colour-0` and `Quadratum rubrum` to ..."""
    folder = tmp_path_factory.mktemp("data")
    pack(folder / "shards")
    classes = records.read(folder / "shards" / "classes.parquet", records.CLASSES)
    names = ["Quadratum rubrum", "Quadratum viride", "Quadratum × caeruleum", "Quadratum flavum"]
    column = classes.schema.get_field_index("name")
    classes = classes.set_column(column, "name", pa.array(names))
    records.write(folder / "shards" / "classes.parquet", classes)
    return folder


def names_of(data: Path, checklist: Path | None = None) -> Names:
    classes = records.read(data / "shards" / "classes.parquet", records.CLASSES)
    return Names(classes, checklist or data / "checklist")


def loaded(data: Path, where: Path | str) -> PictureSet:
    return load(Source("set", str(where)), data, names_of(data))


def rows(found: PictureSet) -> dict[str, tuple[str, int]]:
    return dict(
        zip(found.keys, zip(found.observations, found.labels.tolist(), strict=True), strict=True)
    )


def test_a_split_is_what_the_index_says(data: Path) -> None:
    found = loaded(data, "test")
    assert found.keys == [f"test{number:04}" for number in range(6)]
    assert found.labels.tolist() == [0, 1, 2, 3, 0, 1]
    assert found.read(1) == square(1, 1)
    assert len(load(Source("t", "test"), data, names_of(data), limit=2)) == 2


def test_a_folder_has_a_folder_for_each_species_and_may_have_one_for_each_plant(
    data: Path, tmp_path: Path
) -> None:
    for name in (
        "Quadratum rubrum/1.jpg", "quadratum_viride/plant 7/a.JPG",
        "quadratum_viride/plant 7/b.png", "colour-2/x.jpg", "Nemo nullus/1.jpg",
        "Quadratum rubrum/notes.txt", ".hidden/1.jpg", "a.jpg",
    ):  # fmt: skip
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    found = loaded(data, tmp_path)
    assert rows(found) == {
        "Nemo nullus/1.jpg": ("Nemo nullus/1.jpg", -1),
        "Quadratum rubrum/1.jpg": ("Quadratum rubrum/1.jpg", 0),
        "colour-2/x.jpg": ("colour-2/x.jpg", 2),
        "quadratum_viride/plant 7/a.JPG": ("quadratum_viride/plant 7", 1),
        "quadratum_viride/plant 7/b.png": ("quadratum_viride/plant 7", 1),
    }
    assert found.unknown == {"Nemo nullus": 1}
    assert found.read(found.keys.index("colour-2/x.jpg")) == b"colour-2/x.jpg"


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet"])
def test_a_list_names_paths_species_and_observations(data: Path, tmp_path: Path, kind: str) -> None:
    (tmp_path / "pictures").mkdir()
    listed = [
        {"path": "pictures/1.jpg", "species": "Quadratum rubrum", "observation_id": "7"},
        {"path": "pictures/2.jpg", "species": "colour-3", "observation_id": "8"},
        {"path": "pictures/3.jpg", "species": "Quadratum rubrum", "observation_id": "7"},
        {"path": "pictures/4.jpg", "species": "", "observation_id": ""},
    ]
    for row in listed[:3]:
        (tmp_path / row["path"]).write_bytes(row["path"].encode())
    path = tmp_path / f"list.{kind}"
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(listed), path)
    else:
        text = io.StringIO()
        writer = csv.DictWriter(text, listed[0], delimiter="\t" if kind == "tsv" else ",")
        writer.writeheader()
        writer.writerows(listed)
        path.write_text(text.getvalue(), encoding="utf-8")
    found = loaded(data, path)
    assert found.keys == [f"pictures/{number}.jpg" for number in (1, 3, 2, 4)]  # plants together
    assert found.observations == ["7", "7", "8", "pictures/4.jpg"]
    assert found.labels.tolist() == [0, 0, 3, -1]
    assert not found.unknown
    assert found.read(2) == b"pictures/2.jpg"
    with pytest.raises(OSError, match=r"4\.jpg"):
        found.read(3)


def test_what_a_list_has_urls_of_lies_where_it_was_fetched(data: Path, tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("url,species,key\nhttp://a/1,colour-1,one\nhttp://a/2,colour-1,two\n")
    with pytest.raises(ConfigError, match="make fetch URLS="):
        loaded(data, path)
    (tmp_path / "images" / "packs").mkdir(parents=True)
    (tmp_path / "images" / "packs" / "a-000.tar").write_bytes(b"....picture...")
    fetched = [
        {"url": "http://a/1", "status": "kept", "pack": "a-000.tar", "offset": 4, "length": 7},
        {"url": "http://a/2", "status": "not_found"},
    ]
    table = pa.Table.from_pylist(fetched, schema=records.IMAGES)
    records.write(tmp_path / "images" / "tables" / "a.parquet", table)
    found = loaded(data, path)
    assert found.keys == ["one", "two"]
    assert found.read(0) == b"picture"
    with pytest.raises(FileNotFoundError, match="two"):
        found.read(1)


def test_tars_are_read_as_webdataset_writes_them(data: Path, tmp_path: Path) -> None:
    with webdataset.TarWriter(str(tmp_path / "a.tar")) as tar:
        tar.write({"__key__": "x/1", "jpg": b"one", "json": {"species_id": "colour-1",
                   "observation_id": "7"}})  # fmt: skip
        tar.write({"__key__": "x/2", "png": b"two", "cls": 3})
        tar.write({"__key__": "x/3", "cls": 3})  # without a picture
        tar.write({"__key__": "x/4", "jpg": b"four", "cls": "Quadratum viride"})
        tar.write({"__key__": "x/5", "jpg": b"five", "cls": 99})
    for where in (tmp_path, tmp_path / "a.tar"):
        found = loaded(data, where)
        assert rows(found) == {
            "x/1": ("7", 1), "x/2": ("x/2", 3), "x/4": ("x/4", 1), "x/5": ("x/5", -1)
        }  # fmt: skip
        assert [found.read(place) for place in range(4)] == [b"one", b"two", b"four", b"five"]


def test_labels_are_those_of_the_classes_beside_the_tars(data: Path, tmp_path: Path) -> None:
    with webdataset.TarWriter(str(tmp_path / "a.tar")) as tar:
        tar.write({"__key__": "1", "jpg": b"one", "cls": 0})
    table = [{"label": 0, "species_id": "colour-3"}]
    classes = pa.Table.from_pylist(table, schema=records.CLASSES)
    records.write(tmp_path / "classes.parquet", classes)
    assert loaded(data, tmp_path).labels.tolist() == [3]


def test_a_synonym_stands_for_its_species(data: Path, tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("\n".join(CHECKLIST), encoding="utf-8")
    taxa.build(path, tmp_path / "checklist")
    names = names_of(data, tmp_path / "checklist")
    words = (
        "Rhombus ruber L.",
        "rhombus_ruber",
        "Quadratum rubrum",
        "Quadratum nigrum",
        "Nemo",
        "",
    )
    assert [names.label(word) for word in words] == [0, 0, 0, -1, -1, -1]


def test_of_a_plant_with_two_names_there_are_two(data: Path, tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text(
        "path,species,observation_id\n1,colour-0,7\n2,colour-1,7\n3,colour-0,7\n4,colour-1,8\n"
    )
    found = loaded(data, path)
    assert found.observations == ["7/0", "7/0", "7/1", "8"]
    assert found.keys == ["1", "3", "2", "4"]


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("list.csv", "file,species\n1,2\n", "has the columns path or url, and species"),
        ("list.csv", "path,species\n", "there are no pictures in it"),
        ("list.parquet", "no table", "cannot be read as a list"),
        ("a.tar", "no tar", "cannot be read as a tar"),
        ("a.doc", "", "is no folder, list"),
    ],
)
def test_what_is_no_set_is_told(
    data: Path, tmp_path: Path, name: str, content: str, what: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ConfigError, match=what):
        loaded(data, tmp_path / name)
