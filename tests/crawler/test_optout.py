from pathlib import Path

import pytest
from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from crawler import optout
from crawler.fetch import Fetched
from flora.errors import ConfigError
from flora.records import KEPT, Refusal
from tests.conftest import picture
from tests.crawler.server import fetch

JPEG = picture(1, (300, 200))


@pytest.mark.parametrize(
    ("name", "value", "ours"),
    [
        ("X-Robots-Tag", "noai", True),
        ("X-Robots-Tag", "NoImageAI , nofollow", True),
        ("x-robots-tag", "noindex", True),
        ("X-Robots-Tag", "noml", True),
        ("X-Robots-Tag", "none", True),
        ("X-Robots-Tag", "nofollow, nosnippet", False),
        ("X-Robots-Tag", "otherbot: noai, noindex", False),
        ("X-Robots-Tag", "otherbot: noai, worldflora: noai", True),
        ("X-Robots-Tag", "worldflora: noindex", True),
        ("X-Robots-Tag", "max-image-preview: large", False),
        ("X-Robots-Tag", "unavailable_after: 25 Jun 2010 15:00:00 PST", False),
        ("TDM-Reservation", "1", True),
        ("TDM-Reservation", "0", False),
        ("Content-Usage", "train-ai=n", True),
        ("Content-Usage", "search=y, train-ai=n", True),
        ("Content-Usage", "train-ai=y", False),
        ("Content-Type", "image/jpeg", False),
    ],
)
def test_headers_that_keep_a_picture_from_us(name: str, value: str, ours: bool) -> None:
    headers = CIMultiDictProxy(CIMultiDict([(name, value)]))
    assert optout.in_headers(headers) is ours


def test_each_of_several_headers_counts() -> None:
    headers = CIMultiDict([("X-Robots-Tag", "nofollow"), ("X-Robots-Tag", "noai")])
    assert optout.in_headers(CIMultiDictProxy(headers))


ROBOTS = """
User-agent: otherbot
Content-Usage: train-ai=y

User-agent: *
Disallow: /closed
Content-Signal: search=yes, ai-train=no
Content-Usage: /open/ train-ai=y
"""


def test_usage_lines_of_a_robots_txt_hold_for_their_paths() -> None:
    rules = optout.usage_rules(ROBOTS)
    assert optout.reserves(rules, "/a.jpg")
    assert not optout.reserves(rules, "/open/a.jpg")
    assert not optout.usage_rules("User-agent: worldflora\nAllow: /\n" + ROBOTS)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b"{}", b'[{"location": 1}]', b"[" * 9999])
def test_what_is_no_tdmrep_file_reserves_nothing(body: bytes) -> None:
    assert optout.tdm_rules(body) == []


def one(path: str, **pages: web.Response) -> Fetched:
    async def handle(request: web.Request) -> web.StreamResponse:
        for name, answer in pages.items():
            if request.path.rstrip("/").endswith(name.replace("_", ".")):
                return answer
        if "." in request.path:
            return web.Response(status=404)
        return web.Response(body=JPEG)

    (found,) = fetch(handle, f"http://x.test{path}")
    return found


def test_a_site_may_reserve_its_pictures_in_files() -> None:
    tdm = web.json_response([{"location": "/art/*", "tdm-reservation": 1}])
    assert one("/art/a", tdmrep_json=tdm).status == Refusal.OPTED_OUT
    tdm = web.json_response([{"location": "/art/*", "tdm-reservation": 1}])
    assert one("/other", tdmrep_json=tdm).status == KEPT
    assert one("/a", robots_txt=web.Response(text=ROBOTS)).status == Refusal.OPTED_OUT


def test_an_operators_list_is_never_asked(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("# by mail\nexample.org\nhttps://*.net/private/*\n")
    listed = optout.listed(str(tmp_path / "list.txt"))
    assert listed.hold(URL("https://img.example.org/a.jpg"))
    assert listed.hold(URL("https://a.net/private/a.jpg"))
    assert not listed.hold(URL("https://a.net/public/a.jpg"))
    assert not listed.hold(URL("https://notexample.org/a.jpg"))


def test_a_list_that_cannot_be_read_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="opt_out"):
        optout.listed(str(tmp_path / "none.txt"))
