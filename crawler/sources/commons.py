"""Wikimedia Commons: full-text search over files (https://www.mediawiki.org/wiki/API:Search)."""

from collections.abc import AsyncGenerator
from typing import Any

from crawler.ask import Ask
from crawler.candidates import Candidate, canonical, number, plain
from crawler.config import CrawlerSettings
from flora.records import Tier

NAME = "commons"


async def search(
    ask: Ask, settings: CrawlerSettings, species_id: str, query: str
) -> AsyncGenerator[Candidate]:
    """Yield the files Commons finds for *query*, best first."""
    here = settings.commons
    params = {
        "action": "query",
        "format": "json",
        "generator": "search",
        "gsrsearch": f'"{query}"',
        "gsrnamespace": "6",
        "gsrlimit": str(here.page_size),
        "prop": "imageinfo",
        "iiprop": "url|size|mime|extmetadata|sha1",
        "maxlag": "5",
    }
    more: dict[str, str] = {}
    for _ in range(here.pages):
        answer = await ask.json(here.endpoint, {**params, **more})
        pages = (answer.get("query") or {}).get("pages") or {}
        for page in sorted(pages.values(), key=lambda page: page.get("index", 0)):
            candidate = _candidate(page, species_id, query)
            if candidate is not None:
                yield candidate
        if not answer.get("continue"):
            return
        more = {key: str(value) for key, value in answer["continue"].items()}


def _candidate(page: dict[str, Any], species_id: str, query: str) -> Candidate | None:
    info = (page.get("imageinfo") or [{}])[0]
    url = canonical(str(info.get("url")))
    if url is None or not str(info.get("mime", "image/")).startswith("image/"):
        return None
    facts = {k: v.get("value") for k, v in (info.get("extmetadata") or {}).items()}
    return Candidate(
        url=url,
        species_id=species_id,
        query=query,
        source=NAME,
        tier=Tier.WEB,
        rank=page.get("index"),
        page_url=plain(info.get("descriptionurl")),
        title=plain(page.get("title")),
        licence=plain(facts.get("LicenseShortName") or facts.get("LicenseUrl")),
        creator=plain(facts.get("Artist")),
        width=number(info.get("width")),
        height=number(info.get("height")),
    )
