"""The content of the demo's web: made once, kept in a folder, the same in every run.

checklist.csv     the names, as ThePlantList 1.1 would list them
pictures.pack     the bytes of every picture, one after the other
bodies.parquet    where in the pack each of them lies
pages.parquet     what every URL answers
truth.parquet     what every source lists, and what is true about it
world.json        written last: all of the above is there
"""

import dataclasses
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from PIL import Image

from demo import mishaps, names
from demo.easel import share_out
from demo.listings import Body, Listing, Plan, plan
from demo.mishaps import Kind
from demo.originals import Originals, Source, drawn, photographs
from demo.pages import Page
from flora import records
from flora.config import digest
from flora.ledger import Ledger, publish, sweep

EDITION = 3
"""To be raised when what is drawn, planned or altered changes: worlds of old are then made anew."""

SPECIES, PICTURES, SEED = 48, 2200, 2018
WRONG_LABELS = 0.10
"""Of drawn pictures."""

_string, _int = pa.string(), pa.int32()
TRUTH = pa.schema(
    {
        "url": _string,
        "source": _string,
        "tier": _string,
        "listed_name": _string,
        "listed_species": _string,
        "kind": _string,
        "picture_id": _string,
        "true_species": _string,
        "copy_of": _string,
        "body": _int,
        "title": _string,
        "creator": _string,
        "licence": _string,
        "page_url": _string,
        "observation_id": _string,
    }
)
PAGES = pa.schema(
    {
        "url": _string,
        "body": _int,
        "status": _int,
        "content_type": _string,
        "location": _string,
        "stumbles": _int,
        "stumble": _int,
        "drips": pa.bool_(),
        "robots_tag": _string,
    }
)
BODIES = pa.schema(
    {"offset": pa.int64(), "length": pa.int64(), "width": _int, "height": _int, "kind": _string}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Where the bytes of a body lie in the pack, and the size in pixels that it is known by."""

    offset: int
    length: int
    width: int
    height: int
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """All that the web knows."""

    folder: Path
    listings: tuple[Listing, ...]
    pages: Mapping[str, Page]
    bodies: tuple[Span, ...]

    @property
    def checklist(self) -> Path:
        """The list of names."""
        return self.folder / "checklist.csv"

    @property
    def pack(self) -> Path:
        """The bytes of the pictures."""
        return self.folder / "pictures.pack"

    @property
    def truth(self) -> Path:
        """What is true about every listing."""
        return self.folder / "truth.parquet"


def build(
    folder: Path,
    *,
    photos: Path | None = None,
    species: int = SPECIES,
    pictures: int = PICTURES,
    seed: int = SEED,
    wrong_labels: float | None = None,
) -> World:
    """Return the world in *folder*, made now if it is not there yet.

    Without *photos*, *pictures* of *species* invented species are drawn. With it, all of its
    `<Genus species>/*.jpg` are taken as they are, licences from its `attribution.csv`.
    *wrong_labels* is the share of pictures listed under another species: by default 0.10 of
    drawn ones, none of photographs. Raises ConfigError for numbers out of range and for a
    folder without pictures.
    """
    if wrong_labels is None:
        wrong_labels = WRONG_LABELS if photos is None else 0.0
    found = drawn(species, pictures, seed) if photos is None else photographs(photos)
    recipe = digest(EDITION, found.mark, wrong_labels, seed)
    if not _is_done(folder, recipe):
        with Ledger(folder).lock():
            if not _is_done(folder, recipe):
                sweep(folder)
                (folder / "world.json").unlink(missing_ok=True)
                _make(folder, found, wrong_labels, seed, recipe)
    return load(folder)


def load(folder: Path) -> World:
    """Return the world that lies in *folder*. Raises ContractError where there is none."""
    listings = records.read(folder / "truth.parquet", TRUTH).to_pylist()
    pages = records.read(folder / "pages.parquet", PAGES).to_pylist()
    bodies = records.read(folder / "bodies.parquet", BODIES).to_pylist()
    return World(
        folder=folder,
        listings=tuple(Listing(**{**row, "kind": Kind(row["kind"])}) for row in listings),
        pages={row["url"]: Page(**row) for row in pages},
        bodies=tuple(Span(**row) for row in bodies),
    )


def _is_done(folder: Path, recipe: str) -> bool:
    try:
        done = json.loads((folder / "world.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(done, dict) and done.get("recipe") == recipe


def _make(folder: Path, found: Originals, wrong_labels: float, seed: int, recipe: str) -> None:
    others: dict[str, list[str]] = {}
    for taxon in found.taxa:
        if taxon.accepted and taxon.status != "Misapplied":
            others.setdefault(taxon.accepted, []).append(taxon.name)
    doubtful = next((taxon.name for taxon in found.taxa if taxon.status == "Unresolved"), None)
    made = plan(found.pictures, others, doubtful, wrong_labels=wrong_labels, seed=seed)
    with publish(folder / "checklist.csv") as draft:
        draft.write_text(names.csv_text(found.taxa), encoding="utf-8")
    _write_bodies(folder, found, made)
    _write(folder / "pages.parquet", PAGES, made.pages.values())
    _write(folder / "truth.parquet", TRUTH, made.listings)
    summary = {
        "recipe": recipe,
        "species": len({picture.species for picture in found.pictures}),
        "pictures": len(found.pictures),
        "listings": len(made.listings),
    }
    with publish(folder / "world.json") as draft:
        draft.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")


def _write(path: Path, schema: pa.Schema, rows: Any) -> None:
    records.write(path, records.table(schema, [dataclasses.asdict(row) for row in rows]))


def _write_bodies(folder: Path, found: Originals, made: Plan) -> None:
    """Make the bytes of all bodies, and write them one after the other."""
    spans: dict[int, Span] = {}
    offset = 0
    with publish(folder / "pictures.pack") as draft, draft.open("wb") as pack:
        for body, data in _bytes(found.sources, made.bodies):
            width, height = _size(body.kind, data)
            pack.write(data)
            spans[body.body] = Span(
                offset=offset, length=len(data), width=width, height=height, kind=body.kind
            )
            offset += len(data)
    _write(folder / "bodies.parquet", BODIES, [spans[body.body] for body in made.bodies])


def _bytes(sources: Sequence[Source], bodies: Sequence[Body]) -> Iterator[tuple[Body, bytes]]:
    """Yield every body with its bytes, always in the same order."""
    jobs: dict[int, list[Body]] = {}
    for body in bodies:
        if body.picture is not None:
            jobs.setdefault(body.picture, []).append(body)
    work = [(sources[number], wanted) for number, wanted in sorted(jobs.items())]
    for (_, wanted), made in zip(work, share_out(work), strict=True):
        yield from zip(wanted, made, strict=True)
    yield from ((body, _junk(body)) for body in bodies if body.picture is None)


def _junk(body: Body) -> bytes:
    if body.kind is Kind.PLACEHOLDER:
        return mishaps.placeholder(body.seed)
    if body.kind is Kind.HTML:
        return mishaps.html()
    return mishaps.bomb() if body.kind is Kind.BOMB else mishaps.tiny()


def _size(kind: Kind, data: bytes) -> tuple[int, int]:
    """Return the width and height that sources state for it, which need not be true."""
    if kind in (Kind.HTML, Kind.BOMB, Kind.TRUNCATED):
        return 1024, 768
    with Image.open(io.BytesIO(data)) as image:
        return image.size
