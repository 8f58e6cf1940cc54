import json
import os
import random
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from crawler import pack
from crawler.fetch import Fetched
from crawler.pack import Pack
from flora.errors import StageError
from flora.packs import Packs
from flora.pictures import inspect
from flora.records import KEPT, Refusal
from tests.conftest import picture

AT = "2026-01-01T00:00:00.000+00:00"
UNIT = "a.org/000-0000"


def fetched(seed: int, size: int = 64) -> Fetched:
    data = picture(seed, (size, size))
    found = inspect(data, max_pixels=10**6, min_side=32)
    url = f"http://a.org/{seed}"
    return Fetched(url=url, final_url=url, status=KEPT, http_status=200, data=data, picture=found)


def test_pictures_come_back_from_where_the_journal_says(tmp_path: Path) -> None:
    with Pack(tmp_path, UNIT, 10**9) as open_pack:
        for seed in range(3):
            open_pack.add(fetched(seed), AT)
        url = "http://a.org/gone"
        open_pack.add(Fetched(url=url, final_url=url, status=Refusal.NOT_FOUND), AT)
        open_pack.finish()
        lines = {line["url"]: line for line in open_pack.lines()}
    with Packs(tmp_path) as packs:
        for seed in range(3):
            line = lines[f"http://a.org/{seed}"]
            assert packs.read(line["pack"], line["offset"], line["length"]) == fetched(seed).data
    assert lines["http://a.org/gone"]["status"] == "not_found"
    with tarfile.open(tmp_path / "packs" / "a.org~000-0000-000.tar") as tar:
        assert len(tar.getmembers()) == 3
    pack.sweep(tmp_path, [UNIT])
    assert list((tmp_path / "open").iterdir()) == []


def test_the_same_bytes_are_stored_once(tmp_path: Path) -> None:
    twin = fetched(1)
    with Pack(tmp_path, UNIT, 10**9) as open_pack:
        open_pack.add(twin, AT)
        open_pack.add(Fetched(**{**{n: getattr(twin, n) for n in twin.__slots__}, "url": "b"}), AT)
        first, second = open_pack.lines()
    assert first["offset"] == second["offset"]


def test_a_full_pack_is_followed_by_another(tmp_path: Path) -> None:
    with Pack(tmp_path, UNIT, 4000) as open_pack:
        for seed in range(6):
            open_pack.add(fetched(seed), AT)
        open_pack.finish()
    packs = sorted((tmp_path / "packs").iterdir())
    assert len(packs) > 1
    assert sum(members(path) for path in packs) == 6


def test_pictures_hashed_by_another_version_are_fetched_again(tmp_path: Path) -> None:
    with Pack(tmp_path, UNIT, 10**9) as open_pack:
        open_pack.add(fetched(1), AT)
    journal = tmp_path / "open" / "a.org~000-0000.jsonl"
    journal.write_text(journal.read_text().replace('"hashes": 1', '"hashes": 0'))
    with Pack(tmp_path, UNIT, 10**9) as open_pack:
        assert open_pack.settled == set()


def test_half_a_picture_and_half_a_line_are_cut_off(tmp_path: Path) -> None:
    with Pack(tmp_path, UNIT, 10**9) as open_pack:
        open_pack.add(fetched(1), AT)
    with (tmp_path / "open" / "a.org~000-0000-000.tar").open("ab") as tar:
        tar.write(b"half a picture")
    with (tmp_path / "open" / "a.org~000-0000.jsonl").open("ab") as journal:
        journal.write(b'{"url": "http://a.org/2", "sta')
    with Pack(tmp_path, UNIT, 10**9) as open_pack:
        assert list(open_pack.settled) == ["http://a.org/1"]
        open_pack.add(fetched(2), AT)
        open_pack.finish()
        line = list(open_pack.lines())[-1]
    with Packs(tmp_path) as packs:
        assert packs.read(line["pack"], line["offset"], line["length"]) == fetched(2).data


def test_a_line_whose_picture_was_lost_with_the_power_is_forgotten(tmp_path: Path) -> None:
    with Pack(tmp_path, UNIT, 10**9) as open_pack:
        open_pack.add(fetched(1), AT)
        open_pack.add(fetched(2), AT)
    os.truncate(tmp_path / "open" / "a.org~000-0000-000.tar", 1500)
    with Pack(tmp_path, UNIT, 10**9) as open_pack:
        assert list(open_pack.settled) in ([], ["http://a.org/1"])


def test_two_processes_cannot_write_one_pack(tmp_path: Path) -> None:
    with Pack(tmp_path, UNIT, 10**9), pytest.raises(StageError, match="another process"):
        Pack(tmp_path, UNIT, 10**9)


def test_twenty_kills_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    code = f"""
import sys; from pathlib import Path
from tests.crawler.test_pack import AT, UNIT, Pack, fetched
with Pack(Path({str(tmp_path)!r}), UNIT, 20_000) as pack:
    for seed in range(120):
        if f"http://a.org/{{seed}}" not in pack.settled:
            pack.add(fetched(seed), AT); print(seed, flush=True)
    pack.finish()
"""
    told: list[int] = []
    finished = False
    for attempt in range(21):
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        if attempt < 20:
            stop_after = random.Random(attempt).randint(1, 6)
            for _ in range(stop_after):
                line = process.stdout.readline()
                if not line:
                    finished = True
                    break
                told.append(int(line))
            time.sleep(0.002 * (attempt % 5))
            process.send_signal(signal.SIGKILL)
        told += [int(line) for line in process.stdout.read().split()]
        process.wait()
        process.stdout.close()
        if finished:
            break
    assert len(set(range(120)) - set(told)) <= 20  # killed when one was kept, and not yet told
    with Pack(tmp_path, UNIT, 20_000) as open_pack:
        lines = {line["url"]: line for line in open_pack.lines()}
        open_pack.finish()
    assert len(lines) == 120
    with Packs(tmp_path) as packs:
        for seed in range(120):
            line = lines[f"http://a.org/{seed}"]
            assert packs.read(line["pack"], line["offset"], line["length"]) == fetched(seed).data
    assert json.dumps(lines)
    assert sum(members(path) for path in (tmp_path / "packs").iterdir()) == 120


def members(path: Path) -> int:
    with tarfile.open(path) as tar:
        return len(tar.getmembers())
