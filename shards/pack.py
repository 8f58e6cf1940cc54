"""One shard: a tar of samples, `<key>.cls`, `<key>.jpg`, `<key>.json` each.

The key is the picture's id: webdataset cuts a key at its first dot, so names would not do.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from flora import tar
from flora.ledger import publish
from flora.packs import Packs
from flora.tally import Meter

_ABOUT = ("species_id", "name", "source", "tier", "licence", "creator", "page_url", "url",
          "observation_id")  # fmt: skip


def write(path: Path, rows: Iterable[Mapping[str, Any]], packs: Packs, meter: Meter) -> list[int]:
    """Write the samples *rows* to the tar *path*; return the offset of each one's picture."""
    offsets, end = [], 0
    with publish(path) as draft, draft.open("wb") as file:
        for row in rows:
            picture = packs.read(row["pack"], row["offset"], row["length"])
            for suffix, data in _members(row, picture):
                if data is picture:
                    offsets.append(end + tar.BLOCK)
                end += file.write(tar.member(f"{row['image_id']}.{suffix}", data))
            meter.count(rows=1, bytes=len(picture))
        file.write(tar.END)
    return offsets


def room(row: Mapping[str, Any]) -> int:
    """Return about how many bytes a sample takes in a tar (its JSON is taken as 1 KiB)."""
    return 3 * tar.BLOCK + tar.BLOCK + 1024 + tar.padded(row["length"])


def _members(row: Mapping[str, Any], picture: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the members of a sample in order of suffix, as webdataset's own writer does."""
    about = {name: row[name] for name in _ABOUT}
    members = {
        "cls": str(row["label"]).encode(),
        row["format"]: picture,
        "json": json.dumps(about, ensure_ascii=False, sort_keys=True).encode(),
    }
    yield from sorted(members.items())
