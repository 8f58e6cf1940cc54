"""What the web's URLs look like, and what they answer."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from urllib.parse import quote

from demo.mishaps import Kind

_USUAL = {
    "openverse": "live.flickr.test",
    "commons": "upload.wikimedia.test",
    "gbif": "static.inaturalist.test",
    "eol": "content.eol.test",
}
BLOG = "botany.example.test"
OLD = "old.botany.test"
QUIET = "quiet.arboretum.test"
CLOSED = "closed.herbarium.test"
_HOSTS = {
    Kind.FLAKY: "busy.gallery.test",
    Kind.UNSTEADY: "wobbly.museum.test",
    Kind.SLOW: "slow.garden.test",
    Kind.REDIRECTED: OLD,
    Kind.REDIRECT_LOOP: OLD,
    Kind.OPTED_OUT: "studio.example.test",
    Kind.HTML: BLOG,
    Kind.BOMB: BLOG,
    Kind.TINY: "pixel.counter.test",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What a URL answers."""

    url: str
    body: int | None = None
    status: int = 200
    content_type: str = "image/jpeg"
    location: str | None = None
    stumbles: int = 0
    """How many times it answers `stumble` before it answers."""
    stumble: int = 429
    drips: bool = False
    robots_tag: str | None = None


def host(kind: Kind, source: str) -> str:
    """Return the host of a picture that *source* lists."""
    return _HOSTS.get(kind, _USUAL[source])


def behind(kind: Kind, url: str, body: int | None, form: str, serial: int) -> Iterator[Page]:
    """Yield the page at *url*, and those it leads to."""
    page = Page(url=url, body=body, content_type=f"image/{form.lower()}")
    match kind:
        case Kind.FLAKY:
            yield replace(page, stumbles=1 + serial % 2)
        case Kind.UNSTEADY:
            yield replace(page, stumbles=1, stumble=503)
        case Kind.SLOW:
            yield replace(page, drips=True)
        case Kind.OPTED_OUT:
            yield replace(page, robots_tag="noai, noimageai")
        case Kind.MISSING:
            yield replace(page, status=404, body=None, content_type="text/html")
        case Kind.HTML if serial % 2:
            yield replace(page, content_type="text/html; charset=utf-8")
        case Kind.REDIRECT_LOOP:
            path = "/" + url.split("/", 3)[3]
            yield replace(page, status=302, location=f"{path}?again=1")
            yield Page(url=f"{url}?again=1", status=302, location=path)
        case Kind.REDIRECTED:
            yield from _moved(page, form, serial)
        case Kind.CLEAN if serial % 50 == 0:  # some servers tell lies
            yield replace(
                page, content_type=("application/octet-stream", "image/gif")[serial % 4 // 2]
            )
        case _:
            yield page


def _moved(page: Page, form: str, serial: int) -> Iterator[Page]:
    """Yield a page that points elsewhere, one or two steps away, and what is there."""
    target = address(_USUAL["openverse"], "moved", serial, form)
    yield replace(page, url=target)
    if serial % 3 == 0:  # through a page on the same host, named without it
        path = f"/moved/{serial}"
        yield Page(url=f"http://{OLD}{path}", status=302, location=target)
        target = path
    yield replace(page, body=None, status=(301, 302)[serial % 2], location=target)


def address(place: str, name: str, serial: int, form: str) -> str:
    """Return an address as *place* (a host, or a folder of one) would give it."""
    mark = hashlib.md5(f"{place} {serial}".encode()).hexdigest()
    words, suffix = _slug(name), {"JPEG": "jpg"}.get(form, form.lower())
    path = {
        "live.flickr.test": f"65535/{serial}_{mark[:10]}_b.{suffix}",
        "upload.wikimedia.test": (
            f"wikipedia/commons/{mark[0]}/{mark[:2]}/{words}_{serial}.{suffix}"
        ),
        "static.inaturalist.test": f"photos/{serial}/original.{suffix}?{1_500_000_000 + serial}",
        "content.eol.test": f"data/media/{mark[:2]}/{mark[2:4]}/{mark[4:6]}/{serial}.{suffix}",
        BLOG: f"wp-content/uploads/2019/05/{words}-{serial}.{suffix}",
    }.get(place, f"photos/{serial}.{suffix}")
    return f"http://{place}/{path}"


def landing(source: str, serial: int, name: str) -> str:
    """Return the page that *source* says a picture is from."""
    return {
        "openverse": f"https://www.flickr.test/photos/someone/{serial}",
        "commons": f"https://commons.wikimedia.test/wiki/File:{_slug(name)}_{serial}.jpg",
        "gbif": f"https://www.inaturalist.test/photos/{serial}",
        "eol": f"https://www.flickr.test/photos/somebody/{serial}",
    }[source]


def _slug(name: str) -> str:
    """Return *name* as every client writes it: nothing that some would encode and some not."""
    return quote(re.sub(r"\W+", "_", name))
