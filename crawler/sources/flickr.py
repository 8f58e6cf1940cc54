"""Flickr, openly licensed (https://www.flickr.com/services/api/flickr.photos.search.html).

A photographer may change a licence at any time: what counts is the one listed here, on this day.
"""

from collections.abc import AsyncGenerator

from crawler.ask import Answer, Ask, Fault
from crawler.candidates import Candidate
from crawler.config import CrawlerSettings
from crawler.sources.listing import Listing, Row, at, count, rows

NAME = "flickr"
KEYS = ("WORLDFLORA_FLICKR_KEY",)

_LICENCES = {
    "1": "CC BY-NC-SA 2.0",
    "2": "CC BY-NC 2.0",
    "3": "CC BY-NC-ND 2.0",
    "4": "CC BY 2.0",
    "5": "CC BY-SA 2.0",
    "6": "CC BY-ND 2.0",
    "7": "No known copyright restrictions",
    "8": "United States Government Work",
    "9": "CC0 1.0",
    "10": "Public domain",
    "11": "CC BY 4.0",
    "12": "CC BY-SA 4.0",
    "13": "CC BY-ND 4.0",
    "14": "CC BY-NC 4.0",
    "15": "CC BY-NC-SA 4.0",
    "16": "CC BY-NC-ND 4.0",
}
_SIZES = "loczm"  # 1024 pixels first, then the original, then what is smaller
_BAD_KEY, _AWAY = (96, 97, 98, 99, 100), (0, 10, 105, 106, 201)


async def search(
    ask: Ask, settings: CrawlerSettings, species_id: str, query: str
) -> AsyncGenerator[Candidate]:
    """Yield the openly licensed photographs Flickr finds for *query*, best first."""
    here, listing = settings.flickr, Listing(NAME, species_id, query)
    params = {
        "method": "flickr.photos.search",
        "api_key": ask.key(KEYS[0]),
        "text": f'"{query}"',
        "license": ",".join(_LICENCES),
        "content_types": "0",
        "media": "photos",
        "safe_search": "1",
        "sort": "relevance",
        "extras": "license,owner_name,o_dims," + ",".join(f"url_{size}" for size in _SIZES),
        "per_page": str(here.page_size),
        "format": "json",
        "nojsoncallback": "1",
    }
    for page in range(1, here.pages + 1):
        answer = await ask.json(here.address(), {**params, "page": str(page)}, judge=_fault)
        for candidate in listing.page(rows(answer, "photos", "photo"), _facts):
            yield candidate
        if listing.over or page >= count(at(answer, "photos", "pages")):
            return


def _fault(answer: Answer) -> Fault | None:
    """Find the errors that come with status 200."""
    if answer.get("stat") != "fail":
        return None
    code = count(answer.get("code"))
    return Fault.KEY if code in _BAD_KEY else Fault.PASSING if code in _AWAY else Fault.ODD


def _facts(photo: Row) -> Row:
    size = next((size for size in _SIZES if photo.get(f"url_{size}")), "l")
    licence = _LICENCES.get(str(photo.get("license")))
    if licence is None:  # all rights reserved, or a licence that this list does not know
        return {}
    return {
        "url": photo.get(f"url_{size}"),
        "page_url": f"https://www.flickr.com/photos/{photo.get('owner')}/{photo.get('id')}",
        "title": photo.get("title"),
        "licence": licence,
        "creator": photo.get("ownername"),
        "width": photo.get(f"width_{size}"),
        "height": photo.get(f"height_{size}"),
    }
