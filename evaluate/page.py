"""The tables as a page: Markdown for other documents, HTML for a browser."""

from collections.abc import Sequence
from html import escape

from evaluate.table import Rows

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1d2a23; max-width: 86rem; margin: 2rem auto;
  padding: 0 1rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; text-align: right; border-bottom: 1px solid #dfe5e0;
  white-space: nowrap; }
th:first-child, td:first-child { text-align: left; white-space: pre; }
thead th { border-bottom: 2px solid #5b6a62; }
.random { color: #5b6a62; }
.wide { overflow-x: auto; }
svg { max-width: 100%; height: auto; }
"""


def markdown(title: str, tables: Sequence[tuple[str, Rows]], notes: Sequence[str]) -> str:
    """Return *tables*, each under its heading, and *notes* below."""
    parts = [f"# {title}"]
    for heading, (head, *rows) in tables:
        lines = [head, ("---", *("---:",) * (len(head) - 1)), *rows]
        table = "\n".join(f"| {' | '.join(cell.strip() for cell in line)} |" for line in lines)
        parts.append(f"## {heading}\n\n{table}")
    parts.append("\n".join(f"- {note}" for note in notes))
    return "\n\n".join(filter(None, parts)) + "\n"


def html(
    title: str, tables: Sequence[tuple[str, Rows]], notes: Sequence[str], picture: str, curves: str
) -> str:
    """Return the same as one page that needs no other file.

    *picture* is an SVG, and so are the *curves* of risk and coverage, if there are any.
    """
    body = [f"<h1>{escape(title)}</h1>", f'<div class="wide">{picture}</div>']
    for heading, rows in tables:
        body.append(f'<h2>{escape(heading)}</h2>\n<div class="wide">{_table(rows)}</div>')
    if curves:
        body.append(f'<h2>Risk and coverage</h2>\n<div class="wide">{curves}</div>')
    body += [f"<p>{escape(note)}</p>" for note in notes]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n"
    )


def _table(rows: Rows) -> str:
    head, *lines = rows
    body = "".join(
        f"<tr{_kind(line)}>{''.join(f'<td>{escape(cell)}</td>' for cell in line)}</tr>\n"
        for line in lines
    )
    titles = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    return f"<table>\n<thead><tr>{titles}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>"


def _kind(line: tuple[str, ...]) -> str:
    return ' class="random"' if line[0].startswith(" ") else ""
