import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from crawler import answers, quota, rounds, search
from crawler.config import CrawlerSettings, Gbif
from crawler.planner import Steps
from crawler.search import AskTask, FileTask
from crawler.wanted import Wanted
from flora import records, taxa
from flora.errors import LaterError, StageError
from tests.crawler.engines import PICTURES, Engines
from tests.crawler.sources.test_archives import archive, medium, occurrence
from tests.crawler.test_main import NAMES as LIST

WANTED = [
    Wanted(species_id=f"s{i}", family="Fagaceae", names=(f"Quercus number{i}",)) for i in range(6)
]


@pytest.fixture
def engines() -> Iterator[Engines]:
    with Engines() as running:
        yield running


def task(folder: Path, settings: CrawlerSettings) -> AskTask:
    """Return the one unit of a round that asks openverse for all of WANTED."""
    if not rounds.paths(folder):
        steps = Steps(WANTED, rounds._asked(folder, []))
        rounds.write(folder, steps, {"openverse": list(range(len(WANTED)))}, 1000)
    (unit,) = rounds.units(WANTED, folder, folder, settings)
    found: AskTask = unit.task
    return found


def test_a_unit_of_queries_becomes_a_table(tmp_path: Path, engines: Engines) -> None:
    unit = task(tmp_path, engines.settings())
    outcome = search.search(unit)
    assert outcome.rows == len(WANTED) * PICTURES
    assert outcome.detail == {"queries": len(WANTED)}
    found = records.read(search.table_path(tmp_path, "openverse/000-0000"), records.CANDIDATES)
    assert found["species_id"].to_pylist()[::PICTURES] == [each.species_id for each in WANTED]
    assert quota.of("openverse", tmp_path, unit.settings).spent().ever == len(WANTED)


def test_a_quota_that_ends_in_mid_unit_costs_no_query(
    tmp_path: Path, engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit = task(tmp_path, engines.settings(per_day=4))
    monkeypatch.setattr(quota, "today", lambda: "2026-11-23")
    for _ in range(2):
        with pytest.raises(LaterError, match="until 00:00 UTC"):
            search.search(unit)
        assert len(engines.asked) == 4
    monkeypatch.setattr(quota, "today", lambda: "2026-11-24")
    assert search.search(unit).rows == len(WANTED) * PICTURES
    assert engines.names("openverse") == [each.names[0] for each in WANTED]


def test_a_kill_in_mid_unit_asks_nothing_twice_that_was_answered(
    tmp_path: Path, engines: Engines
) -> None:
    unit = task(tmp_path, engines.settings())
    engines.stuck_at = WANTED[4].names[0]
    code = (
        "import pickle, sys; from crawler.search import search;"
        "search(pickle.loads(sys.stdin.buffer.read()))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(pickle.dumps(unit))
    process.stdin.close()
    while engines.stuck_at not in engines.names("openverse"):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not search.table_path(tmp_path, unit.unit).exists()
    stuck, engines.stuck_at = engines.stuck_at, ""
    assert search.search(unit).rows == len(WANTED) * PICTURES
    assert engines.doubled() == {("openverse", stuck, 1): 2}


def test_a_journal_is_read_to_its_last_whole_line(tmp_path: Path, engines: Engines) -> None:
    unit = task(tmp_path, engines.settings())
    search.search(unit)
    journal = answers.journal_path(tmp_path, unit.unit)
    lines = journal.read_bytes().splitlines(keepends=True)
    table = pq.read_table(search.table_path(tmp_path, unit.unit))
    for size in (0, 5, len(lines[0]), len(b"".join(lines[:4])), len(b"".join(lines[:4])) + 9):
        journal.write_bytes(b"".join(lines)[:size])
        search.search(unit)
        assert pq.read_table(search.table_path(tmp_path, unit.unit)).equals(table)
        assert journal.read_bytes() == b"".join(lines)


def test_answers_on_other_terms_are_not_taken_over(tmp_path: Path, engines: Engines) -> None:
    search.search(task(tmp_path, engines.settings()))
    changed = task(tmp_path, engines.settings())
    other = AskTask(**{**{n: getattr(changed, n) for n in AskTask.__slots__}, "recipe": "other"})
    search.search(other)
    assert len(engines.asked) == 2 * len(WANTED)


def test_odd_queries_are_counted_but_a_row_of_them_is_the_engines_fault(
    tmp_path: Path, engines: Engines
) -> None:
    unit = task(tmp_path, engines.settings())
    engines.broken["openverse"] = 400
    with pytest.raises(StageError, match="5 names in a row"):
        search.search(unit)
    engines.broken.clear()
    assert search.search(unit).refused == {}
    assert len(engines.asked) == 5 + len(WANTED)


def test_a_file_is_read_and_written_in_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "_BATCH", 4)
    (tmp_path / "names.csv").write_text(LIST)
    taxa.build(tmp_path / "names.csv", tmp_path / "checklist")
    asked = {"query": "Quercus robur", "species_id": "kew-1", "how": "accepted", "suggestions": []}
    records.write(tmp_path / "names.parquet", records.table(records.NAMES, [asked]))
    path = archive(
        tmp_path / "a.zip",
        occurrence=[occurrence("1"), occurrence("2", name="Quercus petraea Liebl.")],
        multimedia=[medium("1", number) for number in range(9)] + [medium("2", 10)],
    )
    settings = CrawlerSettings(contact="x", gbif=Gbif(archives=(str(path),)), sources=("gbif",))
    (unit,) = search.units(WANTED[:1], tmp_path, tmp_path / "checklist", settings)
    assert isinstance(unit.task, FileTask)
    assert search.search(unit.task).rows == 9
    metadata = pq.read_metadata(search.table_path(tmp_path, unit.name))
    assert [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] == [4, 4, 1]


def test_the_journal_of_a_unit_that_is_done_goes(tmp_path: Path, engines: Engines) -> None:
    unit = task(tmp_path, engines.settings())
    search.search(unit)
    assert answers.journal_path(tmp_path, unit.unit).is_file()
    answers.sweep(tmp_path, [unit.unit])
    assert list((tmp_path / "open").iterdir()) == []
