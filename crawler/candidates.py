"""What a source lists: a picture's address, the species it is said to show, whose it is."""

import html
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
from yarl import URL

from crawler.licences import normalise
from crawler.photos import photo_id
from flora import records
from flora.records import Tier

_TAG = re.compile(r"<[^>]*>")
_LONGEST = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One row of the candidates table; docs/contracts.md says what each column means."""

    url: str
    species_id: str
    query: str
    source: str
    tier: Tier
    rank: int | None = None
    page_url: str | None = None
    title: str | None = None
    licence: str | None = None
    creator: str | None = None
    rights_holder: str | None = None
    observation_id: str | None = None
    width: int | None = None
    height: int | None = None


def table(candidates: Iterable[Candidate]) -> pa.Table:
    """Return *candidates* as a table: photographs have ids, licences one spelling."""
    return records.table(records.CANDIDATES, map(_row, candidates))


def _row(candidate: Candidate) -> dict[str, Any]:
    return {
        **asdict(candidate),
        "photo_id": photo_id(candidate.url, candidate.page_url),
        "tier": str(candidate.tier),
        "licence": normalise(candidate.licence),
    }


def canonical(url: str) -> str | None:
    """Return *url* as it stands in the tables (no fragment, host in lower case), or None.

    None is for what could never be fetched: no http(s) scheme, no host.
    """
    try:
        parsed = URL(url.strip())
        if parsed.scheme not in ("http", "https") or not parsed.host:
            return None
        return str(parsed.with_fragment(None))
    except (ValueError, TypeError):
        return None


def plain(text: object) -> str | None:
    """Return *text* from a server as one plain line: no markup, no control characters."""
    if not isinstance(text, str):
        return None
    text = html.unescape(_TAG.sub(" ", text))
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line[:_LONGEST] or None


def number(value: object) -> int | None:
    """Return *value* as a count of pixels, if it is one."""
    return value if isinstance(value, int) and 0 < value < 2**31 else None
