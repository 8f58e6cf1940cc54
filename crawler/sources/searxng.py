"""SearXNG, a metasearch engine of your own (https://docs.searxng.org/dev/search_api.html)."""

import re
from collections.abc import AsyncGenerator

from crawler.ask import Ask
from crawler.candidates import Candidate
from crawler.config import CrawlerSettings
from crawler.sources.listing import Listing, Row, rows

NAME = "searxng"
KEYS: tuple[str, ...] = ()

_RESOLUTION = re.compile(r"(\d{1,6})\s*[x×*]\s*(\d{1,6})")


async def search(
    ask: Ask, settings: CrawlerSettings, species_id: str, query: str
) -> AsyncGenerator[Candidate]:
    """Yield what the chosen engines of the instance find for *query*, best first."""
    here, listing = settings.searxng, Listing(NAME, species_id, query)
    for page in range(1, here.pages + 1):
        params = {
            "q": f'"{query}"',
            "categories": "images",
            "engines": ",".join(here.engines),
            "pageno": str(page),
            "format": "json",
        }
        answer = await ask.json(here.address(), params)
        for candidate in listing.page(rows(answer, "results"), _facts):
            yield candidate
        if listing.over:
            return


def _facts(result: Row) -> Row:
    size = _RESOLUTION.search(str(result.get("resolution") or ""))
    url = str(result.get("img_src") or "")
    return {
        "url": f"https:{url}" if url.startswith("//") else url,
        "page_url": result.get("url"),
        "title": result.get("title"),
        "creator": result.get("author"),
        "width": size[1] if size else None,
        "height": size[2] if size else None,
    }
