import asyncio
import csv
import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from crawler import net
from crawler.ask import Ask
from crawler.candidates import Candidate
from crawler.config import Commons, CrawlerSettings, Gbif, Openverse
from crawler.sources import commons, eol, gbif, openverse
from flora.errors import ContractError, StageError
from tests.crawler.server import Handler, settings

RECORDED = Path(__file__).parents[3] / "shared" / "data" / "responses"
Search = Callable[[Ask, CrawlerSettings, str, str], AsyncGenerator[Candidate]]


def search(source: Search, handler: Handler) -> list[Candidate]:
    """Return what *source* finds at a server that answers with *handler*."""

    async def body() -> list[Candidate]:
        runner = web.ServerRunner(web.Server(handler))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            base = settings(runner.addresses[0][1])
            chosen = CrawlerSettings(
                contact=base.contact,
                net=base.net,
                politeness=base.politeness,
                openverse=Openverse(endpoint="http://o.test/", pages=3, page_size=2),
                commons=Commons(endpoint="http://c.test/", pages=3, page_size=2),
            )
            async with net.session(chosen) as session:
                ask = Ask(session, "source", 1000, chosen)
                return [found async for found in source(ask, chosen, "s1", "Quercus robur")]
        finally:
            await runner.cleanup()

    return asyncio.run(body())


def replies(*answers: Any) -> tuple[Handler, list[dict[str, str]]]:
    """Return a handler that gives *answers* one after the other, and what it was asked."""
    asked: list[dict[str, str]] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        asked.append(dict(request.query))
        answer = answers[min(len(asked), len(answers)) - 1]
        return answer() if callable(answer) else web.json_response(answer)

    return handle, asked


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


def test_openverse_is_read_page_by_page() -> None:
    handler, asked = replies(
        openverse_page(1, result(1), result(2)), openverse_page(2, result(3, license="cc0"))
    )
    found = search(openverse.search, handler)
    assert [(c.url[-5:], c.rank, c.licence, c.creator, c.width) for c in found] == [
        ("1.jpg", 1, "CC BY-SA 4.0", "Jane", 640),
        ("2.jpg", 2, "CC BY-SA 4.0", "Jane", 640),
        ("3.jpg", 3, "CC0 1.0", "Jane", 640),
    ]
    assert [query["page"] for query in asked] == ["1", "2"]
    assert asked[0]["q"] == "Quercus robur"


def test_commons_is_followed_through_continue() -> None:
    more = {"gsroffset": 2, "continue": "gsroffset||"}
    handler, asked = replies(
        {"continue": more, "query": {"pages": {"2": commons_page(2), "1": commons_page(1)}}},
        {"query": {"pages": {"3": commons_page(3, mime="audio/ogg"), "4": commons_page(4)}}},
    )
    found = search(commons.search, handler)
    assert [candidate.url[-5:] for candidate in found] == ["1.jpg", "2.jpg", "4.jpg"]
    assert found[0].creator == "Jane"
    assert asked[1]["gsroffset"] == "2"


@pytest.mark.parametrize("source", [openverse.search, commons.search])
def test_an_empty_answer_is_no_candidates(source: Search) -> None:
    assert search(source, replies({})[0]) == []


@pytest.mark.parametrize("source", [openverse.search, commons.search])
@pytest.mark.parametrize(
    ("answer", "why", "times"),
    [
        (lambda: web.Response(status=400, text="no such licence"), "no such licence", 1),
        (lambda: web.Response(status=403), "status 403", 1),
        (lambda: web.Response(status=500), "status 500", 3),
        (lambda: web.Response(text="<html>"), "not JSON", 3),
        (lambda: web.Response(status=429, headers={"Retry-After": "86400"}), "patience", 1),
    ],
)
def test_a_source_that_fails_says_why(
    source: Search, answer: Callable[[], web.Response], why: str, times: int
) -> None:
    handler, asked = replies(answer)
    with pytest.raises(StageError, match=why):
        search(source, handler)
    assert len(asked) == times


def test_a_source_that_stumbles_is_asked_again() -> None:
    handler, _ = replies(
        lambda: web.Response(status=429, headers={"Retry-After": "1"}),
        {**openverse_page(1, result(1)), "page_count": 1},
    )
    assert len(search(openverse.search, handler)) == 1


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

    assert len(search(openverse.search, pieces)) == 400


def archive(path: Path, **tables: list[dict[str, str]]) -> Path:
    with zipfile.ZipFile(path, "w") as target:
        for name, rows in tables.items():
            out = io.StringIO()
            writer = csv.DictWriter(out, list(rows[0]), delimiter="\t", lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
            target.writestr(f"{name}.txt", out.getvalue())
    return path


def occurrence(
    key: str, name: str = "Quercus robur L.", basis: str = "HUMAN_OBSERVATION"
) -> dict[str, str]:
    return {"gbifID": key, "basisOfRecord": basis, "scientificName": name, "license": "CC0_1_0"}


def medium(key: str, number: int, kind: str = "StillImage") -> dict[str, str]:
    return {
        "gbifID": key,
        "type": kind,
        "identifier": f"https://static.example.org/{number}.jpg",
        "references": f"https://example.org/photos/{number}",
        "title": "",
        "creator": "jane",
        "license": "http://creativecommons.org/licenses/by-nc/4.0/",
        "rightsHolder": "Jane",
    }


def find(name: str) -> str | None:
    return "s1" if name.startswith("Quercus robur") else None


def test_a_gbif_archive_gives_the_pictures_own_licence(tmp_path: Path) -> None:
    path = archive(
        tmp_path / "a.zip",
        occurrence=[
            occurrence("1"),
            occurrence("2", basis="PRESERVED_SPECIMEN"),
            occurrence("3", name="Homo sapiens"),
        ],
        multimedia=[medium("1", 1), medium("1 ", 2), medium("1", 3, "Sound"), medium("2", 4),
                    medium("3", 5), medium("9", 6)],
    )  # fmt: skip
    found = list(gbif.read((path,), settings(80), find))
    assert [candidate.url[-5:] for candidate in found] == ["1.jpg", "2.jpg"]
    assert {candidate.observation_id for candidate in found} == {"gbif:1"}
    assert found[0].licence == "http://creativecommons.org/licenses/by-nc/4.0/"
    pressed = CrawlerSettings(contact="x", gbif=Gbif(herbarium_sheets=True))
    assert len(list(gbif.read((path,), pressed, find))) == 3


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 half"])
def test_what_is_no_archive_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(ContractError, match=r"a\.zip: not a Darwin Core archive"):
        list(gbif.read((tmp_path / "a.zip",), settings(80), find))


MANIFEST = """EOL content ID,EOL page ID,Medium Source URL,EOL Full-Size Copy URL,License Name,\
Copyright Owner
1,10,https://example.org/1,https://content.example.org/1.jpg,cc-by,Jane
2,99,https://example.org/2,https://content.example.org/2.jpg,cc-by,Jane
3,11,,https://content.example.org/3.jpg,cc0,
"""
NAMES = """node_id,resource_pk,resource_id,page_id,preferred_canonical_for_page
1,a,1,10,Quercus robur
2,b,1,11,Quercus robur
3,c,1,99,Homo sapiens
"""


def test_the_eol_manifest_is_joined_with_its_names(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "m.tgz", "w:gz") as tar:
        info = tarfile.TarInfo("media_manifest_1.csv")
        info.size = len(MANIFEST)
        tar.addfile(info, io.BytesIO(MANIFEST.encode()))
    with gzip.open(tmp_path / "n.csv.gz", "wt") as out:
        out.write(NAMES)
    paths = (tmp_path / "m.tgz", tmp_path / "n.csv.gz")
    found = list(eol.read(paths, settings(80), find))
    assert [(c.url[-5:], c.tier, c.rights_holder) for c in found] == [
        ("1.jpg", "expert", "Jane"),
        ("3.jpg", "expert", None),
    ]
    with pytest.raises(ContractError, match="not EOL's media manifest"):
        list(eol.read(paths[::-1], settings(80), find))


@pytest.mark.skipif(not RECORDED.is_dir(), reason="no recorded answers beside this checkout")
def test_the_recorded_answers_of_the_real_services_are_read() -> None:
    page = json.loads((RECORDED / "openverse" / "image_search_200.json").read_text())
    found = search(openverse.search, replies({**page, "page_count": 1})[0])
    assert len(found) == len(page["results"])
    assert found[0].licence == "CC0 1.0"
    refusal = (RECORDED / "openverse" / "image_search_400.json").read_text()
    handler, _ = replies(lambda: web.Response(status=400, text=refusal))
    with pytest.raises(StageError, match="PDMNBCG"):
        search(openverse.search, handler)
    info = json.loads((RECORDED / "wikimedia-commons" / "image_data_example.json").read_text())
    info = info if "imageinfo" in info else {"index": 1, "imageinfo": [info]}
    answer = {"query": {"pages": {"1": info}}}
    assert all(c.url.startswith("https://") for c in search(commons.search, replies(answer)[0]))
    ticks = list(
        gbif.read(
            (RECORDED / "gbif" / "gbif-dwca-download.zip",), settings(80), lambda name: "tick"
        )
    )
    with_licence = [candidate for candidate in ticks if candidate.licence]
    assert 0 < len(with_licence) < len(ticks)  # some publishers name none, and we invent none
