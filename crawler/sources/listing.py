"""An engine's pages of answers, made into candidates, whatever shape an answer has.

Fields may be absent, null, or of another type than promised: such a field counts as absent,
such a row as none.
"""

from collections.abc import Callable, Iterable
from typing import Any

from crawler.candidates import Candidate, canonical, number, plain
from flora.records import Tier

Row = dict[str, Any]


class Listing:
    """What one source lists for one name, page after page."""

    def __init__(self, source: str, species_id: str, query: str) -> None:
        self.over = False
        """Whether the last page brought nothing new: then there is no use in the next."""
        self._source, self._species_id, self._query = source, species_id, query
        self._seen: set[str] = set()
        self._rank = 0

    def page(self, rows: Iterable[Row], facts: Callable[[Row], Row]) -> list[Candidate]:
        """Return the candidates of one more page that were on none before.

        *facts* gives of a row, as the source words them, its url and whichever it has of
        page_url, title, licence, creator, width and height.
        """
        found = []
        for row in rows:
            self._rank += 1
            stated = facts(row)
            url = canonical(str(stated.get("url") or ""))
            if url is None or url in self._seen:
                continue
            self._seen.add(url)
            found.append(
                Candidate(
                    url=url,
                    species_id=self._species_id,
                    query=self._query,
                    source=self._source,
                    tier=Tier.WEB,
                    rank=self._rank,
                    page_url=plain(stated.get("page_url")),
                    title=plain(stated.get("title")),
                    licence=plain(stated.get("licence")),
                    creator=plain(stated.get("creator")),
                    width=pixels(stated.get("width")),
                    height=pixels(stated.get("height")),
                )
            )
        self.over = not found
        return found


def at(answer: object, *path: str) -> Any:
    """Return what lies at *path* in *answer*, or None."""
    for step in path:
        answer = answer.get(step) if isinstance(answer, dict) else None
    return answer


def rows(answer: object, *path: str) -> list[Row]:
    """Return the rows of the list, or the values of the object, at *path* in *answer*."""
    found = at(answer, *path)
    values = found.values() if isinstance(found, dict) else found
    return [row for row in values if isinstance(row, dict)] if values and _many(values) else []


def pixels(value: object) -> int | None:
    """Return a count of pixels that may come as text."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        return number(int(value))
    return None if isinstance(value, bool) else number(value)


def count(value: object) -> int:
    """Return *value* as a count that may come as text; 0 if it is none."""
    return pixels(value) or 0


def _many(values: object) -> bool:
    return isinstance(values, Iterable) and not isinstance(values, (str, bytes))
