"""What Openverse and Wikimedia Commons answer when they are searched.

Shapes and names of fields are those of the real services; what they list is the world's.
"""

import hashlib
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from demo.listings import Listing
from demo.world import World

OPENVERSE = "http://api.openverse.test/v1/images/"
COMMONS = "http://commons.wikimedia.test/w/api.php"

OPENVERSE_PAGE = 20
"""Answers a page that those without a key may have."""
COMMONS_PAGE = 50

Answer = tuple[int, dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """A listing, with what a search looks at and what an answer states."""

    number: int
    listing: Listing
    words: str
    width: int
    height: int
    size: int
    sha1: str


class Catalogue:
    """The listings of one source, to be searched by name."""

    def __init__(self, world: World, source: str) -> None:
        self.entries = []
        with world.pack.open("rb") as pack:
            for number, listing in enumerate(world.listings):
                if listing.source != source:
                    continue
                span = world.bodies[listing.body] if listing.body is not None else None
                pack.seek(span.offset if span else 0)
                data = pack.read(span.length) if span else b""
                self.entries.append(
                    _Entry(
                        number=number,
                        listing=listing,
                        words=f" {_words(listing.title)} ",
                        width=span.width if span else 1024,
                        height=span.height if span else 768,
                        size=len(data),
                        sha1=hashlib.sha1(data).hexdigest(),
                    )
                )

    def find(self, query: str) -> list[_Entry]:
        """Return the entries with all words of *query*; quoted ones in that order."""
        wanted = [_words(part) for part in re.findall(r'"([^"]*)"', query)]
        loose = re.sub(r'"[^"]*"|\w+:\S+', " ", query)
        wanted += _words(loose).split()
        return [entry for entry in self.entries if all(f" {w} " in entry.words for w in wanted)]

    def category(self, name: str) -> list[_Entry]:
        """Return the entries that are filed under *name*."""
        return [entry for entry in self.entries if entry.listing.listed_name == name]


def _words(text: str) -> str:
    return " ".join(re.findall(r"[\w-]+", text.casefold().replace("×", " ").replace("_", " ")))


def openverse(catalogue: Catalogue, query: Mapping[str, str]) -> Answer:
    """Answer `/v1/images/`."""
    try:
        page, size = int(query.get("page", 1)), int(query.get("page_size", OPENVERSE_PAGE))
    except ValueError:
        return _refusal("page", "A valid integer is required.")
    if not 1 <= size <= OPENVERSE_PAGE:
        limit = f"Ensure this value is less than or equal to {OPENVERSE_PAGE}."
        return _refusal("page_size", limit)
    if page < 1:
        return _refusal("page", "Ensure this value is greater than or equal to 1.")
    found = catalogue.find(query.get("q", ""))
    pages = -(-len(found) // size)
    shown = found[(page - 1) * size : page * size]
    return 200, {
        "result_count": len(found),
        "page_count": pages,
        "page_size": size,
        "page": page,
        "results": [_openverse_result(entry) for entry in shown],
    }


def _refusal(field: str, reason: str) -> Answer:
    detail = f"Invalid input given for fields. '{field}' -> {reason}"
    return 400, {"error": "InputError", "detail": detail, "fields": [field]}


def _openverse_result(entry: _Entry) -> dict[str, Any]:
    row = entry.listing
    identity = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{row.url} {entry.number}"))
    kind, _, version = (row.licence or "").rpartition("-")
    provider = "wikimedia" if "wikimedia" in row.url else "flickr"
    here = f"{OPENVERSE}{identity}/"
    return {
        "id": identity,
        "title": row.title,
        "indexed_on": "2018-11-23T10:00:00Z",
        "foreign_landing_url": row.page_url,
        "url": row.url,
        "creator": row.creator,
        "creator_url": None,
        "license": kind or None,
        "license_version": version or None,
        "license_url": licence_url(row.licence),
        "provider": provider,
        "source": provider,
        "category": "photograph",
        "filesize": entry.size,
        "filetype": row.url.partition("?")[0].rpartition(".")[2],
        "tags": [{"accuracy": None, "name": "plant"}, {"accuracy": None, "name": "flower"}],
        "attribution": f'"{row.title}" by {row.creator}',
        "fields_matched": ["title"],
        "mature": False,
        "height": entry.height,
        "width": entry.width,
        "thumbnail": f"{here}thumb/",
        "detail_url": here,
        "related_url": f"{here}related/",
    }


def licence_url(licence: str | None) -> str | None:
    """Return the deed of `by-sa-4.0`; None where there is no licence."""
    if licence is None:
        return None
    kind, _, version = licence.rpartition("-")
    place = {"cc0": "publicdomain/zero", "pdm": "publicdomain/mark"}.get(kind, f"licenses/{kind}")
    return f"https://creativecommons.org/{place}/{version}/"


def commons(catalogue: Catalogue, query: Mapping[str, str]) -> Answer:
    """Answer `/w/api.php?action=query`, a search or a category's files.

    Errors come with status 200, as there.
    """
    generator = query.get("generator")
    if query.get("action") != "query" or generator not in ("search", "categorymembers"):
        return _error(
            "badvalue", "This web answers action=query, of generators search and categorymembers."
        )
    prefix, subject, place = {
        "search": ("gsr", "gsrsearch", "gsroffset"),
        "categorymembers": ("gcm", "gcmtitle", "gcmcontinue"),
    }[generator]
    if not query.get(subject):
        return _error("missingparam", f'The "{subject}" parameter must be set.')
    asked, offset = query.get(f"{prefix}limit", "10"), query.get(place, "0")
    if not (asked.isdigit() or asked == "max") or not offset.isdigit():
        return _error("badinteger", f"{prefix}limit and {place} must be whole numbers.")
    limit = COMMONS_PAGE if asked == "max" else min(int(asked), COMMONS_PAGE)
    if generator == "search":
        files = query.get("gsrnamespace") in ("6", "*")
        found = catalogue.find(query[subject]) if files else []
    else:
        found = catalogue.category(query[subject].removeprefix("Category:"))
    start = int(offset)
    answer: dict[str, Any] = {"batchcomplete": ""}
    if start + limit < len(found):
        answer["continue"] = {place: start + limit, "continue": f"{place}||"}
    shown = found[start : start + limit]
    if shown:
        pages = {str(_page_id(e)): _commons_page(e, start + k) for k, e in enumerate(shown, 1)}
        answer["query"] = {"pages": pages}
    return 200, answer


def _error(code: str, info: str) -> Answer:
    return 200, {"error": {"code": code, "info": info}, "servedby": "mw1.test"}


def _page_id(entry: _Entry) -> int:
    return 50_000_000 + entry.number


def _commons_page(entry: _Entry, index: int) -> dict[str, Any]:
    row = entry.listing
    facts = {
        "ObjectName": row.title.removeprefix("File:").rpartition(".")[0],
        "ImageDescription": f"<p>{row.listed_name}</p>",
        "Categories": row.listed_name,
    }
    if row.creator:
        user = row.creator.replace(" ", "_")
        facts["Artist"] = (
            f'<a href="//commons.wikimedia.org/wiki/User:{user}" title="User:{row.creator}">'
            f"{row.creator}</a>"
        )
    kind, _, version = (row.licence or "").rpartition("-")
    if kind:
        special = {"cc0": "CC0", "pdm": "Public domain"}
        facts["LicenseShortName"] = special.get(kind, f"CC {kind.upper()} {version}")
        facts["LicenseUrl"] = (licence_url(row.licence) or "").rstrip("/")
    return {
        "pageid": _page_id(entry),
        "ns": 6,
        "title": row.title,
        "index": index,
        "imagerepository": "local",
        "imageinfo": [
            {
                "size": entry.size,
                "width": entry.width,
                "height": entry.height,
                "url": row.url,
                "descriptionurl": row.page_url,
                "descriptionshorturl": f"{COMMONS}?curid={_page_id(entry)}",
                "sha1": entry.sha1,
                "mime": "image/png" if row.url.endswith(".png") else "image/jpeg",
                "mediatype": "BITMAP",
                "extmetadata": {
                    name: {"value": value, "source": "commons-desc-page"}
                    for name, value in facts.items()
                },
            }
        ],
    }
