"""SerpApi (https://serpapi.com/google-images-api): Google's pictures, resold."""

from collections.abc import AsyncGenerator

from crawler.ask import Answer, Ask, Fault
from crawler.candidates import Candidate
from crawler.config import CrawlerSettings
from crawler.sources.listing import Listing, Row, at, rows

NAME = "serpapi"
KEYS = ("WORLDFLORA_SERPAPI_KEY",)


async def search(
    ask: Ask, settings: CrawlerSettings, species_id: str, query: str
) -> AsyncGenerator[Candidate]:
    """Yield what SerpApi finds for *query*, best first."""
    here, listing = settings.serpapi, Listing(NAME, species_id, query)
    key = ask.key(KEYS[0])
    for page in range(here.pages):
        params = {
            "engine": "google_images",
            "q": f'"{query}"',
            "ijn": str(page),
            "api_key": key,
        }
        answer = await ask.json(here.address(), params, judge=_fault)
        for candidate in listing.page(rows(answer, "images_results"), _facts):
            yield candidate
        if listing.over:
            return


def _fault(answer: Answer) -> Fault | None:
    """Find the searches that failed on their side; one that found nothing is no fault."""
    status = at(answer, "search_metadata", "status")
    return Fault.PASSING if status == "Error" else None


def _facts(image: Row) -> Row:
    return {
        "url": image.get("original"),
        "page_url": image.get("link"),
        "title": image.get("title"),
        "licence": image.get("license_details_url"),
        "width": image.get("original_width"),
        "height": image.get("original_height"),
    }
