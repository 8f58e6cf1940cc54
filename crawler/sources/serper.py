"""Serper (https://serper.dev): Google's pictures, resold. It states no licences."""

from collections.abc import AsyncGenerator

from crawler.ask import Ask
from crawler.candidates import Candidate
from crawler.config import CrawlerSettings
from crawler.sources.listing import Listing, Row, rows

NAME = "serper"
KEYS = ("WORLDFLORA_SERPER_KEY",)


async def search(
    ask: Ask, settings: CrawlerSettings, species_id: str, query: str
) -> AsyncGenerator[Candidate]:
    """Yield what Serper finds for *query*, best first."""
    here, listing = settings.serper, Listing(NAME, species_id, query)
    headers = {"X-API-KEY": ask.key(KEYS[0])}
    for page in range(1, here.pages + 1):
        body = {"q": f'"{query}"', "num": here.page_size, "page": page}
        answer = await ask.json(here.address(), headers=headers, body=body)
        for candidate in listing.page(rows(answer, "images"), _facts):
            yield candidate
        if listing.over:
            return


def _facts(image: Row) -> Row:
    return {
        "url": image.get("imageUrl"),
        "page_url": image.get("link"),
        "title": image.get("title"),
        "width": image.get("imageWidth"),
        "height": image.get("imageHeight"),
    }
