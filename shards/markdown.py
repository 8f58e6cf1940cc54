"""Markdown out of numbers, and of words that strangers wrote."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

_SPECIAL = re.compile(r"[^\w .,;()/%+'-]|_")
_LINK = re.compile(r"https?://[\w.~:/?#@!$&*+,;=%-]+", re.ASCII)
LONGEST = 80
"""Characters of a stranger's words that are shown."""


def cell(value: Any) -> str:
    """Return *value* as text that means nothing but itself in Markdown and HTML."""
    if value is None:
        return ""
    if isinstance(value, int):
        return f"{value:,}"
    text = "".join(each for each in " ".join(str(value).split()) if each.isprintable())
    if len(text) > LONGEST:
        text = f"{text[: LONGEST - 1]}…"
    return _SPECIAL.sub(lambda match: f"&#{ord(match[0])};", text)


def link(text: str, address: str | None) -> str:
    """Return *text* as a link to *address*, or alone where that is no plain web address."""
    return f"[{text}]({address})" if address and _LINK.fullmatch(address) else text


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a table of cells that are Markdown already, or numbers (which stand right)."""
    rows = [list(row) for row in rows]
    right = [
        bool(rows) and all(isinstance(row[at], int | None) for row in rows)
        for at in range(len(header))
    ]
    lines = [
        header,
        ["---:" if each else "---" for each in right],
        *([each if isinstance(each, str) else cell(each) for each in row] for row in rows),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
