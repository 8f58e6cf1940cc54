"""verdicts/page.html: some of the pictures that went, each beside what it yields to.

One file, without scripts, that asks the network for nothing. All text from the web is escaped.
"""

import base64
import html
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
from PIL import Image

from dedup.tables import Verdicts
from dedup.verdicts import REASONS
from flora import records
from flora.ledger import publish
from flora.packs import Packs
from flora.pictures import FlawedPictureError, rgb
from flora.records import HOLDOUT, IMAGES, KEPT, Reason

_EACH = 6
"""Examples of a reason."""
_SIDE = 200
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 72em; padding: 0 1em;
       color: #222; background: #fff }
section { display: grid; gap: 1em; grid-template-columns: repeat(auto-fill, minmax(27em, 1fr)) }
article { border: 1px solid #ddd; border-radius: 6px; padding: .7em }
figure { display: inline-block; margin: 0 .5em 0 0; width: 200px; vertical-align: top }
img { display: block; max-width: 200px; max-height: 200px }
figcaption, small { color: #555; font-size: 12px; overflow-wrap: anywhere }
table { border-collapse: collapse } td, th { padding: .15em .8em; text-align: right }
td:first-child, th:first-child { text-align: left }
"""
_WORDS = {
    Reason.NEAR_DUPLICATE: "The same picture as its keeper. From the plainest to the hardest.",
    Reason.MIRRORED: "The same picture, left for right.",
    Reason.OUTVOTED: "Another species has the better claim to the picture.",
    Reason.CONFLICT: "Sites disagree on the species, and none has a clear majority.",
    Reason.QUARANTINE: "Trusted sources disagree on the species.",
    Reason.PLACEHOLDER: "Listed for so many species, or so often, that it shows none.",
    Reason.LOW_INFORMATION: "Blank, or nearly so.",
    Reason.HOLDOUT: "Also in the evaluation set, or of the same observation.",
}

Row = Mapping[str, Any]


def write(data: Path, similarity: float, verdicts: Verdicts, sources: Sequence[Row]) -> None:
    """Write the page about *verdicts*. Pairs count as the same from this *similarity* on."""
    counts = verdicts.claims.counts()
    removed = {reason: _examples(data / "verdicts", verdicts, reason) for reason in _WORDS}
    near = _misses(data / "verdicts", similarity)
    ids = {row["image_id"] for rows in removed.values() for row in rows}
    ids |= {row["keeper_id"] for rows in removed.values() for row in rows if row["keeper_id"]}
    ids |= {row[side] for row in near for side in "ab"}
    with Packs(data / "images") as packs:
        album = _Album(data, ids, packs)
        parts = [_head(counts, sources)]
        for reason, rows in removed.items():
            if rows:
                title = str(reason).replace("_", " ")
                parts.append(f"<h2>{title}: {counts.get(reason, 0):,}</h2><p>{_WORDS[reason]}</p>")
                parts.append(_section(album.removed(row) for row in rows))
        if near:
            parts.append(
                "<h2>nearest misses</h2><p>Their hashes are near, but their pixels did not agree "
                f"well enough (below {similarity}); both stay, as far as this goes.</p>"
            )
            parts.append(_section(album.missed(row) for row in near))
    with publish(data / "verdicts" / "page.html") as draft:
        draft.write_text("\n".join([*parts, "</body></html>\n"]), encoding="utf-8")


def _examples(folder: Path, verdicts: Verdicts, reason: Reason) -> list[Row]:
    """Return some rows, from the nearest hashes to the farthest."""
    claims, edges = verdicts.claims, verdicts.edges
    rows = np.flatnonzero(claims.reason == REASONS.index(reason))
    if len(edges):
        rows = rows[np.argsort(edges.distance[claims.edge[rows]], kind="stable")]
    places = np.linspace(0, len(rows) - 1, min(_EACH, len(rows))).round().astype(np.int64)
    found: list[Row] = verdicts.rows(rows[places]).to_pylist()
    if reason is Reason.HOLDOUT and found:
        told = records.read(folder / "holdout.parquet", HOLDOUT).to_pylist()
        why = {row["image_id"]: row for row in told}
        found = [{**row, **_told(why[row["image_id"]])} for row in found]
    return found


def _told(row: Row) -> Row:
    names = ("distance", "phash_distance", "similarity")
    return {
        "rule": f"{row.get('why')}, {row.get('evaluation_id')}",
        **{n: row.get(n) for n in names},
    }


def _misses(verdicts: Path, similarity: float) -> list[Row]:
    files = sorted((verdicts / "pairs").glob("[!.]*.parquet"))
    if not files:
        return []
    table = ds.dataset(files, schema=records.PAIRS).to_table(
        filter=ds.field("similarity") < similarity
    )
    order = [("similarity", "descending"), ("a", "ascending"), ("b", "ascending")]
    found: list[Row] = table.sort_by(order).slice(0, _EACH).to_pylist()
    return found


class _Album:
    """The pictures on the page, by image_id."""

    def __init__(self, data: Path, ids: Iterable[str], packs: Packs) -> None:
        columns = ["image_id", "status", "url", "page_url", "title", "licence", "creator",
                   *("pack", "offset", "length")]  # fmt: skip
        files = sorted((data / "images" / "tables").glob("[!.]*.parquet"))
        wanted = ds.field("image_id").isin(pa.array(sorted(ids), pa.string()))
        rows = ds.dataset(files, schema=IMAGES).to_table(columns=columns, filter=wanted)
        self._rows: dict[str, Row] = {}
        for row in rows.sort_by("url").to_pylist():
            if row["status"] == KEPT:
                self._rows.setdefault(row["image_id"], row)
        self._packs, self._names = packs, _species(data)

    def removed(self, row: Row) -> str:
        """Return a picture that went beside its keeper."""
        name = self._names.get(row["species_id"], row["species_id"] or "no species")
        sides = [self._figure(row["image_id"], f"went; {name}")]
        if row["keeper_id"] and row["keeper_id"] != row["image_id"]:
            sides.insert(0, self._figure(row["keeper_id"], "stays"))
        if row["genus"]:
            sides.append(f"<p>of the genus {_text(row['genus'])}</p>")
        return "".join(sides) + _evidence(row)

    def missed(self, row: Row) -> str:
        """Return two pictures that are nearly one."""
        return "".join(self._figure(row[side], "") for side in "ab") + _evidence(row)

    def _figure(self, image_id: str, words: str) -> str:
        row = self._rows.get(image_id, {})
        by = " · ".join(str(row.get(n)) for n in ("title", "creator", "licence") if row.get(n))
        link = _link(row.get("page_url") or row.get("url"))
        shown = _thumbnail(self._packs, row, image_id)
        return (
            f"<figure>{shown}<figcaption>{_text(words)}<br>{_text(by[:200])} {link}"
            "</figcaption></figure>"
        )


def _thumbnail(packs: Packs, row: Row, image_id: str) -> str:
    """Return the picture as an element, small and inline."""
    if not row:
        return "no picture"
    try:
        small = Image.fromarray(rgb(packs.read(row["pack"], row["offset"], row["length"])))
    except FlawedPictureError:  # it decoded as grey: an odd colour space
        return "cannot be shown"
    small.thumbnail((_SIDE, _SIDE))
    out = io.BytesIO()
    small.save(out, "JPEG", quality=75)
    text = base64.b64encode(out.getvalue()).decode()
    return f'<img alt="{_text(image_id[:12])}" src="data:image/jpeg;base64,{text}">'


def _species(data: Path) -> dict[str, str]:
    path = data / "checklist" / "species.parquet"
    if not path.is_file():
        return {}
    table = records.read(path, records.SPECIES, ["species_id", "name"])
    return dict(zip(table["species_id"].to_pylist(), table["name"].to_pylist(), strict=True))


def _head(counts: Mapping[str, int], sources: Sequence[Row]) -> str:
    reasons = "".join(f"<tr><td>{_text(n)}<td>{c:,}" for n, c in counts.items())
    noise = "".join(
        f"<tr><td>{_text(row['source'])}<td>{row['listings']:,}<td>{row['checked']:,}"
        f"<td>{row['conflicts']:,}<td>{row['noise']:.1%}"
        for row in sources
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "img-src data:; style-src 'unsafe-inline'\">"
        '<meta name="referrer" content="no-referrer"><title>Duplicates</title>'
        f"<style>{_STYLE}</style></head><body><h1>Duplicates, and why they went</h1>"
        f"<table><tr><th>verdicts<th>number{reasons}</table>"
        "<h2>conflicts by source</h2><table><tr><th>source<th>listings<th>listed elsewhere too"
        f"<th>under another species<th>labels estimated wrong{noise}</table>"
    )


def _section(cards: Iterable[str]) -> str:
    return f"<section>{''.join(f'<article>{card}</article>' for card in cards)}</section>"


def _evidence(row: Row) -> str:
    """Return what was measured, in a line."""
    parts = [f"by {row['rule']}"] if row.get("rule") else []
    if row["distance"] is not None:
        parts.append(f"PDQ {row['distance']} of 256 bits, pHash {row['phash_distance']} of 64")
    if row["similarity"] is not None:
        parts.append(f"pixels {row['similarity']:.3f} alike")
    if row.get("mirrored"):
        parts.append("mirrored")
    return f"<br><small>{_text(' · '.join(parts))}</small>"


def _link(url: str | None) -> str:
    try:
        safe = urlsplit(url or "").scheme in ("http", "https")
    except ValueError:
        safe = False
    if not safe or url is None:
        return ""
    return f'<a rel="noopener noreferrer nofollow" href="{_text(url)}">where it is from</a>'


def _text(value: object) -> str:
    return html.escape(str(value))
