"""Brave image search (https://api-dashboard.search.brave.com/). It states no licences."""

from collections.abc import AsyncGenerator

from crawler.ask import Ask
from crawler.candidates import Candidate
from crawler.config import CrawlerSettings
from crawler.sources.listing import Listing, Row, at, rows

NAME = "brave"
KEYS = ("WORLDFLORA_BRAVE_KEY",)


async def search(
    ask: Ask, settings: CrawlerSettings, species_id: str, query: str
) -> AsyncGenerator[Candidate]:
    """Yield what Brave finds for *query*, best first. Its spelling is left as botanists have it."""
    here, listing = settings.brave, Listing(NAME, species_id, query)
    headers = {"X-Subscription-Token": ask.key(KEYS[0]), "Accept": "application/json"}
    params = {
        "q": f'"{query}"',
        "count": str(here.page_size),
        "safesearch": "strict",
        "spellcheck": "false",
    }
    answer = await ask.json(here.address(), params, headers=headers)
    for candidate in listing.page(rows(answer, "results"), _facts):
        yield candidate


def _facts(result: Row) -> Row:
    return {
        "url": at(result, "properties", "url"),
        "page_url": result.get("url"),
        "title": result.get("title"),
        "width": at(result, "properties", "width"),
        "height": at(result, "properties", "height"),
    }
