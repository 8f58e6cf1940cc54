from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from crawler import candidates, plan
from crawler.candidates import Candidate
from flora.records import Tier
from tests.crawler.server import settings

SETTINGS = settings(80)


def candidate(url: str, species: str = "s1", **changes: object) -> Candidate:
    known = {"query": "Quercus robur", "source": "gbif", "tier": Tier.WEB, **changes}
    return Candidate(url=url, species_id=species, **known)  # type: ignore[arg-type]


def table(*rows: Candidate) -> pa.Table:
    return candidates.table(rows)


def planned(folder: Path) -> dict[str, list[str]]:
    found = {}
    for path in plan.generations(folder):
        for unit in plan.units(path, SETTINGS):
            rows = pq.ParquetFile(unit.task.plan).read_row_group(unit.task.row_group)
            found[unit.name] = rows["url"].to_pylist()
    return found


def test_a_picture_listed_twice_is_one_with_the_better_tier() -> None:
    merged = plan.merge(
        table(
            candidate("http://a.org/1", source="openverse", licence="CC BY 4.0", rank=1),
            candidate("http://a.org/1", source="eol", tier=Tier.EXPERT, licence="CC0 1.0"),
            candidate("http://a.org/1", species="s2"),
            candidate("http://a.org/2"),
        )
    ).to_pylist()
    found = [(row["url"][-1], row["species_id"], row["tier"], row["licence"]) for row in merged]
    assert found == [
        ("1", "s1", "expert", "CC0 1.0"),
        ("1", "s2", "web", None),
        ("2", "s1", "web", None),
    ]


def test_a_big_host_has_units_of_its_own_and_small_ones_share(tmp_path: Path) -> None:
    small = SETTINGS.__class__(contact="x", unit_images=100)
    big = [candidate(f"http://big.org/{i:03}") for i in range(250)]
    rest = [candidate(f"http://h{i}.org/{j}") for i in range(30) for j in range(5)]
    plan.extend(tmp_path, table(*rest, *big), small)
    units = planned(tmp_path)
    sizes = {name: len(urls) for name, urls in units.items()}
    assert [sizes[f"big.org/000-000{i}"] for i in range(3)] == [100, 100, 50]
    shared = [urls for name, urls in units.items() if name.startswith("small-hosts/")]
    assert sum(map(len, shared)) == 150
    hosts = [{url.split("/")[2] for url in urls} for urls in shared]
    assert not hosts[0] & hosts[1]


def test_units_of_one_host_share_a_lane(tmp_path: Path) -> None:
    small = SETTINGS.__class__(contact="x", unit_images=10)
    plan.extend(tmp_path, table(*(candidate(f"http://a.org/{i}") for i in range(20))), small)
    (path,) = plan.generations(tmp_path)
    assert [unit.lane for unit in plan.units(path, small)] == ["a.org", "a.org"]


def test_one_url_under_two_species_stays_in_one_unit(tmp_path: Path) -> None:
    small = SETTINGS.__class__(contact="x", unit_images=3)
    rows = [candidate(f"http://a.org/{i}", species) for i in range(6) for species in ("s1", "s2")]
    plan.extend(tmp_path, table(*rows), small)
    for urls in planned(tmp_path).values():
        assert all(urls.count(url) == 2 for url in urls)


def test_later_candidates_get_units_of_their_own_and_touch_nothing(tmp_path: Path) -> None:
    first = [candidate(f"http://a.org/{i}") for i in range(4)]
    plan.extend(tmp_path, table(*first), SETTINGS)
    before = planned(tmp_path)
    recipes = [unit.recipe for unit in plan.units(plan.generations(tmp_path)[0], SETTINGS)]
    plan.extend(tmp_path, table(*first), SETTINGS)
    assert planned(tmp_path) == before
    plan.extend(tmp_path, table(*first, candidate("http://a.org/9")), SETTINGS)
    after = planned(tmp_path)
    assert {name: after[name] for name in before} == before
    assert [urls for name, urls in after.items() if name not in before] == [["http://a.org/9"]]
    again = [unit.recipe for unit in plan.units(plan.generations(tmp_path)[0], SETTINGS)]
    assert again == recipes


def test_strange_hosts_make_sound_unit_names(tmp_path: Path) -> None:
    small = SETTINGS.__class__(contact="x", unit_images=1)
    urls = ["http://[2001:db8::1]/a", "http://xn--bcher-kva.example/a", f"http://{'a' * 200}.b/"]
    plan.extend(tmp_path, table(*map(candidate, urls)), small)
    names = set(planned(tmp_path))
    assert len(names) == 3
    assert all(len(name) < 150 for name in names)
