"""The pictures that are shown: small, inline, and each with its credit."""

import base64
import io
from collections.abc import Iterable, Mapping
from typing import Any

from PIL import Image

from flora.packs import Packs
from flora.pictures import FlawedPictureError, rgb
from flora.records import Tier
from report.database import Database, ask
from report.page import Html, tag

_SIDE, _QUALITY = 168, 74

_LISTINGS = """
SELECT image_id, url, page_url, title, licence, creator, rights_holder, pack, "offset", length
FROM images WHERE image_id IN (SELECT unnest($image_ids::VARCHAR[])) AND status = 'kept'
QUALIFY row_number() OVER (
  PARTITION BY image_id ORDER BY licence IS NULL, list_position($tiers, tier), url
) = 1"""
"""Of each picture, the listing that says most about its origin."""


class Album:
    """Thumbnails of the pictures *image_ids*, and who made those that were shown."""

    def __init__(self, db: Database, packs: Packs, image_ids: Iterable[str]) -> None:
        self._packs = packs
        rows = ask(db, _LISTINGS, image_ids=sorted(image_ids), tiers=[str(tier) for tier in Tier])
        self._rows = {row["image_id"]: row for row in rows}
        self._made: dict[str, str] = {}
        self.shown: dict[str, Mapping[str, Any]] = {}
        """image_id -> its best listing, in the order of appearance."""

    def __contains__(self, image_id: object) -> bool:
        return image_id in self._rows

    def show(self, image_id: str | None, words: str) -> Html:
        """Return the picture as an element; *words* say what it is."""
        row = self._rows.get(image_id or "")
        if image_id is None or row is None:
            return tag("div", "no picture", class_="none")
        self.shown[image_id] = row
        if image_id not in self._made:
            self._made[image_id] = self._thumbnail(row)
        if not self._made[image_id]:
            return tag("div", "cannot be shown", class_="none")
        return tag("img", src=self._made[image_id], alt=words, title=credit(row))

    def _thumbnail(self, row: Mapping[str, Any]) -> str:
        """Return the small picture as an address, or nothing if its colours cannot be read."""
        data = self._packs.read(row["pack"], row["offset"], row["length"])
        try:
            small = Image.fromarray(rgb(data, _SIDE))
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
