"""The words the page is written in: elements, tables, chapters, and the frame around them all.

What is not `Html` is escaped on its way in, so nothing that came from the web can be markup.
There is no script, and the page's own policy forbids every request.
"""

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

_VOID = ("img", "meta", "br")
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_STYLE = Path(__file__).with_name("style.css")


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Chapter:
    """A part of the page."""

    name: str
    """Its anchor."""
    title: str
    body: Html


def chapter(name: str, title: str, *body: object) -> Chapter:
    """Return a chapter of the fragments *body*; a plain string becomes a paragraph."""
    parts = [part if isinstance(part, Html) else tag("p", part) for part in body]
    return Chapter(name=name, title=title, body=join(parts, "\n"))


def put(value: object) -> Html:
    """Return *value* as it stands on the page: numbers with their thousands, nothing as a dash."""
    if isinstance(value, Html):
        return value
    if value is None:
        return Html("–")
    if isinstance(value, bool):
        return Html("yes" if value else "no")
    if isinstance(value, int):
        return Html(f"{value:,}")
    if isinstance(value, float):
        return Html(f"{value:,.4g}")
    return Html(html.escape(str(value)))


def tag(name: str, /, *content: object, **attributes: object) -> Html:
    """Return an element; `class_` and `http_equiv` stand for class and http-equiv."""
    pairs = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Html(f"<{name}{pairs}>")
    return Html(f"<{name}{pairs}>{join(content)}</{name}>")


def join(parts: Iterable[object], between: str = "") -> Html:
    """Return *parts*, one after the other."""
    return Html(between.join(put(part) for part in parts))


def table(head: Sequence[object], rows: Iterable[Sequence[object]], *, words: int = 1) -> Html:
    """Return a table: its first columns hold *words*, the others numbers; *head* may be empty."""

    def line(cells: Sequence[object], kind: str) -> Html:
        classes = [None if place < words else "n" for place in range(len(cells))]
        scope = "col" if kind == "th" else None
        return tag("tr", *(tag(kind, cell, class_=name, scope=scope)
                           for cell, name in zip(cells, classes, strict=True)))  # fmt: skip

    top = tag("thead", line(head, "th")) if head else ""
    body = tag("tbody", join((line(row, "td") for row in rows), "\n"))
    return tag("div", tag("table", top, "\n", body), class_="table")


def figure(picture: Html, caption: object) -> Html:
    """Return a picture and what it says."""
    return tag("figure", picture, tag("figcaption", caption))


def beside(*parts: Html) -> Html:
    """Return *parts* side by side, or one below the other in a narrow window."""
    return tag("div", *(tag("div", part) for part in parts), class_="beside")


def grid(kind: str, cards: Iterable[Html]) -> Html:
    """Return *cards* in as many columns as there is room for."""
    return tag("div", join(cards, "\n"), class_=f"grid {kind}")


def share(part: int, whole: int) -> str:
    """Return *part* of *whole* in per cent."""
    return f"{part / whole:.1%}" if whole else "–"


def link(url: str | None) -> Html:
    """Return *url* as a link if it leads to a web page, else as plain words."""
    try:
        safe = urlsplit(url or "").scheme in ("http", "https")
    except ValueError:
        safe = False
    return tag("a", url, href=url, rel="noopener noreferrer nofollow") if safe else put(url)


def document(title: str, lead: Sequence[object], chapters: Sequence[Chapter]) -> str:
    """Return the whole page: *lead* below the title, a line of contents, the chapters."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", title),
        tag("style", Html(_STYLE.read_text(encoding="utf-8"))),
    )
    contents = tag("nav", join((tag("a", c.title, href=f"#{c.name}") for c in chapters), "\n"))
    top = tag("header", tag("h1", title), *(tag("p", part) for part in lead), contents)
    parts = (tag("section", tag("h2", c.title), "\n", c.body, id=c.name) for c in chapters)
    body = tag("body", top, "\n", tag("main", join(parts, "\n\n")))
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"
