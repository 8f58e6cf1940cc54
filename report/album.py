"""The pictures that are shown: small, inline, and each with its credit."""

import base64
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from flora import records
from flora.packs import Packs
from flora.pictures import FlawedPictureError, rgb
from flora.records import KEPT, Tier
from report.page import Html, tag
from report.tables import where

_SIDE, _QUALITY = 168, 74
_COLUMNS = ["image_id", "status", "tier", "url", "page_url", "title", "licence", "creator",
            "rights_holder", "pack", "offset", "length"]  # fmt: skip
_TIERS = {str(tier): place for place, tier in enumerate(Tier)}


class Album:
    """Thumbnails of the pictures *image_ids*, and who made those that were shown."""

    def __init__(self, images: Path, packs: Packs, image_ids: Iterable[str]) -> None:
        self._packs = packs
        self._rows = _listings(images, sorted(set(image_ids)))
        self._made: dict[str, str] = {}
        self.shown: dict[str, Mapping[str, Any]] = {}
        """image_id -> its best listing, in the order of appearance."""

    def show(self, image_id: str, words: str) -> Html:
        """Return the picture as an element; *words* say what it is."""
        row = self._rows.get(image_id)
        if row is None:
            return tag("div", "no picture", class_="none")
        self.shown[image_id] = row
        if image_id not in self._made:
            self._made[image_id] = self._thumbnail(row)
        if not self._made[image_id]:
            return tag("div", "cannot be shown", class_="none")
        return tag("img", src=self._made[image_id], alt=words, title=credit(row))

    def _thumbnail(self, row: Mapping[str, Any]) -> str:
        """Return the small picture as an address, or nothing if its colours cannot be read."""
        try:
            small = Image.fromarray(
                rgb(self._packs.read(row["pack"], row["offset"], row["length"]))
            )
        except FlawedPictureError:  # it decoded as grey when it was fetched: an odd colour space
            return ""
        small.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        small.save(buffer, "JPEG", quality=_QUALITY, optimize=True)
        return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def credit(row: Mapping[str, Any]) -> str:
    """Return who made a picture and how it may be used, in a line."""
    maker = row["creator"] or row["rights_holder"] or "unknown creator"
    return f"{maker} · {row['licence'] or 'licence not stated'}"


def _listings(images: Path, image_ids: list[str]) -> dict[str, Mapping[str, Any]]:
    """Return each picture's listing that says most about its origin."""
    rows = where(images / "tables", records.IMAGES, _COLUMNS, "image_id", image_ids).to_pylist()

    def order(row: Mapping[str, Any]) -> tuple[object, ...]:
        return row["licence"] is None, _TIERS.get(row["tier"], len(_TIERS)), row["url"]

    found: dict[str, Mapping[str, Any]] = {}
    for row in sorted(rows, key=order):
        if row["status"] == KEPT:
            found.setdefault(row["image_id"], row)
    return found
