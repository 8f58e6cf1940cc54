import csv
import gzip
import io
import tarfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urljoin

import pytest
import requests
from PIL import Image

from demo.apis import COMMONS, OPENVERSE
from demo.archives import EOL_MANIFEST, EOL_NAMES, GBIF
from demo.listings import Listing
from demo.mishaps import Kind
from demo.web import Web
from demo.world import World, build
from flora.errors import ConfigError
from tests.demo.conftest import Visitor

csv.field_size_limit(1 << 20)


def one(world: World, kind: Kind) -> Listing:
    return next(row for row in world.listings if row.kind is kind)


def patient(visitor: Visitor, url: str) -> requests.Response:
    """Ask again after a 429, as often as it takes."""
    while (answer := visitor.get(url)).status_code == 429:
        assert answer.headers["Retry-After"] == "1"
    return answer


def openverse_urls(visitor: Visitor, name: str) -> Iterator[tuple[str, str]]:
    page, pages = 1, 1
    while page <= pages:
        url = f"{OPENVERSE}?q={quote(name)}&page={page}&page_size=20"
        answer = patient(visitor, url).json()
        pages = answer["page_count"]
        for result in answer["results"]:
            yield result["url"], result["title"]
        page += 1


def commons_urls(visitor: Visitor, name: str) -> Iterator[tuple[str, str]]:
    more = ""
    while True:
        answer = visitor.get(
            f"{COMMONS}?action=query&format=json&generator=search&gsrsearch={quote(name)}"
            f"&gsrnamespace=6&gsrlimit=3&prop=imageinfo&iiprop=url{more}"
        ).json()
        for page in answer.get("query", {}).get("pages", {}).values():
            yield page["imageinfo"][0]["url"], page["title"]
        if "continue" not in answer:
            return
        more = f"&gsroffset={answer['continue']['gsroffset']}"


def gbif_tables(visitor: Visitor) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    with zipfile.ZipFile(io.BytesIO(visitor.get(GBIF).content)) as archive:
        assert "Occurrence" in archive.read("meta.xml").decode()
        occurrences, media = (
            list(csv.DictReader(io.StringIO(archive.read(name).decode()), delimiter="\t"))
            for name in ("occurrence.txt", "multimedia.txt")
        )
    return occurrences, media


def eol_rows(visitor: Visitor) -> list[dict[str, str]]:
    rows = []
    with tarfile.open(fileobj=io.BytesIO(visitor.get(EOL_MANIFEST).content)) as archive:
        for member in archive:
            stream = archive.extractfile(member)
            assert stream is not None and member.name.startswith("media_manifest_")
            rows += csv.DictReader(io.StringIO(stream.read().decode()))
    return rows


def test_the_truth_has_every_listing_of_every_source_and_no_other(
    world: World, visitor: Visitor
) -> None:
    names = {row.listed_name for row in world.listings}
    searched = {
        (source, url, name)
        for source, walk in (("openverse", openverse_urls), ("commons", commons_urls))
        for name in names
        for url, title in walk(visitor, name)
        if name in title
    }
    occurrences, media = gbif_tables(visitor)
    by_id = {row["gbifID"]: row["verbatimScientificName"] for row in occurrences}
    gbif = {("gbif", row["identifier"], by_id[row["gbifID"]]) for row in media}
    pages = gzip.decompress(visitor.get(EOL_NAMES).content).decode()
    called = {
        row["page_id"]: row["preferred_canonical_for_page"]
        for row in csv.DictReader(io.StringIO(pages))
    }
    eol = {
        ("eol", row["EOL Full-Size Copy URL"], called[row["EOL page ID"]])
        for row in eol_rows(visitor)
    }
    true = {(row.source, row.url, row.listed_name) for row in world.listings}
    below = {  # a search for a species also finds its varieties
        (source, url, name) for source, url, name in searched if (source, url, name) not in true
    }
    assert all(any(u == url and n.startswith(name) for _, u, n in true) for _, url, name in below)
    assert (searched - below) | gbif | eol == true


def test_openverse_refuses_pages_that_are_too_large(visitor: Visitor) -> None:
    answer = patient(visitor, f"{OPENVERSE}?q=Helianda&page_size=500")
    assert answer.status_code == 400
    assert answer.json()["fields"] == ["page_size"]


def test_openverse_throttles_now_and_then(visitor: Visitor) -> None:
    answers = [visitor.get(f"{OPENVERSE}?q=Helianda") for _ in range(30)]
    throttled = [answer for answer in answers if answer.status_code == 429]
    assert 1 <= len(throttled) <= 3
    assert throttled[0].headers["Retry-After"] == "1"


def test_openverse_states_size_and_licence(world: World, visitor: Visitor) -> None:
    row = next(r for r in world.listings if r.source == "openverse" and r.kind is Kind.CLEAN)
    name = quote(row.listed_name)
    results = patient(visitor, f"{OPENVERSE}?q={name}").json()["results"]
    result = next(result for result in results if result["url"] == row.url)
    image = Image.open(io.BytesIO(visitor.get(row.url).content))
    assert (result["width"], result["height"]) == image.size
    assert f"{result['license']}-{result['license_version']}" == row.licence


def test_commons_wants_to_know_who_asks(visitor: Visitor) -> None:
    headers = {"User-Agent": "python-requests/2"}
    assert visitor.get(f"{COMMONS}?action=query", **headers).status_code == 403


def test_commons_reports_errors_with_status_200(visitor: Visitor) -> None:
    answer = visitor.get(f"{COMMONS}?action=query&generator=search&format=json")
    assert answer.status_code == 200
    assert answer.json()["error"]["code"] == "missingparam"


def test_gbif_tells_pressed_plants_and_groups_pictures_by_observation(
    world: World, visitor: Visitor
) -> None:
    occurrences, media = gbif_tables(visitor)
    pressed = {r["gbifID"] for r in occurrences if r["basisOfRecord"] == "PRESERVED_SPECIMEN"}
    urls = {row["identifier"] for row in media if row["gbifID"] in pressed}
    assert urls == {row.url for row in world.listings if row.kind is Kind.SPECIMEN}
    assert len(media) > len(occurrences)


def test_an_archive_can_be_fetched_in_two_parts(visitor: Visitor) -> None:
    whole = visitor.get(GBIF)
    tag = whole.headers["ETag"]
    rest = visitor.get(GBIF, **{"Range": "bytes=100-", "If-Range": tag})
    assert (rest.status_code, rest.content) == (206, whole.content[100:])
    assert (
        rest.headers["Content-Range"] == f"bytes 100-{len(whole.content) - 1}/{len(whole.content)}"
    )
    assert visitor.get(GBIF, **{"Range": "bytes=100-", "If-Range": '"old"'}).status_code == 200
    assert visitor.get(GBIF, Range="bytes=99999999-").status_code == 416
    assert visitor.get(GBIF, **{"If-None-Match": tag}).status_code == 304


@pytest.mark.parametrize("kind", [Kind.CLEAN, Kind.WRONG_LABEL, Kind.EXACT_COPY, Kind.REENCODED])
def test_a_picture_is_served_whole(kind: Kind, world: World, visitor: Visitor) -> None:
    answer = visitor.get(one(world, kind).url)
    assert answer.status_code == 200
    Image.open(io.BytesIO(answer.content)).load()


def test_a_flaky_page_wants_us_to_wait_and_then_answers(world: World, visitor: Visitor) -> None:
    url = one(world, Kind.FLAKY).url
    assert visitor.get(url).status_code == 429
    assert patient(visitor, url).status_code == 200


def test_an_unsteady_host_fails_once(world: World, visitor: Visitor) -> None:
    url = one(world, Kind.UNSTEADY).url
    assert [visitor.get(url).status_code for _ in range(2)] == [503, 200]


def test_a_slow_host_takes_its_time_but_delivers(world: World, visitor: Visitor) -> None:
    started = time.monotonic()
    answer = visitor.get(one(world, Kind.SLOW).url)
    assert time.monotonic() - started > 1
    Image.open(io.BytesIO(answer.content)).load()


def test_a_redirect_leads_to_the_picture_on_another_host(world: World, visitor: Visitor) -> None:
    url = start = one(world, Kind.REDIRECTED).url
    while (answer := visitor.get(url)).status_code in (301, 302):
        url = urljoin(url, answer.headers["Location"])
    assert url.split("/")[2] != start.split("/")[2]
    Image.open(io.BytesIO(answer.content)).load()


def test_a_redirect_loop_never_ends(world: World, visitor: Visitor) -> None:
    url = start = one(world, Kind.REDIRECT_LOOP).url
    for _ in range(6):
        url = urljoin(url, visitor.get(url).headers["Location"])
    assert url == start


def test_broken_pages_are_broken(world: World, visitor: Visitor) -> None:
    assert visitor.get(one(world, Kind.MISSING).url).status_code == 404
    html = one(world, Kind.HTML).url
    assert html.endswith(".jpg") and visitor.get(html).content.startswith(b"<!doctype html>")
    truncated = visitor.get(one(world, Kind.TRUNCATED).url)
    with pytest.raises(OSError):
        Image.open(io.BytesIO(truncated.content)).load()


def test_a_bomb_is_small_and_a_pixel_is_tiny(world: World, visitor: Visitor) -> None:
    bomb = visitor.get(one(world, Kind.BOMB).url).content
    assert len(bomb) < 100_000 and bomb[16:24] == (20_000).to_bytes(4, "big") * 2
    tiny = visitor.get(one(world, Kind.TINY).url).content
    assert Image.open(io.BytesIO(tiny)).size == (1, 1)


def test_placeholders_are_the_same_bytes_for_many_species(world: World, visitor: Visitor) -> None:
    rows = [row for row in world.listings if row.kind is Kind.PLACEHOLDER]
    assert len(rows) > len({visitor.get(row.url).content for row in rows})
    assert {row.true_species for row in rows} == {None}


def test_opting_out_is_said_in_a_header(world: World, visitor: Visitor) -> None:
    answer = visitor.get(one(world, Kind.OPTED_OUT).url)
    assert "noai" in answer.headers["X-Robots-Tag"]


def test_robots_are_told_where_not_to_go(world: World, visitor: Visitor) -> None:
    url = one(world, Kind.FORBIDDEN).url
    text = visitor.get(urljoin(url, "/robots.txt")).text
    assert "Disallow: /\n" in text or "Disallow: /private/\n" in text
    assert "Crawl-delay: 1" in visitor.get("http://quiet.arboretum.test/robots.txt").text
    assert visitor.get("http://content.eol.test/robots.txt").status_code == 404


def test_a_host_of_elsewhere_is_not_served(visitor: Visitor) -> None:
    assert visitor.get("http://example.org/").status_code == 421


def test_every_request_is_logged(world: World, visitor: Visitor) -> None:
    url = one(world, Kind.MISSING).url
    visitor.get(url)
    (visit,) = visitor.web.log
    assert f"http://{visit.host}{visit.path}" == url
    assert visit.status == 404 and visit.started <= visit.ended <= time.monotonic()


def test_a_taken_port_is_said_so(world: World, visitor: Visitor) -> None:
    port = int(visitor.web.address.rpartition(":")[2])
    with pytest.raises(ConfigError, match=f"port {port}"), Web(world, port):
        pass


def test_photographs_are_served(photos: Path, tmp_path: Path) -> None:
    made = build(tmp_path, photos=photos)
    files = {file.read_bytes() for file in photos.glob("*/*.jpg")}
    with Web(made) as web, requests.Session() as session:
        visitor = Visitor(web)
        visitor.session = session
        clean = [row for row in made.listings if row.kind is Kind.CLEAN]
        assert clean and all(visitor.get(row.url).content in files for row in clean)
        name = "Rosa × alba"
        found = {*openverse_urls(visitor, name), *commons_urls(visitor, name)}
        searched = [row for row in made.listings if row.source in ("openverse", "commons")]
        assert {url for url, _ in found} == {r.url for r in searched if r.listed_name == name}
