"""The chapters of what was turned away, and of what the demo knows to be true."""

from collections.abc import Mapping
from typing import Any

from flora.records import KEPT
from report import figures
from report.counts import Counts
from report.database import Database, ask
from report.funnel import words
from report.page import Chapter, chapter, figure, join, link, share, table, tag

_NAMES, _EXAMPLES = 200, 3
_REFUSED = f"""
SELECT status, unnest(
  arg_min({{'url': url, 'source': source, 'http_status': http_status}}, url, {_EXAMPLES}),
  recursive := true
)
FROM images WHERE status <> 'kept' GROUP BY status ORDER BY count(*) DESC, status"""


def truth(found: Mapping[str, Any]) -> Chapter:
    """Return how the work stands against what the demo knows to be true."""
    marks = {
        True: tag("span", "✓ met", class_="met"),
        False: tag("span", "✗ missed", class_="missed"),
    }
    goals = [
        (goal["what"], goal["value"], goal["goal"], marks[bool(goal["met"])])
        for goal in found.get("goals", [])
    ]
    blocks = [
        tag("div", tag("h3", title), table([], values.items()), class_="card")
        for title, values in found.get("sections", {}).items()
    ]
    first = [table(["goal", "value", "asked for", ""], goals)] if goals else []
    rest = tag("div", *blocks, class_="columns")
    return chapter("truth", "Against the demo's own truth", *first, rest)


def refused(db: Database, counts: Counts) -> Chapter:
    """Return what was turned away while fetching, by reason."""
    asked, whole = sum(counts.statuses.values()), counts.whole
    if not asked:
        return chapter("refused", "Refused", "Nothing has been fetched yet.")
    if asked == whole:
        return chapter("refused", "Refused", "Everything that was asked for arrived whole.")
    bars = {words(name): [n] for name, n in counts.statuses.items() if name != KEPT}
    rows = [
        (words(row["status"]), link(row["url"]), row["source"], str(row["http_status"] or ""))
        for row in ask(db, _REFUSED)
    ]
    return chapter(
        "refused",
        "Refused",
        f"{asked - whole:,} of {asked:,} listings ({share(asked - whole, asked)}) brought no "
        "picture. What is refused is not stored, so there is nothing to see but its address.",
        figure(figures.bars("Listings refused, by reason", bars), "Listings refused, by reason."),
        tag(
            "details",
            tag("summary", "A few of each reason"),
            table(["reason", "address", "source", "status"], rows, words=3),
        ),
    )


def names(db: Database, counts: Counts) -> Chapter:
    """Return the names that were asked for in vain."""
    asked, title = sum(n for _, n in counts.names), "Names left out"
    lost = sum(n for why, n in counts.names if why is not None)
    if not asked:
        return chapter("names", title, "No names have been asked for yet.")
    if not lost:
        return chapter("names", title, f"None: all {asked:,} lead to a species.")
    query = "SELECT * FROM names WHERE species_id IS NULL ORDER BY query LIMIT $most"
    rows = [
        (
            row["query"],
            words(row["how"]),
            join((tag("i", s) for s in row["suggestions"] or []), ", "),
        )
        for row in ask(db, query, most=_NAMES)
    ]
    more = f" The first {_NAMES} of them:" if lost > _NAMES else ""
    return chapter(
        "names",
        title,
        f"{lost:,} of {asked:,} names lead to no accepted species.{more}",
        table(["name", "why", "did it mean"], rows, words=3),
    )
