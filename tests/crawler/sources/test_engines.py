import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from crawler.config import CrawlerSettings
from crawler.sources import (
    BY_NAME,
    bing,
    brave,
    commons,
    flickr,
    google_cse,
    openverse,
    searxng,
    serpapi,
    serper,
)
from flora.errors import ConfigError
from tests.crawler.sources.engine import KEY, Engine, replies, search, search_all

ANSWERS = Path(__file__).parent.parent / "answers"
RECORDED = Path(__file__).parents[4] / "shared" / "data" / "responses"
WEB = [brave, google_cse, serper, serpapi, bing, searxng]
"""Engines whose answers in tests/crawler/answers/ are about the same two pictures."""


def answer(source: Engine) -> Any:
    return json.loads((ANSWERS / f"{source.NAME}.json").read_text())


def result(number: int, **changes: object) -> dict[str, object]:
    return {
        "title": f"Oak {number}",
        "url": f"https://live.example.org/{number}.jpg",
        "foreign_landing_url": f"https://example.org/photo/{number}",
        "creator": "Jane",
        "license": "by-sa",
        "license_version": "4.0",
        "width": 640,
        "height": 480,
        **changes,
    }


def openverse_page(page: int, *results: dict[str, object]) -> dict[str, object]:
    return {"result_count": 4, "page_count": 2, "page_size": 2, "page": page, "results": results}


def commons_page(number: int, **changes: object) -> dict[str, object]:
    info = {
        "url": f"https://upload.example.org/{number}.jpg",
        "descriptionurl": f"https://commons.example.org/wiki/File:{number}.jpg",
        "mime": "image/jpeg",
        "width": 640,
        "height": 480,
        "extmetadata": {
            "LicenseShortName": {"value": "CC BY-SA 4.0"},
            "Artist": {"value": '<a href="//example.org">Jane</a>'},
        },
        **changes,
    }
    return {"pageid": number, "index": number, "title": f"File:{number}.jpg", "imageinfo": [info]}


@pytest.mark.parametrize("source", WEB, ids=lambda source: source.NAME)
def test_a_web_engine_gives_picture_page_title_and_size(source: Engine) -> None:
    handler, asked = replies(answer(source))
    found = search(source, handler)
    assert [(c.url, c.page_url, c.rank, c.tier) for c in found] == [
        ("https://oaks.example.org/old.jpg", "https://oaks.example.org/old", 1, "web"),
        ("https://oaks.example.org/young.jpg", "https://oaks.example.org/young", 2, "web"),
    ]
    assert (found[0].title, found[0].width, found[0].height) == ("An old oak", 1600, 1200)
    assert (found[1].width, found[1].height) == (None, None)
    assert {c.source for c in found} == {source.NAME}
    assert "Quercus robur" in str(asked[0].query) + str(asked[0]._read_bytes)


@pytest.mark.parametrize("source", WEB, ids=lambda source: source.NAME)
def test_a_page_that_comes_again_and_again_ends_the_search(source: Engine) -> None:
    handler, asked = replies(answer(source))
    search(source, handler, pages=1 if source is brave else 1000)
    assert len(asked) <= 2


def test_each_engine_has_its_key_where_it_belongs() -> None:
    for source, header in [(brave, "X-Subscription-Token"), (serper, "X-API-KEY"),
                           (bing, "Ocp-Apim-Subscription-Key")]:  # fmt: skip
        handler, asked = replies(answer(source))
        search(source, handler)
        assert asked[0].headers[header] == KEY
        assert not asked[0].query.get("key")
    for source, name in [(google_cse, "key"), (serpapi, "api_key"), (flickr, "api_key")]:
        handler, asked = replies(answer(source))
        search(source, handler)
        assert asked[0].query[name] == KEY


def test_flickr_gives_open_licences_only() -> None:
    handler, asked = replies(answer(flickr))
    found = search(flickr, handler)
    assert [(c.url[-8:], c.licence, c.creator, c.width, c.height) for c in found] == [
        ("/1_b.jpg", "CC BY 2.0", "Jane", 1024, 768),
        ("rg/2.jpg", "CC BY 4.0", "Jane", 500, 375),
    ]
    assert found[0].page_url == "https://www.flickr.com/photos/1@N01/1"
    assert "0" not in asked[0].query["license"].split(",")


def test_openverse_is_read_page_by_page() -> None:
    handler, asked = replies(
        openverse_page(1, result(1), result(2)), openverse_page(2, result(3, license="cc0"))
    )
    found = search(openverse, handler)
    assert [(c.url[-5:], c.rank, c.licence, c.creator, c.width) for c in found] == [
        ("1.jpg", 1, "CC BY-SA 4.0", "Jane", 640),
        ("2.jpg", 2, "CC BY-SA 4.0", "Jane", 640),
        ("3.jpg", 3, "CC0 1.0", "Jane", 640),
    ]
    assert [request.query["page"] for request in asked] == ["1", "2"]
    assert asked[0].query["q"] == "Quercus robur"
    assert "Authorization" not in asked[0].headers


def test_openverse_exchanges_a_key_for_a_token_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(openverse.ID, "someone")
    monkeypatch.setenv(openverse.SECRET, KEY)
    page = {**openverse_page(1, result(1)), "page_count": 1}
    handler, asked = replies({"access_token": "t0ken", "expires_in": 36000}, page)
    found = search(openverse, handler, token_endpoint="http://engine.test/token/", page_size=50)
    assert len(found) == 1
    assert (asked[0].method, asked[0].path) == ("POST", "/token/")
    assert asked[1].headers["Authorization"] == "Bearer t0ken"


def test_openverse_gives_large_pages_only_to_those_with_a_key() -> None:
    with pytest.raises(ConfigError, match="20 is the most without a key"):
        search(openverse, replies({})[0], page_size=50)


def test_commons_is_asked_for_the_category_and_then_for_the_text() -> None:
    more = {"gsroffset": 2, "continue": "gsroffset||"}
    handler, asked = replies(
        {"query": {"pages": {"9": commons_page(9)}}},
        {"continue": more, "query": {"pages": {"2": commons_page(2), "1": commons_page(1)}}},
        {"query": {"pages": {"3": commons_page(3, mime="audio/ogg"), "9": commons_page(9)}}},
    )
    found = search(commons, handler)
    assert [candidate.url[-5:] for candidate in found] == ["9.jpg", "1.jpg", "2.jpg"]
    assert found[0].creator == "Jane"
    assert asked[0].query["gcmtitle"] == "Category:Quercus robur"
    assert asked[1].query["gsrsearch"] == '"Quercus robur"'
    assert asked[2].query["gsroffset"] == "2"


def test_commons_lists_the_scaled_picture_where_there_is_one() -> None:
    scaled = {"thumburl": "https://upload.example.org/1280px-1.jpg", "thumbwidth": 1280,
              "thumbheight": 960}  # fmt: skip
    page = {"query": {"pages": {"1": commons_page(1, **scaled), "2": commons_page(2)}}}
    handler, asked = replies(page)
    found = search(commons, handler)
    assert [(c.url.rpartition("/")[2], c.width) for c in found] == [
        ("1280px-1.jpg", 1280),
        ("2.jpg", 640),
    ]
    assert asked[0].query["iiurlwidth"] == "1280"
    handler, asked = replies(page)
    search(commons, handler, width=0)
    assert "iiurlwidth" not in asked[0].query


def test_a_continue_that_never_ends_is_left() -> None:
    handler, asked = replies(*({"continue": {"gsroffset": n, "continue": "-"}} for n in range(100)))
    assert search(commons, handler) == []
    assert len(asked) == 6  # three of the category, three of the search
    handler, asked = replies({"continue": {"gsroffset": 1, "continue": "-"}})
    search(commons, handler, pages=1000)
    assert len(asked) == 4


def test_commons_waits_while_its_servers_lag() -> None:
    lag = {"error": {"code": "maxlag", "info": "Waiting for a database server: 9 seconds lagged."}}
    handler, asked = replies(lag, {"query": {"pages": {"1": commons_page(1)}}})
    assert len(search(commons, handler)) == 1
    assert len(asked) == 3


SHAPES: list[Any] = [
    {},
    {"results": None, "images": None, "items": None, "value": None, "images_results": None,
     "query": None, "photos": None, "continue": None},
    {"results": "no", "images": 3, "items": {}, "value": "x", "images_results": True,
     "query": {"pages": [None, 7, "x"]}, "photos": {"photo": "x"}, "continue": ["x"]},
    {"results": [None, 1, [], {}, {"url": None}, {"url": 7, "img_src": {}, "properties": []}],
     "images": [{"imageUrl": []}, {"imageUrl": "ftp://x/y"}], "items": [{"link": "https://"}],
     "value": [{"contentUrl": "https://[::"}], "images_results": [{"original": -1}],
     "query": {"pages": {"1": {"index": "1", "imageinfo": [None]}, "2": {"imageinfo": {}},
                         "3": {"imageinfo": [{"url": 5, "extmetadata": []}]}}},
     "photos": {"photo": [{"license": "4", "url_l": None}], "pages": "x"}, "page_count": []},
]  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES, ids=["empty", "null", "other", "odd rows"])
@pytest.mark.parametrize("source", BY_NAME.values(), ids=lambda source: source.NAME)
def test_an_answer_of_any_shape_is_no_candidates(source: Engine, shape: Any) -> None:
    assert search(source, replies(shape)[0]) == []


def test_numbers_that_come_as_text_are_numbers() -> None:
    page = openverse_page(1, result(1, width="640", height="many"), result(2, width=True))
    found = search(openverse, replies({**page, "page_count": "1"})[0])
    assert [(c.width, c.height) for c in found] == [(640, None), (None, 480)]


@pytest.mark.parametrize("source", BY_NAME.values(), ids=lambda source: source.NAME)
def test_an_engine_without_its_key_names_the_variable(
    source: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in source.KEYS:
        with monkeypatch.context() as without, pytest.raises(ConfigError, match=name):
            without.delenv(name)
            search(source, replies({})[0])


@pytest.mark.parametrize("source", [searxng, bing], ids=lambda source: source.NAME)
def test_an_engine_without_an_address_asks_for_one(source: Engine) -> None:
    with pytest.raises(ConfigError, match=rf"crawler\.{source.NAME}\.endpoint"):
        search(source, replies({})[0], endpoint="")


def test_what_the_first_page_brought_is_kept_when_the_second_is_odd() -> None:
    handler, _ = replies(openverse_page(1, result(1)), lambda: web.Response(status=400))
    assert len(search(openverse, handler)) == 1


def test_one_odd_name_does_not_cost_the_others() -> None:
    page = {**openverse_page(1, result(1)), "page_count": 1}
    handler, _ = replies(page, lambda: web.Response(status=400, text="no such name"), page)
    found, ask = search_all(openverse, handler, "Quercus robur", "Quercus (", "Quercus alba")
    assert [candidate.query for candidate in found] == ["Quercus robur", "Quercus alba"]
    assert ask.odd == {"status 400": 1}


def test_an_answer_in_many_pieces_is_read_to_its_end() -> None:
    page = {**openverse_page(1, *(result(i) for i in range(400))), "page_count": 1}

    async def pieces(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        body = json.dumps(page).encode()
        for start in range(0, len(body), 5000):
            await response.write(body[start : start + 5000])
            await asyncio.sleep(0.001)
        return response

    assert len(search(openverse, pieces)) == 400


@pytest.mark.skipif(not RECORDED.is_dir(), reason="no recorded answers beside this checkout")
def test_the_recorded_answers_of_the_real_engines_are_read() -> None:
    page = json.loads((RECORDED / "openverse" / "image_search_200.json").read_text())
    found = search(openverse, replies(page)[0])
    assert len(found) == len(page["results"])
    assert found[0].licence == "CC0 1.0"
    info = json.loads((RECORDED / "wikimedia-commons" / "image_data_example.json").read_text())
    found = search(commons, replies({"query": {"pages": {"1": info}}})[0])
    assert [candidate.creator for candidate in found] == ["PtrQs"]
    large = json.loads((RECORDED / "wikimedia-commons" / "response_large_0.json").read_text())
    found = search(commons, replies(large)[0])
    assert [candidate.url for candidate in found] == ["https://upl.wiki.org/thumburl0"]
    photos = json.loads((RECORDED / "flickr" / "flickr_example_photo_list.json").read_text())
    found = search(flickr, replies({"stat": "ok", "photos": {"photo": photos, "pages": 1}})[0])
    assert len(found) == len(photos)
    assert {candidate.licence for candidate in found} == {"CC BY-NC-SA 2.0"}
    for source, path, key in [
        (bing, "bing-v7/bing_images_search_car.json", "value"),
        (google_cse, "google-cse/cse_image_ratatouille_first3.json", "items"),
    ]:
        recorded = json.loads((RECORDED / path).read_text())
        found = search(source, replies(recorded)[0])
        assert len(found) == len(recorded[key])
        assert all(candidate.page_url and candidate.width for candidate in found)


def test_the_terms_refuse_what_an_engine_cannot_give() -> None:
    changes: list[tuple[Engine, dict[str, Any]]] = [
        (brave, {"page_size": 201}),
        (brave, {"pages": 2}),
        (commons, {"width": 1000}),
        (searxng, {"engines": ()}),
        (serper, {"requests_per_day": -1}),
    ]
    for source, wrong in changes:
        terms = type(getattr(CrawlerSettings(contact="x"), source.NAME))
        with pytest.raises(ConfigError, match=rf"crawler\.{source.NAME}\."):
            terms(**wrong)
