"""Contact sheets: a picture each of the species that have the most, and of those with the fewest.

Only pictures whose licence allows it are shown, each with its credit.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
from PIL import Image, ImageDraw, ImageFont, ImageOps

from flora import pictures
from flora.ledger import publish, sweep
from flora.pictures import FlawedPictureError
from shards import form
from shards.config import ShardSettings
from shards.licences import SHOWN

ACROSS, DOWN = 6, 3
_SIDE, _STRIP, _LETTERS = 160, 20, 24
_PAPER, _INK = "white", "#333333"
_QUALITY = 85

_CHOSEN = """
WITH shown AS (
  SELECT label, substr(min(nth_tier(tier)::VARCHAR || key), 2) AS key FROM shelf
  WHERE regexp_full_match(licence, $licences) AND NOT list_contains($before, label)
  GROUP BY label
), chosen AS (
  SELECT label, key, name, images FROM shown JOIN species USING (label)
  ORDER BY $sign * images, label LIMIT $places
)
SELECT label, name, shard, "offset", length, format, creator, licence, page_url
FROM shelf JOIN chosen USING (label, key) ORDER BY $sign * images, label
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plate:
    """One contact sheet."""

    path: str
    """In the shards' folder."""
    shows: str
    credits: Sequence[tuple[str, str | None, str | None, str | None]]
    """Species, creator, licence, page of each picture, line by line."""


def draw(db: duckdb.DuckDBPyConnection, folder: Path, settings: ShardSettings) -> list[Plate]:
    """Write pictures/most.jpg and fewest.jpg into *folder*; leave out a sheet with no picture.

    *db* is that of the census.
    """
    sweep(folder / "pictures")
    plates, before = list[Plate](), list[int]()
    for name, sign, shows in (
        ("most", -1, "the species with the most pictures"),
        ("fewest", 1, "the species with the fewest pictures"),
    ):
        query = {"licences": SHOWN, "before": before, "sign": sign, "places": ACROSS * DOWN}
        tiles, credits = list[Image.Image](), list[Any]()
        for row in db.execute(_CHOSEN, query).fetchall():
            label, species, shard, offset, length, format, *credit = row
            before.append(label)
            try:
                data = _read(folder / shard, offset, length)
                tiles.append(_tile(data, format, species, settings))
            except FlawedPictureError:  # whole, but not a picture that can be shown in colour
                continue
            credits.append((species, *credit))
        path = folder / "pictures" / f"{name}.jpg"
        if tiles:
            with publish(path) as draft:
                _sheet(tiles).save(draft, "JPEG", quality=_QUALITY)
            plates.append(Plate(path=f"pictures/{path.name}", shows=shows, credits=credits))
        else:
            path.unlink(missing_ok=True)
    return plates


def _read(shard: Path, offset: int, length: int) -> bytes:
    with shard.open("rb") as file:
        return os.pread(file.fileno(), length, offset)


def _tile(data: bytes, format: str, species: str, settings: ShardSettings) -> Image.Image:
    """Return the middle of a picture, upright, over its species' name."""
    if settings.form == "original":
        data, format = form.convert(data, format, settings)
    tile = Image.new("RGB", (_SIDE, _SIDE + _STRIP), _PAPER)
    tile.paste(ImageOps.fit(Image.fromarray(pictures.rgb(data)), (_SIDE, _SIDE)))
    name = species if len(species) <= _LETTERS else f"{species[: _LETTERS - 1]}…"
    font = ImageFont.load_default(12)
    ImageDraw.Draw(tile).text((2, _SIDE + 2), name, font=font, fill=_INK)
    return tile


def _sheet(tiles: Sequence[Image.Image]) -> Image.Image:
    """Return *tiles* side by side, line by line."""
    across, down = min(len(tiles), ACROSS), -(-len(tiles) // ACROSS)
    width, height = tiles[0].size
    sheet = Image.new("RGB", (across * width, down * height), _PAPER)
    for number, tile in enumerate(tiles):
        sheet.paste(tile, (number % ACROSS * width, number // ACROSS * height))
    return sheet
