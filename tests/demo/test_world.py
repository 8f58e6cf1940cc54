import csv
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from demo.easel import FEW
from demo.mishaps import Kind
from demo.names import COLUMNS
from demo.world import World, build, load
from flora.errors import ConfigError
from tests.demo.conftest import SMALL

FILES = (
    "bodies.parquet",
    "checklist.csv",
    "pages.parquet",
    "pictures.pack",
    "truth.parquet",
    "world.json",
)


def digests(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.iterdir()
        if path.name != ".lock"
    }


def test_the_same_seed_makes_the_same_bytes_anywhere(world: World, tmp_path: Path) -> None:
    assert digests(build(tmp_path, **SMALL).folder) == digests(world.folder)
    assert sorted(digests(tmp_path)) == sorted(FILES)


def test_another_seed_makes_another_world(world: World, tmp_path: Path) -> None:
    other = build(tmp_path, **{**SMALL, "seed": 8})
    assert other.listings != world.listings
    assert digests(tmp_path)["pictures.pack"] != digests(world.folder)["pictures.pack"]


def test_a_second_build_finds_the_first(world: World) -> None:
    before = {path: path.stat().st_mtime_ns for path in world.folder.iterdir()}
    started = time.monotonic()
    assert build(world.folder, **SMALL) == world
    assert time.monotonic() - started < 1
    assert {path: path.stat().st_mtime_ns for path in world.folder.iterdir()} == before


def children(process: int) -> set[int]:
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == process and fields[0] != "Z":
            found.add(int(stat.parent.name))
    return found


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_build_killed_half_way_leaves_no_process_and_is_made_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = {"species": 6, "pictures": FEW, "seed": 3}
    script = tmp_path / "draw.py"
    script.write_text(
        "import sys; from pathlib import Path; from demo.world import build\n"
        f"if __name__ == '__main__': build(Path(sys.argv[1]), **{many})\n"
    )
    killed, calm = tmp_path / "killed", tmp_path / "calm"
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    with subprocess.Popen([sys.executable, script, killed], env=environment) as process:
        deadline = time.monotonic() + 60
        while not any(draft.stat().st_size for draft in killed.glob(".pictures.pack.*")):
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.02)
        workers = children(process.pid)
        assert workers or len(os.sched_getaffinity(0)) == 1
        process.kill()
    assert not (killed / "world.json").exists()
    while any(map(is_alive, workers)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    build(killed, **many)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})  # one core: drawn in one process
    build(calm, **many)
    assert digests(killed) == digests(calm)
    assert sorted(digests(killed)) == sorted(FILES)


def test_every_kind_of_mishap_is_there(world: World) -> None:
    assert {row.kind for row in world.listings} == set(Kind)


def test_the_truth_knows_what_a_copy_was_made_from(world: World) -> None:
    clean = {row.url: row for row in world.listings if row.kind is Kind.CLEAN}
    copies = [row for row in world.listings if row.copy_of]
    assert {row.kind for row in copies} >= {Kind.EXACT_COPY, Kind.RESIZED, Kind.TRUNCATED}
    for row in copies:
        original = clean[row.copy_of or ""]
        assert (row.picture_id, row.true_species) == (original.picture_id, original.true_species)
        if row.kind is Kind.EXACT_COPY:
            assert row.body == original.body and row.url != original.url
        if row.kind is Kind.TWO_SPECIES:
            assert row.listed_species != original.listed_species


def test_a_tenth_of_the_labels_is_wrong_but_none_of_an_expert(world: World) -> None:
    wrong = [row for row in world.listings if row.kind is Kind.WRONG_LABEL]
    assert len(wrong) == 6
    assert all(row.listed_species != row.true_species and row.tier != "expert" for row in wrong)


def test_species_have_few_pictures_or_many(world: World) -> None:
    originals = {row.picture_id: row.true_species for row in world.listings if row.picture_id}
    assert len(originals) == SMALL["pictures"]
    many = sorted(Counter(originals.values()).values())
    assert len(many) == SMALL["species"] and many[-1] >= 4 * many[0]


def test_the_checklist_has_the_columns_of_the_plant_list_and_all_sorts_of_names(
    world: World,
) -> None:
    with world.checklist.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS and len(COLUMNS) == 21
    status = Counter(row["Taxonomic status in TPL"] for row in rows)
    assert set(status) == {"Accepted", "Synonym", "Unresolved", "Misapplied"}
    accepted = {row["ID"] for row in rows if row["Taxonomic status in TPL"] == "Accepted"}
    synonyms = [row for row in rows if row["Taxonomic status in TPL"] == "Synonym"]
    assert all(row["Accepted ID"] in accepted for row in synonyms)
    assert any(row["Infraspecific epithet"] for row in rows)
    assert any(row["Species hybrid marker"] for row in rows)
    listed = {row.listed_species for row in world.listings} - {None}
    assert len(accepted) > len(listed) == SMALL["species"]


def test_some_pictures_are_listed_under_other_names_of_their_species(world: World) -> None:
    others = [r for r in world.listings if r.listed_species and r.listed_name != r.listed_species]
    assert others and all(row.source != "eol" for row in others)


@pytest.mark.parametrize("numbers", [{"species": 1}, {"species": 1000}, {"pictures": 20}])
def test_numbers_out_of_range_are_refused(numbers: dict[str, int], tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        build(tmp_path, **{**SMALL, **numbers})
    assert list(tmp_path.iterdir()) == []


def test_photographs_are_taken_as_they_are(photos: Path, tmp_path: Path) -> None:
    made = build(tmp_path, photos=photos)
    assert {row.listed_species for row in made.listings} == {
        "Bellis perennis",
        "Rosa × alba",
        None,
    } - {None}
    pack = made.pack.read_bytes()
    bodies = {pack[span.offset : span.offset + span.length] for span in made.bodies}
    assert all(file.read_bytes() in bodies for file in photos.glob("*/*.jpg"))
    assert Kind.WRONG_LABEL not in {row.kind for row in made.listings}
    assert {row.licence for row in made.listings} == {None}
    assert "Rosa,×,alba" in made.checklist.read_text(encoding="utf-8")
    assert load(tmp_path) == made


def test_photographs_keep_their_licences_and_creators(photos: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(photos, tmp_path / "photos")
    (folder / "attribution.csv").write_text(
        "file,label,family,licence,author,source_url,width,height,changes\n"
        "Bellis perennis/0.jpg,Bellis perennis,Asteraceae,CC-BY-SA-3.0,Ada,https://a.org/x,,,\n"
        "Bellis perennis/1.jpg,Bellis perennis,Asteraceae,Public domain,,,,,\n",
        encoding="utf-8",
    )
    made = build(tmp_path / "world", photos=folder, wrong_labels=0.5)
    facts = {(row.licence, row.creator) for row in made.listings}
    assert {("by-sa-3.0", "Ada"), ("pdm-1.0", None), (None, None)} <= facts
    assert "Asteraceae" in made.checklist.read_text(encoding="utf-8")
    assert Kind.WRONG_LABEL in {row.kind for row in made.listings}


def test_a_file_that_is_no_picture_is_left_out(photos: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(photos, tmp_path / "photos")
    (folder / "Bellis perennis" / "note.jpg").write_text("bring milk")
    made = build(tmp_path / "world", photos=folder)
    assert len({row.picture_id for row in made.listings if row.picture_id}) == 6


def test_a_folder_without_photographs_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "nowhere"):
        with pytest.raises(ConfigError, match="PHOTOS="):
            build(tmp_path / "world", photos=folder)
