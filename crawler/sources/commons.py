"""Wikimedia Commons: a name's category, then full-text search over files.

How its API is asked: https://www.mediawiki.org/wiki/API:Categorymembers and API:Search.
"""

from collections.abc import AsyncGenerator

from crawler.ask import Answer, Ask, Fault
from crawler.candidates import Candidate
from crawler.config import CrawlerSettings
from crawler.sources.listing import Listing, Row, at, count, rows

NAME = "commons"
KEYS: tuple[str, ...] = ()

_PASSING = ("maxlag", "ratelimited", "readonly")


async def search(
    ask: Ask, settings: CrawlerSettings, species_id: str, query: str
) -> AsyncGenerator[Candidate]:
    """Yield the files of the category of *query*, then those that Commons finds for it."""
    here, listing = settings.commons, Listing(NAME, species_id, query)
    size = str(here.page_size)
    category = {
        "generator": "categorymembers",
        "gcmtitle": f"Category:{query}",
        "gcmtype": "file",
        "gcmlimit": size,
    }
    text = {
        "generator": "search",
        "gsrsearch": f'"{query}"',
        "gsrnamespace": "6",
        "gsrlimit": size,
    }
    for generator in (category, text):
        more: dict[str, str] = {}
        for _ in range(here.pages):
            params = {**generator, **_common(here.width), **more}
            answer = await ask.json(here.address(), params, judge=_fault)
            pages = sorted(
                rows(answer, "query", "pages"), key=lambda page: count(at(page, "index"))
            )
            for candidate in listing.page(pages, _facts):
                yield candidate
            following = _continued(answer)
            if not following or following == more:
                break
            more = following


def _common(width: int) -> dict[str, str]:
    """Return what every question asks for."""
    scaled = {"iiurlwidth": str(width)} if width else {}
    return {
        "action": "query",
        "format": "json",
        "prop": "imageinfo",
        "iiprop": "url|size|mime|extmetadata|sha1",
        "maxlag": "5",
        **scaled,
    }


def _continued(answer: Answer) -> dict[str, str]:
    """Return what to add to the question to have the next page; nothing after the last."""
    more = answer.get("continue")
    return {key: str(value) for key, value in more.items()} if isinstance(more, dict) else {}


def _fault(answer: Answer) -> Fault | None:
    """Find the errors that come with status 200."""
    if "error" not in answer:
        return None
    return Fault.PASSING if at(answer, "error", "code") in _PASSING else Fault.ODD


def _facts(page: Row) -> Row:
    info = (rows(page, "imageinfo") or [{}])[0]
    kind = str(info.get("mime") or "image/")
    if not kind.startswith("image/") or kind == "image/svg+xml":  # sounds, books, drawings
        return {}
    scaled = info.get("thumburl")
    return {
        "url": scaled or info.get("url"),
        "page_url": info.get("descriptionurl"),
        "title": page.get("title"),
        "licence": _stated(info, "LicenseShortName") or _stated(info, "LicenseUrl"),
        "creator": _stated(info, "Artist"),
        "width": info.get("thumbwidth") if scaled else info.get("width"),
        "height": info.get("thumbheight") if scaled else info.get("height"),
    }


def _stated(info: Row, name: str) -> object:
    return at(info, "extmetadata", name, "value")
