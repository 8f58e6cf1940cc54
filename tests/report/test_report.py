import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from flora import predictions, records
from flora.predictions import Predictions, words
from flora.records import Reason
from report import counts, plates
from report.__main__ import main
from tests.report.conftest import EVIL, Page, look

CHAPTERS = ["funnel", "species", "families", "sheet", "sources", "forms", "refused", "duplicates",
            "training", "evaluation", "names", "credits"]  # fmt: skip


def test_every_chapter_is_there_in_order_and_in_the_contents(page: Page) -> None:
    assert [attrs["id"] for tag, attrs in page.tags if tag == "section"] == CHAPTERS
    assert [href for href in page.values("href") if href.startswith("#")] == [
        f"#{name}" for name in CHAPTERS
    ]


def test_the_page_asks_the_web_for_nothing(page: Page) -> None:
    assert {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object", "base"} == set()
    assert all(source.startswith("data:image/jpeg;base64,") for source in page.values("src"))
    only_named = {("svg", "xmlns:xlink"), ("img", "title"), ("img", "alt")}
    for tag, attrs in page.tags:
        for name, value in attrs.items():
            if re.search(r"https?:|//|url\((?!#)", str(value)) and name != "src":
                assert (tag, name) in only_named | {("a", "href")}
        if tag == "a" and not str(attrs["href"]).startswith("#"):
            assert "noopener" in str(attrs["rel"])
    assert "url(" not in page.words[""]
    policies = [a["content"] for _, a in page.tags if "http-equiv" in a]
    assert policies == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]
    assert "@import" not in page.words[""]


def test_what_came_from_the_web_is_text_and_never_markup(page: Page) -> None:
    assert "script" not in {tag for tag, _ in page.tags}
    for chapter in ("refused", "names", "credits"):
        assert EVIL in page.words[chapter]
    assert not any(href.startswith("javascript") for href in page.values("href"))
    assert "javascript:alert(1)" in page.words["credits"]
    assert "https://flowers.example/12?a=1&b=2" in page.values("href")


def test_every_id_is_there_once(page: Page) -> None:
    ids = page.values("id")
    assert sorted(ids) == sorted(set(ids))


def test_the_same_tables_give_the_same_page(data: Path) -> None:
    look(data)
    first = (data / "report.html").read_bytes()
    look(data)
    assert (data / "report.html").read_bytes() == first
    assert b"as of 2018-05-04 10:20 UTC" in first


def test_the_funnel_counts_every_step(page: Page) -> None:
    words = page.words["funnel"]
    for step in (
        "names asked for as they were given – 5",
        "species accepted, that they lead to not in list 1 1 4",
        "listings found by all sources – 134",
        "to fetch by photograph and species the same photograph, or not planned yet 67 67 67",
        "fetched whole arrived, decoded, not refused not found 5 · robots 2 7 60",
        "different pictures by their bytes – 60",
        "kept after removing duplicates conflict 2 · near duplicate 1 · placeholder 1 4 56",
        "in shards packed for training and tests not chosen, or not packed yet 2 2 54",
        "train 45 val 3 test 6",
        "images 1 2.0 KiB 61.5",
    ):
        assert step in words


def test_the_contact_sheet_shows_six_of_each_species_with_the_name(page: Page) -> None:
    assert (
        "Genus2 species2 Familiaceae · 19 pictures · 2 of 21 lost to others" in page.words["sheet"]
    )
    shown = [str(p["alt"]) for p in page.pictures() if "picture 6 of" in str(p["alt"])]
    assert sorted(shown) == [
        "Genus0 species0, picture 6 of 19",
        "Genus1 species1, picture 6 of 18",
        "Genus2 species2, picture 6 of 19",
    ]


def test_no_species_is_on_two_sheets_and_the_most_suspect_are_chosen_first(data: Path) -> None:
    sheet = look(data, limit=1).words["sheet"]
    assert [sheet.count(f"Genus{n} species{n}") for n in range(3)] == [1, 1, 1]
    assert re.findall("With the (most|fewest) pictures", sheet) == ["most", "fewest"]
    assert "Genus1 species1 Familiaceae · 18 pictures" in sheet.partition("Most suspect")[2]


def test_a_removed_picture_stands_beside_the_one_that_stays(page: Page) -> None:
    words = page.words["duplicates"]
    near, rest = words.split("Outvoted: 1")
    assert "kept Genus0 species0 removed Genus0 species0 4 of 256 bits apart" in near
    assert "pixels 0.975 alike" in near
    outvoted, rest = rest.split("Conflict: 2")
    assert "kept Genus0 species0 removed Genus1 species1 the very same bytes" in outvoted
    conflict, rest = rest.split("Placeholder: 3")
    assert conflict.count("removed Genus") == 2
    placeholder, misses = rest.split("Nearest misses")
    assert "removed; listed for 3 species Genus0 species0 , Genus1 species1 ," in placeholder
    assert "kept Genus0 species0 kept Genus0 species0 6 of 256 bits apart" in misses


def test_all_reasons_to_drop_are_explained() -> None:
    assert set(plates.WHY) == set(Reason) - {Reason.UNIQUE, Reason.KEEPER}


def test_refusals_are_counted_and_three_of_a_kind_are_named(page: Page) -> None:
    words = page.words["refused"]
    assert "7 of 67 listings (10.4%) brought no picture" in words
    assert words.count("https://not_found.example/") == 3
    assert words.count("https://robots.example/") == 2


def test_clusters_are_counted_by_size_and_the_species_that_claim_the_same_are_named(
    page: Page,
) -> None:
    words = page.words["duplicates"]
    assert "4 pictures are copies of each other, in clusters of so many." in words
    assert "claimed by and by pictures Genus0 species0 Genus1 species1 1" in words


def test_species_without_pictures_are_counted_against_those_wanted_and_the_checklist(
    page: Page,
) -> None:
    words = page.words["species"]
    assert "none 1 25.0% 0 0.0% 1 or more 3 75.0% 3 100.0%" in words
    assert "50 or more 0 0.0% 0 0.0%" in words


def test_families_are_boxes_and_rows_of_a_table(page: Page) -> None:
    words = page.words["families"]
    assert "Familiaceae: 3 of 3" in words
    assert "family species with 1+ with 10+ with 50+ share 10+ pictures" in words
    assert "Familiaceae 3 3 3 0 100.0% 56 family not known 1 0 0 0 0.0% 0" in words


def test_sources_tiers_and_licences_are_counted(page: Page) -> None:
    words = page.words["sources"]
    assert "gbif citizen 60 60 100.0% 56 commons web 7 0 0.0% 0" in words
    assert "citizen 60 60 56 web 7 0 0" in words
    assert "CC BY 4.0 60 100.0% 38 not stated 0 0.0% 18" in words


def test_sizes_and_formats_are_of_what_came_whole(page: Page) -> None:
    words = page.words["forms"]
    assert "under 128 px" in words
    assert "jpg 60 100.0% 72 px" in words


@pytest.mark.parametrize(
    ("told", "name"),
    [
        ("CC BY 4.0", "CC BY 4.0"),
        ("cc-by-nc-sa-2.0", "CC BY-NC-SA 2.0"),
        ("CC_BY_NC_4_0", "CC BY-NC 4.0"),
        ("http://creativecommons.org/licenses/by-nc-nd/3.0/legalcode", "CC BY-NC-ND 3.0"),
        ("https://creativecommons.org/publicdomain/zero/1.0/", "CC0"),
        ("CC0 1.0", "CC0"),
        ("Public domain", "public domain"),
        ("pd", "public domain"),
        ("cc by", "CC BY"),
        ("taken by 4.0 people", "taken by 4.0 people"),
        ("All rights reserved", "All rights reserved"),
    ],
)
def test_a_licence_has_one_name_however_it_is_spelled(told: str, name: str) -> None:
    assert counts.licence(told) == name


def test_training_is_drawn_from_its_whole_lines(page: Page) -> None:
    words = page.words["training"]
    assert "last layer alone" in words
    assert "all layers" in words
    assert "validation, top-5" in words


def test_the_evaluation_stands_beside_chance_and_names_the_confused(page: Page) -> None:
    words = page.words["evaluation"]
    assert "first guess right (top-1) 90.0% 90.0% 33.3% 40.0%" in words
    assert "mean reciprocal rank (MRR) 0.951 0.951 0.951 –" in words
    assert "11-100 3 30 90.0% 100.0% 0.951" in words
    assert "Genus0 species0 3 of 10 taken for the other" in words
    assert "Genus2 species2 0 of 10 taken for the other" in words


def test_guesses_are_read_where_there_are_any(data: Path) -> None:
    run = data / "runs" / "main"
    ids = records.read(data / "shards" / "index.parquet", records.INDEX, ["image_id"])
    none = np.full(4, -1)
    guessed = Predictions(
        keys=words(ids["image_id"].to_pylist()[:4]), observations=words([*"abcd"]),
        labels=np.array([1, 1, 0, -1]), ranks=np.array([2, 2, 1, 0]), truths=np.full(4, -1.0),
        genus_ranks=none, family_ranks=none, candidates=none, genus_candidates=none,
        family_candidates=none, top=np.zeros((4, 2), np.float32),
        top_labels=np.array([[2, 1], [2, 1], [0, -1], [0, -1]], np.int32),
    )  # fmt: skip
    with predictions.writing(run / "guesses-test.parquet") as append:
        append(guessed)
    page = look(data)
    assert "Genus1 species1 2 of 2 taken for the other" in page.words["evaluation"]
    assert "Genus2 species2 0 of 0 taken for the other" in page.words["evaluation"]
    shown = [str(picture["alt"]) for picture in page.pictures()]
    assert {"Picture of Genus1 species1", "Picture of Genus2 species2"} <= set(shown)


def test_without_guesses_nothing_is_said_of_confusions(data: Path) -> None:
    (data / "runs" / "main" / "predictions-test.parquet").unlink()
    words = look(data).words["evaluation"]
    assert "first guess right" in words
    assert "taken for" not in words


def test_a_model_that_no_picture_tests_is_not_called_perfect(data: Path) -> None:
    path = data / "runs" / "main" / "evaluation.json"
    found = json.loads(path.read_text())
    path.write_text(json.dumps({name: {**found[name], "images": 0} for name in found}))
    words = look(data).words["evaluation"]
    assert words == "Evaluation No pictures were set aside to test the model on."


def test_names_that_lead_nowhere_are_listed_with_suggestions(page: Page) -> None:
    words = page.words["names"]
    assert "1 of 5 names lead to no accepted species." in words
    assert f"Genus {EVIL} not in list Genus0 species0" in words


def test_every_picture_has_words_and_a_credit(page: Page) -> None:
    assert all(attrs["aria-label"] for tag, attrs in page.tags if tag == "svg")
    for picture in page.pictures():
        assert picture["alt"]
        assert "·" in str(picture["title"])
    shown = {str(p["src"]) for p in page.pictures()}
    assert f"of the {len(shown)} pictures shown" in page.words["credits"]


def test_stages_that_have_not_run_are_said_to(tmp_path: Path) -> None:
    page = look(tmp_path)
    assert [attrs["id"] for tag, attrs in page.tags if tag == "section"] == CHAPTERS
    for name in CHAPTERS[:-1]:
        assert " yet" in page.words[name]
    assert "No pictures are shown." in page.words["credits"]


def test_a_crawl_without_verdicts_has_its_half_of_the_page(data: Path) -> None:
    for path in ("verdicts/verdicts.parquet", "shards/index.parquet", "shards/classes.parquet",
                 "runs/main/metrics.jsonl", "images/tables/b.parquet"):  # fmt: skip
        (data / path).unlink()
    page = look(data)
    assert "60 of 60 listings fetched whole; none is judged yet." in page.words[""]
    assert (
        "fetched whole arrived, decoded, not refused not fetched yet 7 7 60" in page.words["funnel"]
    )
    assert "kept after" not in page.words["funnel"]
    assert "10 or more 3 75.0%" in page.words["species"]
    assert "Familiaceae: 3 of 3" in page.words["families"]
    assert "Pictures fetched, by species" in page.words["sheet"]
    assert len(page.pictures()) == 18
    assert "gbif citizen 60 60 100.0% 0" in page.words["sources"]
    assert "Duplicates have not been looked for yet." in page.words["duplicates"]


def test_a_crawl_that_brought_nothing_is_a_page(tmp_path: Path, data: Path) -> None:
    name = "images/tables/b.parquet"
    (tmp_path / name).parent.mkdir(parents=True)
    shutil.copy(data / name, tmp_path / name)
    words = look(tmp_path).words
    assert "7 of 7 listings (100.0%) brought no picture" in words["refused"]
    assert "There is no picture yet." in words["sheet"]


def test_names_that_are_asked_for_but_not_searched_are_a_page(data: Path) -> None:
    for folder in ("images", "verdicts", "shards", "runs"):
        shutil.rmtree(data / folder)
    shutil.rmtree(data / "candidates" / "tables")
    words = look(data).words
    assert "species accepted, that they lead to not in list 1 1 4" in words["funnel"]
    assert "No picture has been listed yet." in words["species"]


def test_the_demos_truth_is_a_chapter(data: Path, tmp_path: Path) -> None:
    truth = tmp_path / "truth.json"
    goals = [
        {"what": "copies found", "value": "99.4%", "goal": "at least 99.0%", "met": True},
        {"what": "top-1", "value": 0.5, "goal": 0.85, "met": False},
    ]
    truth.write_text(json.dumps({"sections": {"Copies": {"resized": 12345}}, "goals": goals}))
    output = tmp_path / "page.html"
    assert main(["--data", str(data), "--truth", str(truth), "--output", str(output)]) == 0
    text = output.read_text(encoding="utf-8")
    assert "✓ met" in text
    assert "✗ missed" in text
    assert "12,345" in text


def test_a_dry_run_writes_nothing(data: Path) -> None:
    assert main(["--data", str(data), "--dry-run"]) == 0
    assert not (data / "report.html").exists()


def test_mistakes_are_one_clear_message(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = data / "broken.json"
    broken.write_text("[1,")
    assert main(["--data", str(data / "nowhere")]) == 2
    assert main(["--data", str(data), "--truth", str(broken)]) == 2
    (data / "images" / "packs" / "a-000.tar").unlink()
    assert main(["--data", str(data)]) == 3
    records.write(data / "shards" / "index.parquet", records.CLASSES.empty_table())
    assert main(["--data", str(data)]) == 3
    (data / "verdicts" / "verdicts.parquet").write_bytes(b"PAR1, or so it says: PAR1")
    assert main(["--data", str(data)]) == 3
    said = capsys.readouterr().err
    assert "there is no such folder" in said
    assert "cannot be read as JSON" in said
    assert "a-000.tar: cannot be read" in said
    assert "shards: a table is not as its stage promised" in said
    assert "verdicts: a table is not as its stage promised" in said
    assert said.count("\n") == 5
