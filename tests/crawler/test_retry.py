from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest
from aiohttp import web

from crawler import retry
from crawler.__main__ import main
from flora import records
from flora.errors import ConfigError
from flora.packs import Packs
from flora.pictures import inspect
from tests.conftest import picture
from tests.crawler.server import serving

NAMES = [f"{number}.jpg" for number in range(6)]


class Site:
    """Pictures, two of which are out of order until they are mended."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.broken = {"1.jpg": 500, "2.jpg": 404}

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        name = request.path.strip("/")
        if name not in NAMES:
            return web.Response(status=404)
        self.asked[name] += 1
        if name in self.broken:
            return web.Response(status=self.broken[name])
        return web.Response(body=picture(int(name[0]), (200, 150)))


def crawl(data: Path, address: str, cluster: str, *flags: str) -> pa.Table:
    settings = (
        f"net.connect_to={{'*.test' = '{address}'}}",
        "politeness.requests_per_second=1000",
        "politeness.retries=0",
    )
    sets = [part for each in settings for part in ("--set", f"crawler.{each}")]
    command = ["--data", str(data), "--cluster", cluster, *sets, *flags]
    assert main([*command, "fetch", "--urls", str(data / "list.txt")]) == 0
    return records.read(data / "images" / "tables", records.IMAGES)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    lines = [f"http://h{name[0]}.test/{name}\n" for name in NAMES]
    (tmp_path / "list.txt").write_text("".join(lines))
    return tmp_path


def test_a_list_of_urls_is_fetched_and_only_named_refusals_are_tried_again(
    data: Path, cluster: str
) -> None:
    site = Site()
    with serving(site.answer) as address:
        table = crawl(data, address, cluster)
        assert records.counts(table["status"]) == {"kept": 4, "http_5xx": 1, "not_found": 1}
        crawl(data, address, cluster)  # run twice: nothing is asked again
        assert set(site.asked.values()) == {1}
        site.broken = {"2.jpg": 404}
        table = crawl(data, address, cluster, "--retry", "http_5xx")
    assert site.asked == {**dict.fromkeys(NAMES, 1), "1.jpg": 2}
    assert records.counts(table["status"]) == {"kept": 5, "not_found": 1}
    with Packs(data / "images") as packs:
        for row in table.to_pylist():
            if row["status"] == "kept":
                jpeg = picture(int(row["url"][-5]), (200, 150))
                assert packs.read(row["pack"], row["offset"], row["length"]) == jpeg
                seen = inspect(jpeg, max_pixels=10**6, min_side=32)
                hashes = (row["phash"], row["pdq"], row["quality"])
                assert hashes == (seen.phash, seen.pdq, seen.quality)


def test_urls_that_come_later_do_not_touch_the_rest(data: Path, cluster: str) -> None:
    site = Site()
    site.broken = {}
    lines = (data / "list.txt").read_text().splitlines()
    with serving(site.answer) as address:
        (data / "list.txt").write_text("\n".join(lines[:3]))
        before = crawl(data, address, cluster)
        (data / "list.txt").write_text("\n".join(lines))
        after = crawl(data, address, cluster)
    assert set(site.asked.values()) == {1}
    assert (before.num_rows, after.num_rows) == (3, 6)
    assert set(before["image_id"].to_pylist()) < set(after["image_id"].to_pylist())


def test_a_refusal_that_is_none_is_said() -> None:
    assert retry.classes("timeout, http_5xx") == ("timeout", "http_5xx")
    with pytest.raises(ConfigError, match="http_6xx"):
        retry.classes("http_6xx")
