from pathlib import Path

import pytest

from crawler.__main__ import main
from flora import taxa
from flora.ledger import Ledger
from tests.crawler.engines import Engines

NAMES = """ID,Major group,Family,Genus hybrid marker,Genus,Species hybrid marker,Species,\
Infraspecific rank,Infraspecific epithet,Authorship,Taxonomic status in TPL,\
Nomenclatural status from original data source,Confidence level,Source,Source id,IPNI id,\
Publication,Collation,Page,Date,Accepted ID
kew-1,A,Fagaceae,,Quercus,,robur,,,L.,Accepted,,H,WCSP,1,,,,,,
kew-2,A,Fagaceae,,Quercus,,petraea,,,Liebl.,Accepted,,H,WCSP,2,,,,,,
kew-3,A,Fagaceae,,Fagus,,sylvatica,,,L.,Accepted,,H,WCSP,3,,,,,,
kew-4,A,Fagaceae,,Quercus,,pedunculata,,,Ehrh.,Synonym,,H,WCSP,4,,,,,,kew-1
"""
OFFLINE = ("--set", "crawler.contact=tests@example.org", "--dry-run")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "names.csv").write_text(NAMES)
    taxa.build(tmp_path / "names.csv", tmp_path / "checklist")
    return tmp_path


def run(data: Path, *flags: str) -> int:
    return main(["--data", str(data), *OFFLINE, *flags])


def test_a_dry_run_shows_settings_and_units(data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(data) == 0
    said = capfd.readouterr().err
    assert "requests_per_second = 0.33" in said
    assert "search: 1 of 1 units would run" in said
    assert "Search by name: 3 species, 100 photographs each; none are listed yet" in said
    assert "openverse              3        3         6     200   0.0     0.00" in said
    assert not (data / "candidates").exists()


@pytest.mark.parametrize("species", ["Quercus", "fagaceae", "Quercus pedunculata,Fagus_sylvatica"])
def test_species_may_be_names_genera_or_families(data: Path, species: str) -> None:
    assert run(data, "--species", species) == 0


def test_a_missing_key_is_named_before_anything_runs(
    data: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WORLDFLORA_SERPER_KEY", raising=False)
    flags = ["--set", "crawler.sources=['serper']", *OFFLINE[:2]]
    assert main(["--data", str(data), *flags]) == 2
    assert "serper needs WORLDFLORA_SERPER_KEY in the environment" in capfd.readouterr().err
    assert not (data / "candidates").exists()
    assert main(["--data", str(data), *flags, "--dry-run"]) == 0


def test_a_long_list_of_names_is_no_path(data: Path) -> None:
    assert run(data, "--species", ",".join(["Quercus robur"] * 100)) == 0


def test_a_file_of_names_is_read_and_what_is_unknown_is_said(
    data: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (data / "list.txt").write_text("# mine\nQuercus robor\n\nFagus sylvatica\n")
    assert run(data, "--species", str(data / "list.txt")) == 0
    assert "Quercus robor: unknown, left out; did you mean Quercus robur?" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        (["--species", "Rosa nonsense"], 2, "no name in it leads to an accepted species"),
        (["--set", "crawler.sources=['opnverse']"], 2, "did you mean openverse?"),
        (["--set", "crawler.politeness.requests_per_second=0"], 2, "must be above 0"),
    ],
)
def test_a_mistake_is_one_clear_message(
    data: Path, capfd: pytest.CaptureFixture[str], flags: list[str], code: int, message: str
) -> None:
    assert run(data, *flags) == code
    assert message in capfd.readouterr().err


def test_without_a_checklist_the_message_says_what_to_run(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path) == 3
    assert "species.parquet" in capfd.readouterr().err


def test_a_quota_that_is_used_up_keeps_nothing_from_being_fetched(
    data: Path, cluster: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with Engines() as engines:
        changes = (
            f"net.connect_to={{'*.test' = '{engines.address}'}}",
            "sources=['openverse']",
            "openverse.endpoint=http://a.test/openverse",
            "openverse.requests_per_day=2",
            "openverse.requests_per_second=1000",
            "politeness.requests_per_second=1000",
        )
        flags = [flag for each in changes for flag in ("--set", f"crawler.{each}")]
        flags += ["--data", str(data), "--cluster", cluster, "--species", "Quercus"]
        flags += ["--set", "crawler.openverse.pages=1"]
        for _ in range(2):
            assert main(flags) == 1
            said = capfd.readouterr().err
            assert "1 for openverse, until 00:00 UTC. The same command goes on tomorrow." in said
            assert len(engines.asked) == 2
            assert Ledger(data / "images").receipts()
    kept = sorted((data / "logs").glob("*-page.html"))
    assert "0 of 2" in kept[-1].read_text()  # the quota, on the dashboard
