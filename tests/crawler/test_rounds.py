import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from crawler import candidates, forecast, holdings, planner, rounds, search
from crawler.candidates import Candidate
from crawler.config import CrawlerSettings
from crawler.planner import Steps, Supply
from crawler.wanted import Wanted
from flora import records
from flora.command import Options
from flora.errors import LaterError, StageError
from flora.ledger import Ledger
from flora.records import Tier
from flora.stage import Run
from tests.crawler.engines import PICTURES, Engines

OAK = Wanted(species_id="oak", family="Fagaceae", names=("Quercus robur", "Q. pedunculata"))
BEECH = Wanted(species_id="beech", family="Fagaceae", names=("Fagus sylvatica",))
ROSE = Wanted(species_id="rose", family="Rosaceae", names=("Rosa canina", "Rosa a", "Rosa b"))
FLORA = [OAK, BEECH, ROSE]


@pytest.fixture
def engines() -> Iterator[Engines]:
    with Engines() as running:
        yield running


@pytest.fixture
def run(tmp_path: Path, cluster: str) -> Iterator[Run]:
    with Run(Options(data=tmp_path, cluster=cluster)) as running:
        yield running


def hold(run: Run, settings: CrawlerSettings, wanted: Sequence[Wanted] = FLORA) -> None:
    folder = run.options.data
    with Ledger(folder).lock():
        rounds.hold(run, wanted, folder, folder / "checklist", settings)


def a_day_passes(folder: Path) -> None:
    for path in (folder / "quota").glob("*.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), "day": "2018-06-01"}))


def supply(name: str, **changes: object) -> Supply:
    usual = {
        "most": 1, "a_second": 1000.0, "a_day": 0, "left": None, "price": 0.0,
        "gain": 10.0, "per_query": 1.0, "measured": False,
    }  # fmt: skip
    return Supply(name=name, **{**usual, **changes})  # type: ignore[arg-type]


def steps(wanted: Sequence[Wanted], folder: Path) -> Steps:
    return Steps(wanted, rounds._asked(folder, []))


def test_each_name_is_asked_everywhere_before_the_next_name(run: Run, engines: Engines) -> None:
    hold(run, engines.settings("openverse", "searxng"))
    rows = [name for name in OAK.names for _ in range(2)]
    assert [name for _, name, _ in engines.asked if name in OAK.names] == rows
    for engine in ("openverse", "searxng"):
        every = sorted(name for each in FLORA for name in each.names)
        assert sorted(engines.names(engine)) == every


def test_who_has_enough_is_not_searched_for(run: Run, engines: Engines) -> None:
    hold(run, engines.settings("openverse", "searxng", target=PICTURES))
    assert sorted(name for _, name, _ in engines.asked) == sorted(s.names[0] for s in FLORA)


def test_the_same_photograph_counts_once(run: Run, engines: Engines) -> None:
    same = ["https://live.staticflickr.com/65535/1_a_b.jpg"]
    for name in OAK.names:
        engines.pictures["openverse", name] = engines.pictures["searxng", name] = same
    hold(run, engines.settings("openverse", "searxng", target=2), [OAK])
    assert len(engines.asked) == 2 * len(OAK.names)


def test_a_second_run_asks_nothing_and_a_longer_list_only_what_is_new(
    run: Run, engines: Engines
) -> None:
    settings = engines.settings("openverse", "searxng")
    hold(run, settings, [OAK])
    before = len(engines.asked)
    hold(run, settings, [OAK])
    assert len(engines.asked) == before
    hold(run, settings, FLORA)
    hold(run, settings, [ROSE])
    assert engines.doubled() == {}
    assert len(engines.asked) == 2 * sum(len(each.names) for each in FLORA)
    more = Wanted(species_id="oak", family="Fagaceae", names=(*OAK.names, "Quercus fastigiata"))
    hold(run, settings, [more])
    assert [name for _, name, _ in engines.asked[-2:]] == ["Quercus fastigiata"] * 2
    assert engines.doubled() == {}


def test_a_quota_is_spent_over_days(run: Run, engines: Engines) -> None:
    settings = engines.settings("openverse", per_day=2)
    with pytest.raises(LaterError, match=r"queries wait: 2 for openverse, until 00:00 UTC"):
        hold(run, settings)
    with pytest.raises(LaterError):
        hold(run, settings)
    assert len(engines.asked) == 2
    days = 1
    while days < 10:
        a_day_passes(run.options.data)
        days += 1
        try:
            hold(run, settings)
            break
        except LaterError:
            assert len(engines.asked) == 2 * days
    assert (days, len(engines.asked), engines.doubled()) == (3, 6, {})


def test_an_engine_that_fails_keeps_no_other_from_being_asked(run: Run, engines: Engines) -> None:
    settings = engines.settings("openverse", "searxng", target=PICTURES)
    engines.broken["searxng"] = 500
    with pytest.raises(StageError, match="status 500") as error:
        hold(run, settings)
    assert not isinstance(error.value, LaterError)
    assert sorted(engines.names("openverse")) == sorted(each.names[0] for each in FLORA)
    engines.broken.clear()
    hold(run, settings)


def test_an_engine_that_has_enough_for_today_waits_alone(run: Run, engines: Engines) -> None:
    settings = engines.settings("openverse", "searxng")
    engines.broken["searxng"] = 402
    with pytest.raises(LaterError, match="for searxng"):
        hold(run, settings)
    assert len(engines.names("searxng")) == 1  # asked once, and left alone for this run
    assert len(engines.names("openverse")) == len(FLORA)


def test_a_round_is_never_changed(run: Run, engines: Engines) -> None:
    hold(run, engines.settings("openverse"))
    before = {path: path.read_bytes() for path in rounds.paths(run.options.data)}
    hold(run, engines.settings("openverse", "searxng"))
    assert len(rounds.paths(run.options.data)) > len(before)
    assert {path: path.read_bytes() for path in before} == before


def test_scarce_quota_goes_to_the_neediest_and_the_rest_elsewhere(tmp_path: Path) -> None:
    best, other = supply("openverse", gain=40.0, left=1), supply("commons", gain=10.0)
    table = steps(FLORA, tmp_path)
    settings = CrawlerSettings(contact="x", target=50)
    chosen = planner.choose(table, np.array([20, 5, 30]), [best, other], settings)
    names = {engine: [table.names[row] for row in rows] for engine, rows in chosen.items()}
    assert names == {
        "openverse": ["Fagus sylvatica"],
        "commons": ["Quercus robur", "Rosa canina"],
    }


def test_scarce_quota_is_spared_where_another_engine_brings_as_much(tmp_path: Path) -> None:
    scarce, plenty = supply("openverse", gain=40.0, left=9), supply("commons", gain=10.0)
    settings = CrawlerSettings(contact="x", target=50)
    counts = np.array([45, 45, 45])
    chosen = planner.choose(steps(FLORA, tmp_path), counts, [scarce, plenty], settings)
    assert list(chosen) == ["commons"]


def test_money_is_spent_last_and_never_more_than_there_is(tmp_path: Path) -> None:
    table, none = steps(FLORA, tmp_path), np.zeros(3, np.int64)
    settings = CrawlerSettings(contact="x")
    paid, free = supply("serper", price=0.5, gain=100.0), supply("commons", gain=1.0)
    assert list(planner.choose(table, none, [free, paid], settings, dollars=9.0)) == ["commons"]
    chosen = planner.choose(table, none, [paid], settings, dollars=1.0)
    assert len(chosen["serper"]) == 2
    assert planner.choose(table, none, [paid], settings, dollars=0.4) == {}
    cheap = supply("brave", price=0.1, gain=50.0)
    assert list(planner.choose(table, none, [paid, cheap], settings, dollars=1.0)) == ["brave"]


def test_a_round_is_no_longer_than_an_hour(tmp_path: Path) -> None:
    many = [Wanted(species_id=f"s{i}", family="F", names=(f"Genus s{i}",)) for i in range(50)]
    slow = supply("commons", a_second=0.01, most=2)
    settings = CrawlerSettings(contact="x")
    chosen = planner.choose(steps(many, tmp_path), np.zeros(50, np.int64), [slow], settings)
    assert len(chosen["commons"]) == 18


def test_photographs_are_counted_by_species_and_by_who_listed_them_first(tmp_path: Path) -> None:
    listed = {"a": [("oak", 1), ("oak", 2), ("rose", 1)], "b": [("oak", 2), ("oak", 3), ("x", 9)]}
    for unit, rows in listed.items():
        found = [
            Candidate(
                url=f"http://h.test/{n}.jpg", species_id=s, query="", source="", tier=Tier.WEB
            )
            for s, n in rows
        ]
        records.write(search.table_path(tmp_path, unit), candidates.table(found))
    tables = [search.table_path(tmp_path, unit) for unit in listed]
    counted = holdings.count(tables, ["oak", "beech", "rose"])
    assert counted.of_species.tolist() == [3, 0, 1]
    assert counted.of_table.tolist() == [3, 2]
    assert holdings.count([], ["oak"]).of_species.tolist() == [0]


def test_a_forecast_goes_engine_by_engine(run: Run, engines: Engines) -> None:
    folder, settings = run.options.data, engines.settings("openverse", "searxng", per_day=2)
    lines = forecast.lines(rounds.standing(FLORA, folder, [], settings), settings)
    assert "none are listed yet" in lines[0]
    assert lines[2].split() == ["openverse", "3", "3", "3", "2", "1.5", "0.00"]
    assert lines[6].split() == ["openverse", "3", "6", "6", "2", "3.0", "0.00"]
    hold(run, engines.settings("searxng"))
    done = rounds.finished(rounds.units(FLORA, folder, folder, settings), Ledger(folder))
    lines = forecast.lines(rounds.standing(FLORA, folder, done, settings), settings)
    assert f"{6 * PICTURES} are listed" in lines[0]
    assert {line.split()[0]: line.split()[2] for line in lines[2:4]} == {
        "openverse": "3",
        "searxng": "0",
    }
