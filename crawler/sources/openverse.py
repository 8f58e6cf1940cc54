"""Openverse: openly licensed pictures of many collections (https://api.openverse.org/v1/)."""

from collections.abc import AsyncGenerator

from crawler.ask import Ask
from crawler.candidates import Candidate
from crawler.config import CrawlerSettings
from crawler.sources.listing import Listing, Row, at, count, rows
from crawler.terms import Openverse
from flora.errors import ConfigError, StageError

NAME = "openverse"
KEYS: tuple[str, ...] = ()
ID, SECRET = "WORLDFLORA_OPENVERSE_ID", "WORLDFLORA_OPENVERSE_SECRET"
"""Not needed, but with both the limits are higher."""

_ANONYMOUS = 20


async def search(
    ask: Ask, settings: CrawlerSettings, species_id: str, query: str
) -> AsyncGenerator[Candidate]:
    """Yield what Openverse lists for *query*, best first."""
    here, listing = settings.openverse, Listing(NAME, species_id, query)
    await _sign_in(ask, here)
    for page in range(1, here.pages + 1):
        params = {"q": query, "page": str(page), "page_size": str(here.page_size)}
        answer = await ask.json(here.address(), params)
        for candidate in listing.page(rows(answer, "results"), _facts):
            yield candidate
        if listing.over or page >= count(at(answer, "page_count")):
            return


async def _sign_in(ask: Ask, here: Openverse) -> None:
    """Have *ask* send a token, if there is a key; it lives longer than a unit takes."""
    if "Authorization" in ask.headers:
        return
    identity, secret = ask.key_if_set(ID), ask.key_if_set(SECRET)
    if identity is None or secret is None:
        if here.page_size > _ANONYMOUS:
            raise ConfigError(
                f"crawler.openverse.page_size is {here.page_size}, but {_ANONYMOUS} is the most "
                f"without a key. Export {ID} and {SECRET}."
            )
        return
    form = {"grant_type": "client_credentials", "client_id": identity, "client_secret": secret}
    token = at(await ask.json(here.token_endpoint, form=form), "access_token")
    if not token or not isinstance(token, str):
        raise StageError(f"openverse: {here.token_endpoint} answers without a token.")
    ask.conceal(token)
    ask.headers["Authorization"] = f"Bearer {token}"


def _facts(result: Row) -> Row:
    return {
        **result,
        "page_url": result.get("foreign_landing_url"),
        "licence": _licence(result),
    }


def _licence(result: Row) -> str | None:
    """Return `by-sa 4.0` and its kind as CC BY-SA 4.0; the URL where that is all there is."""
    name, version = result.get("license"), result.get("license_version")
    if not name or not isinstance(name, str):
        return result.get("license_url")
    if name in ("cc0", "pdm"):
        return {"cc0": "CC0 1.0", "pdm": "Public domain"}[name]
    return f"CC {name.upper()} {version or ''}".strip()
