"""Openverse: openly licensed pictures of many collections (https://api.openverse.org/v1/)."""

from collections.abc import AsyncGenerator

from crawler.ask import Ask
from crawler.candidates import Candidate, canonical, number, plain
from crawler.config import CrawlerSettings
from flora.records import Tier

NAME = "openverse"


async def search(
    ask: Ask, settings: CrawlerSettings, species_id: str, query: str
) -> AsyncGenerator[Candidate]:
    """Yield what Openverse lists for *query*, best first."""
    here, rank = settings.openverse, 0
    for page in range(1, here.pages + 1):
        params = {"q": query, "page": str(page), "page_size": str(here.page_size)}
        answer = await ask.json(here.endpoint, params)
        for result in answer.get("results") or []:
            rank += 1
            url = canonical(str(result.get("url")))
            if url is None:
                continue
            yield Candidate(
                url=url,
                species_id=species_id,
                query=query,
                source=NAME,
                tier=Tier.WEB,
                rank=rank,
                page_url=plain(result.get("foreign_landing_url")),
                title=plain(result.get("title")),
                licence=plain(_licence(result)),
                creator=plain(result.get("creator")),
                width=number(result.get("width")),
                height=number(result.get("height")),
            )
        if page >= int(answer.get("page_count") or 0):
            return


def _licence(result: dict[str, str]) -> str | None:
    """Return `by-sa 4.0` and its kind as CC BY-SA 4.0; the URL where that is all there is."""
    name, version = result.get("license"), result.get("license_version")
    if not name:
        return result.get("license_url")
    if name in ("cc0", "pdm"):
        return {"cc0": "CC0 1.0", "pdm": "Public domain"}[name]
    return f"CC {name.upper()} {version or ''}".strip()
