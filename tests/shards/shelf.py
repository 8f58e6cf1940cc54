"""Shards as packing leaves them, put together by hand: anything can be told of a picture."""

import hashlib
import json
from pathlib import Path
from typing import Any

from flora import records, tar
from flora.packs import Packs
from tests import dataset
from tests.conftest import encode, pixels

LICENCES = ("CC BY 4.0", "CC BY-NC-SA 4.0", None, "CC0 1.0", "ask | <b>me</b>", "CC BY-SA 3.0 DE")
CREATORS = ("Jane Ö.", None, 'O\'Hara, "Bob"\n[x](http://evil.example) <script>', "=1+1")
SHARDS = ("train-000000.tar", "train-000001.tar", "val-000000.tar", "test-000000.tar")


def write(data: Path, **told: Any) -> None:
    """Write a dataset to *data* and four shards of it, in form original; every seventh is a PNG.

    *told* takes the place of what is told of all pictures.
    """
    dataset.write(data)
    rows = samples(data)
    for row in rows:
        row.update(told)
    pack(data, rows)


def samples(data: Path) -> list[dict[str, Any]]:
    """Return a row of the index for each picture of *data*, and its bytes as `picture`."""
    images = records.read(data / "images" / "tables", records.IMAGES).to_pylist()
    found = []
    with Packs(data / "images") as packs:
        for number, image in enumerate(images):
            row = {name: image.get(name) for name in records.INDEX.names}
            row["picture"] = packs.read(image["pack"], image["offset"], image["length"])
            if number % 7 == 3:
                row["picture"], row["format"] = encode(pixels(number, (96, 72)), "PNG"), "png"
            row["image_id"] = row["key"] = hashlib.sha256(row["picture"]).hexdigest()
            row["label"] = int(image["species_id"][1:])
            row["shard"] = SHARDS[min(number // 16, 3)]
            row["split"] = row["shard"].partition("-")[0]
            row["tier"] = ("citizen", "web", "expert")[number % 3 if number % 5 else 0]
            row["source"] = ("gbif", "commons")[number % 2]
            row["licence"] = LICENCES[number // 3 % len(LICENCES)]
            row["creator"] = CREATORS[number // 3 % len(CREATORS)]
            row["page_url"] = f"https://a.org/p/{number}" if number % 9 else None
            found.append(row)
    return found


def pack(data: Path, rows: list[dict[str, Any]]) -> None:
    """Write the shards of *rows*, and all that lies beside them."""
    folder, sums, index = data / "shards", "", []
    folder.mkdir()
    for shard in SHARDS:
        content = b""
        for row in (row for row in rows if row["shard"] == shard):
            about = {name: row[name] for name in ("species_id", "licence", "observation_id")}
            picture = row.pop("picture")
            for suffix, member in sorted({
                "cls": b"%d" % row["label"],
                row["format"]: picture,
                "json": json.dumps({**about, "width": row["width"]}).encode(),
            }.items()):  # fmt: skip
                if member is picture:
                    row.update(offset=len(content) + tar.BLOCK, length=len(picture))
                content += tar.member(f"{row['key']}.{suffix}", member)
            index.append(row)
        content += tar.END
        (folder / shard).write_bytes(content)
        sums += f"{hashlib.sha256(content).hexdigest()}  {shard}\n"
    (folder / "SHA256SUMS").write_text(sums)
    records.write(folder / "index.parquet", records.table(records.INDEX, index))
    records.write(folder / "classes.parquet", records.table(records.CLASSES, _classes(data, index)))


def _classes(data: Path, index: list[dict[str, Any]]) -> list[dict[str, Any]]:
    species = records.read(data / "checklist" / "species.parquet", records.SPECIES).to_pylist()
    return [
        {
            "label": label,
            **{name: one[name] for name in set(one) & set(records.CLASSES.names)},
            **{
                split: sum(row["label"] == label and row["split"] == split for row in index)
                for split in ("train", "val", "test")
            },
        }
        for label, one in enumerate(species)
    ]
