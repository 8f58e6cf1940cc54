"""Google's Custom Search JSON API (https://developers.google.com/custom-search/v1/overview).

It states no licences.
"""

from collections.abc import AsyncGenerator

from crawler.ask import Ask
from crawler.candidates import Candidate
from crawler.config import CrawlerSettings
from crawler.sources.listing import Listing, Row, at, rows

NAME = "google_cse"
KEYS = ("WORLDFLORA_GOOGLE_CSE_KEY", "WORLDFLORA_GOOGLE_CSE_ID")

_LAST = 100


async def search(
    ask: Ask, settings: CrawlerSettings, species_id: str, query: str
) -> AsyncGenerator[Candidate]:
    """Yield what the search engine of your id finds for *query*, best first, 100 at most."""
    here, listing = settings.google_cse, Listing(NAME, species_id, query)
    key, engine = ask.key(KEYS[0]), ask.key(KEYS[1])
    for start in range(1, min(here.pages * here.page_size, _LAST) + 1, here.page_size):
        params = {
            "key": key,
            "cx": engine,
            "exactTerms": query,
            "q": query,
            "searchType": "image",
            "num": str(min(here.page_size, _LAST + 1 - start)),
            "start": str(start),
        }
        answer = await ask.json(here.address(), params)
        for candidate in listing.page(rows(answer, "items"), _facts):
            yield candidate
        if listing.over or not rows(answer, "queries", "nextPage"):
            return


def _facts(item: Row) -> Row:
    return {
        "url": item.get("link"),
        "page_url": at(item, "image", "contextLink"),
        "title": item.get("title"),
        "width": at(item, "image", "width"),
        "height": at(item, "image", "height"),
    }
