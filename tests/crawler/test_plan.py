from pathlib import Path

import pyarrow.parquet as pq
import pytest

from crawler import candidates, plan
from crawler.candidates import Candidate
from crawler.config import CrawlerSettings
from flora import records
from flora.records import Tier
from tests.crawler.server import settings

SETTINGS = settings(80)


def candidate(url: str, species: str = "s1", **changes: object) -> Candidate:
    known = {"query": "Quercus robur", "source": "gbif", "tier": Tier.WEB, **changes}
    return Candidate(url=url, species_id=species, **known)  # type: ignore[arg-type]


def extend(folder: Path, *rows: Candidate, unit_images: int = 10_000) -> int:
    path = folder / "candidates" / "a.parquet"
    records.write(path, candidates.table(rows))
    chosen = CrawlerSettings(contact="x", unit_images=unit_images)
    return plan.extend(folder, [path], chosen)


def planned(folder: Path) -> dict[str, list[str]]:
    found = {}
    for unit in plan.units(folder, SETTINGS):
        rows = pq.ParquetFile(unit.task.plan).read_row_group(unit.task.row_group)
        found[unit.name] = rows["url"].to_pylist()
    return found


def test_a_big_host_has_units_of_its_own_and_small_ones_share(tmp_path: Path) -> None:
    big = [candidate(f"http://big.org/{i:03}") for i in range(250)]
    rest = [candidate(f"http://h{i}.org/{j}") for i in range(30) for j in range(5)]
    extend(tmp_path, *rest, *big, unit_images=100)
    units = planned(tmp_path)
    sizes = {name: len(urls) for name, urls in units.items()}
    assert [sizes[f"big.org/000-000{i}"] for i in range(3)] == [100, 100, 50]
    shared = [urls for name, urls in units.items() if name.startswith("small-hosts/")]
    assert sum(map(len, shared)) == 150
    hosts = [{url.split("/")[2] for url in urls} for urls in shared]
    assert not hosts[0] & hosts[1]


def test_units_of_one_host_share_a_lane(tmp_path: Path) -> None:
    extend(tmp_path, *(candidate(f"http://a.org/{i}") for i in range(20)), unit_images=10)
    assert [unit.lane for unit in plan.units(tmp_path, SETTINGS)] == ["a.org", "a.org"]


def test_one_url_under_two_species_stays_in_one_unit(tmp_path: Path) -> None:
    rows = [candidate(f"http://a.org/{i}", species) for i in range(6) for species in ("s1", "s2")]
    extend(tmp_path, *rows, unit_images=3)
    for urls in planned(tmp_path).values():
        assert all(urls.count(url) == 2 for url in urls)


def test_later_candidates_get_units_of_their_own_and_touch_nothing(tmp_path: Path) -> None:
    first = [candidate(f"http://a.org/{i}") for i in range(4)]
    assert extend(tmp_path, *first) == 4
    before = planned(tmp_path)
    recipes = {unit.name: unit.recipe for unit in plan.units(tmp_path, SETTINGS)}
    assert extend(tmp_path, *first) == 0
    assert planned(tmp_path) == before
    assert extend(tmp_path, *first, candidate("http://a.org/9")) == 1
    after = planned(tmp_path)
    assert {name: after[name] for name in before} == before
    assert [urls for name, urls in after.items() if name not in before] == [["http://a.org/9"]]
    again = {unit.name: unit.recipe for unit in plan.units(tmp_path, SETTINGS)}
    assert recipes.items() <= again.items()


def test_strange_hosts_make_sound_unit_names(tmp_path: Path) -> None:
    urls = ["http://[2001:db8::1]/a", "http://xn--bcher-kva.example/a", f"http://{'a' * 200}.b/",
            "http://a_b.example/", "http://a-b.example/", "http://small-hosts/"]  # fmt: skip
    extend(tmp_path, *map(candidate, urls), unit_images=1)
    names = set(planned(tmp_path))
    assert len(names) == 6
    assert all(len(name) < 150 for name in names)


def test_the_same_candidates_give_the_same_bytes(tmp_path: Path) -> None:
    rows = [candidate(f"http://h{i % 9}.org/{i // 2}", f"s{i % 5}", rank=i) for i in range(500)]
    for name in ("one", "two"):
        extend(tmp_path / name, *rows, unit_images=40)
    one, two = (plan.generations(tmp_path / name)[0].read_bytes() for name in ("one", "two"))
    assert one == two


def test_units_are_cut_alike_however_the_rows_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [candidate(f"http://h{i % 3}.org/{i // 4}", f"s{i}") for i in range(300)]
    extend(tmp_path / "one", *rows, unit_images=8)
    monkeypatch.setattr(plan, "_BATCH", 1)
    extend(tmp_path / "two", *rows, unit_images=8)
    one, two = planned(tmp_path / "one"), planned(tmp_path / "two")
    assert one == two
    assert all(len(set(urls)) <= 8 for urls in one.values())
    assert sum(map(len, one.values())) == 300


def test_a_photograph_many_species_claim_is_recorded(tmp_path: Path) -> None:
    rows = [candidate("http://a.org/1", "s2", source="eol", tier=Tier.EXPERT),
            candidate("http://a.org/1", "s1"), candidate("http://a.org/2")]  # fmt: skip
    assert extend(tmp_path, *rows) == 3
    (found,) = pq.read_table(tmp_path / "conflicts-000.parquet").to_pylist()
    assert found == {
        "photo_id": "a.org/1",
        "url": "http://a.org/1",
        "species_id": ["s1", "s2"],
        "source": ["gbif", "eol"],
        "tier": ["web", "expert"],
    }


def test_a_known_photograph_under_a_new_species_keeps_its_address(tmp_path: Path) -> None:
    page = "https://www.flickr.com/photos/x/7"
    copy = "https://content.eol.org/7.jpg"
    home = "https://live.staticflickr.com/1/7_abc.jpg"
    assert extend(tmp_path, candidate(copy, page_url=page)) == 1
    assert not list(tmp_path.glob("conflicts*"))
    assert extend(tmp_path, candidate(home), candidate(home, "s2")) == 1
    assert list(planned(tmp_path).values()) == [[copy], [copy]]
    (found,) = pq.read_table(tmp_path / "conflicts-001.parquet").to_pylist()
    assert (found["photo_id"], found["species_id"]) == ("flickr:7", ["s1", "s2"])


def test_no_candidates_make_no_plan(tmp_path: Path) -> None:
    assert plan.extend(tmp_path, [], SETTINGS) == extend(tmp_path) == 0
    assert not plan.generations(tmp_path)
