"""Any endpoint in the shape of Bing's image search v7.

Microsoft's own is no more; who has another says where. It states no licences.
"""

from collections.abc import AsyncGenerator

from crawler.ask import Ask
from crawler.candidates import Candidate
from crawler.config import CrawlerSettings
from crawler.sources.listing import Listing, Row, at, count, rows

NAME = "bing"
KEYS = ("WORLDFLORA_BING_KEY",)


async def search(
    ask: Ask, settings: CrawlerSettings, species_id: str, query: str
) -> AsyncGenerator[Candidate]:
    """Yield what the endpoint finds for *query*, best first."""
    here, listing = settings.bing, Listing(NAME, species_id, query)
    address, offset = here.address(), 0
    headers = {"Ocp-Apim-Subscription-Key": ask.key(KEYS[0])}
    for _ in range(here.pages):
        params = {"q": f'"{query}"', "count": str(here.page_size), "offset": str(offset)}
        answer = await ask.json(address, params, headers=headers)
        for candidate in listing.page(rows(answer, "value"), _facts):
            yield candidate
        following = count(at(answer, "nextOffset"))
        if listing.over or following <= offset:
            return
        offset = following


def _facts(value: Row) -> Row:
    return {
        "url": value.get("contentUrl"),
        "page_url": value.get("hostPageUrl"),
        "title": value.get("name"),
        "width": value.get("width"),
        "height": value.get("height"),
    }
