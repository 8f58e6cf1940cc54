import pickle
import re
import statistics
import time
from html.parser import HTMLParser

from flora import charts, page
from flora.page import Health
from flora.series import Rate, Series
from flora.tally import Tally

NOW = 1.8e9
LATER = NOW + 3600


def crowd(workers: int) -> tuple[Tally, list[Health]]:
    """An hour of a crawl by so many workers, each with sixteen hosts in hand, as they tell it."""
    tally = Tally()
    left = {f"host-{i}.example.org": 90_000.0 / i for i in range(1, 13)}
    room = {"size": 4 << 40, "files": 1_000_000}
    tally.add({"stage": "search", "folder": "/data/candidates", "units": 40, "units_done": 10}, NOW)
    tally.add({"stage": "fetch", "folder": "/data/images", "units": 4000, "units_done": 100}, NOW)
    tally.add({"disk": {"/data": {"free": 2 << 40, "files_free": 500_000, **room}}}, NOW)
    tally.add({"disk": {"/data": {"free": 1 << 40, "files_free": 499_000, **room}}}, LATER)
    tally.add({"quota": {"openverse": quota(150, 200), "commons": quota(None, None)}}, LATER)
    for number in range(workers):
        worker = {"worker": f"tcp://10.0.0.{number}:4000"}
        hosts = range(16 * number + 1, 16 * number + 17)
        tally.add({**worker, "lanes": {f"host-{i}.example.org": state(i) for i in hosts}}, LATER)
        refused = {"not_found": 20, "timeout": number % 3, "robots": 5}
        told = {"stage": "fetch", "rows": 100, "bytes": 100 << 20, "refused": refused}
        tally.add({**worker, **told}, NOW + 3600 * number / workers)
    tally.add({"stage": "fetch", "left": left, "units_done": 900, "failed": 7}, LATER)
    health = [
        Health(address=address, memory=0.3, processor=i % 90, silent=i % 40)
        for i, address in enumerate(tally.hands)
    ]
    return tally, health


def quota(left: int | None, a_day: int | None) -> dict[str, float | None]:
    return {"left": left, "a_day": a_day, "today": 50, "dollars": 0.25}


def state(number: int) -> dict[str, float]:
    """The state of a host: one rests, one is slowed down, one was given up."""
    budget = {"a_second": 1.0, "connections": 2, "megabits": 2.5 if number == 4 else 0}
    pace = 0.5 if number == 2 else 1.0
    return {**budget, "pace": pace, "until": LATER + 90 * (number == 1), "down": number == 3}


class Tables(HTMLParser):
    """The cells of all tables, by the name in the first of their row, and the words of pictures."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: dict[str, list[str]] = {}
        self.alts: list[str] = []
        self._cells: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "svg":
            assert dict(attrs)["role"] == "img"
            self.alts.append(dict(attrs)["aria-label"] or "")
        elif tag == "tr":
            self._cells = []
        elif tag == "td":
            self._cells.append("")

    def handle_data(self, data: str) -> None:
        if self._cells:
            self._cells[-1] += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "tr" and self._cells:
            self.rows[self._cells[0]] = self._cells[1:]
            self._cells = []


def test_the_page_says_what_runs_how_fast_and_what_holds_it_up() -> None:
    text = page.draw(*crowd(1000), LATER, live=False)
    shown = Tables(text)
    assert shown.rows["search"][0] == "10 of 40"
    units, done, speed, size, mib, refused, left = shown.rows["fetch"]
    assert units == "1,000 of 4,0007 tries failed"
    assert (done, size) == ("100,000 images", "97.7 GiB")
    assert 25 < float(speed) < 31
    assert 25 < float(mib) < 31
    assert refused == "25,999 (26.0%)"
    assert left == "1 d 1 h at least, for host-1.example.org"
    assert shown.rows["in total"][0] == "1,010 of 4,0407 tries failed"
    assert "not_found 20,000 (20.0%)" in text
    assert "silent" in text
    assert "2027" in text


def test_the_slowest_hosts_are_shown_with_their_budgets() -> None:
    rows = Tables(page.draw(*crowd(1000), LATER, live=False)).rows
    budget = "1 a second, 2 at a time"
    assert rows["host-1.example.org"] == ["1 d 1 h", budget, "pauses, 1 min 30 s more"]
    assert rows["host-2.example.org"][2] == "50% of it: errors, or it gets slow"
    assert rows["host-3.example.org"][2] == "given up: it only failed"
    assert rows["host-4.example.org"][1:] == [f"{budget}, 2.5 Mbit/s", "all of it"]
    assert "host-13.example.org" not in rows


def test_quotas_and_the_room_on_the_disk_are_shown() -> None:
    rows = Tables(page.draw(*crowd(10), LATER, live=False)).rows
    assert rows["openverse"] == ["150 of 200", "50", "0.25 dollars"]
    assert rows["commons"][0] == "no limit"
    assert rows["/data"] == ["1.0 TiB of 4.0 TiB", "499,000 of 1,000,000", "1 h 0 min"]


def test_who_is_far_from_the_others_does_not_hide_them() -> None:
    drawn = charts.histogram("Memory", [*range(100), 5000.0], "MiB")
    assert "median 50, from 0 to 5,000 MiB" in drawn
    assert "100 MiB or more" in drawn
    assert "95 to 100 or more MiB: 6</title>" in drawn


def test_every_picture_says_in_words_what_it_shows() -> None:
    alts = Tables(page.draw(*crowd(1000), LATER, live=False)).alts
    assert len(alts) == 7
    assert "Memory, 1,000 workers: median 30, from 30 to 30 % of its limit" in alts
    assert alts[0].startswith("fetch: images a second: ")


def test_a_thousand_workers_are_counted_and_not_listed() -> None:
    few, many = (page.draw(*crowd(workers), LATER, live=True) for workers in (40, 1000))
    assert len(many) < 1.3 * len(few) < 60_000
    bars = re.findall(r"<title>[^<]*: ([\d,]+)</title>", many)
    assert sum(int(each.replace(",", "")) for each in bars) == 4 * 1000


def test_a_thousand_workers_are_drawn_in_little_time() -> None:
    tally, health = crowd(1000)
    seconds = []
    for _ in range(7):
        start = time.process_time()
        page.draw(tally, health, LATER, live=True)
        seconds.append(time.process_time() - start)
    assert statistics.median(seconds) < 0.1  # measured: bench/dashboard.py


def test_what_is_kept_does_not_grow_with_the_days() -> None:
    tally, _ = crowd(20)
    sizes = []
    for day in range(8):
        for minute in range(1440):
            now = NOW + 86400 * day + 60 * minute
            room = {"free": 1 << 40, "size": 4 << 40, "files_free": 9, "files": 10}
            told = {"worker": f"tcp://10.0.0.{minute % 20}:4000", "refused": {"timeout": 1}}
            tally.add({"stage": "fetch", "rows": 9, "bytes": 9, **told}, now)
            tally.add({"stage": "fetch", "left": {"a.org": 9.0}, "disk": {"/data": room}}, now)
        sizes.append(len(pickle.dumps(tally)))
    assert max(sizes[4:]) - max(sizes[:4]) < 5_000
    assert max(sizes) < 100_000


def test_a_name_from_the_web_stays_text() -> None:
    tally = Tally()
    evil = "<script>alert(1)</script>"
    tally.add({"stage": evil, "folder": "/d", "units": 1, "left": {evil: 5.0}}, NOW)
    tally.add({"stage": evil, "rows": 9, "bytes": 9, "refused": {evil: 3}}, NOW)
    tally.add({"quota": {evil: quota(1, 2)}, "disk": {evil: dict.fromkeys(ROOM, 5)}}, NOW)
    text = page.draw(tally, [], NOW + 5, live=False)
    assert evil not in text
    assert "&lt;script&gt;" in text


ROOM = ("free", "size", "files_free", "files")


def test_a_file_system_that_does_not_count_files_has_no_limit_of_them() -> None:
    tally = Tally()
    room = {"/d": {"free": 5, "size": 9, "files_free": 0, "files": 0}}
    for seconds, full in ((0, "not known yet"), (400, "not at this pace")):
        tally.add({"disk": room}, NOW + seconds)
        shown = Tables(page.draw(tally, [], NOW + seconds, live=False))
        assert shown.rows["/d"] == ["5 B of 9 B", "no limit", full]


def test_a_stall_is_seen() -> None:
    tally, health = crowd(10)
    stalled = Tables(page.draw(tally, health, LATER + 600, live=False))
    assert stalled.rows["fetch"][2] == "0"
    assert stalled.alts[0].startswith("fetch: images a second: 0 at ")


def test_a_stage_that_goes_on_where_it_was_killed_counts_no_unit_twice() -> None:
    tally = Tally()
    begin = {"stage": "fetch", "folder": "/data/images", "units": 9}
    tally.add({**begin, "units_done": 0}, NOW)
    tally.add({"stage": "fetch", "units_done": 4}, NOW + 1)
    tally.add({"stage": "fetch", "ended": True}, NOW + 1)
    assert Tables(page.draw(tally, [], NOW + 1, live=False)).rows["fetch"][-1] == "ended"
    tally.add({**begin, "units_done": 4}, NOW + 60)
    tally.add({"stage": "fetch", "units_done": 1}, NOW + 70)
    shown = Tables(page.draw(tally, [], NOW + 70, live=False)).rows["fetch"]
    assert shown[0] == "5 of 9"
    assert shown[-1] == "40 s"
    tally.add({**begin, "folder": "/other/images", "units_done": 0}, NOW + 80)
    assert tally.stages["fetch"].totals.units_done == 0


def test_a_series_of_any_length_keeps_its_sums_in_as_many_bins() -> None:
    series = Series(NOW)
    for second in range(0, 100_000, 7):
        series.add(NOW + second, {"rows": 7})
    assert 90 <= len(series.bins) <= 180
    assert sum(bin["rows"] for bin in series.bins) == 7 * len(range(0, 100_000, 7))
    rates = series.rates("rows", NOW + 100_000)
    assert all(abs(rate - 1) < 0.05 for rate in rates)
    assert max(rates) < 1.05


def test_a_rate_is_of_late() -> None:
    rate = Rate(NOW)
    for second in range(60):
        rate.add(NOW + second, 5)
    assert abs(rate.value(NOW + 60) - 5) < 0.2
    assert rate.value(NOW + 360) < 0.001
