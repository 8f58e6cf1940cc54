"""Small images folders to find duplicates in, as the crawler would leave them."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from flora import records, tar
from flora.pictures import inspect
from flora.records import Tier
from tests.conftest import encode

WEB, CITIZEN, EXPERT = Tier.WEB, Tier.CITIZEN, Tier.EXPERT


def listing(
    jpeg: bytes, species: str | None = "s", tier: Tier = WEB, **more: Any
) -> dict[str, Any]:
    """A row of the images table for these bytes; they are packed by `write`."""
    return {"data": jpeg, "species_id": species, "tier": str(tier), **more}


def name(jpeg: bytes) -> str:
    """The image_id of these bytes."""
    return hashlib.sha256(jpeg).hexdigest()


def write(data: Path, rows: list[dict[str, Any]], species: dict[str, str] | None = None) -> None:
    """Write the images stage of *rows*, and a checklist of *species* (id -> name) if given."""
    pack, table = b"", []
    for number, row in enumerate(rows):
        jpeg = row.pop("data")
        seen = inspect(jpeg, max_pixels=10**7, min_side=1)
        row = {
            **dict.fromkeys(records.IMAGES.names),
            "url": f"https://site{number}.example/{number}.jpg",
            "source": "commons", "status": "kept", "licence": "CC BY 4.0", "format": seen.format,
            "width": seen.width, "height": seen.height, "phash": seen.phash, "pdq": seen.pdq,
            "quality": seen.quality, "image_id": name(jpeg), "pack": "a-000.tar",
            "offset": len(pack) + tar.BLOCK, "length": len(jpeg), **row,
        }  # fmt: skip
        table.append(row)
        pack += tar.member(f"{name(jpeg)}.jpg", jpeg)
    (data / "images" / "packs").mkdir(parents=True)
    (data / "images" / "packs" / "a-000.tar").write_bytes(pack + tar.END)
    half = len(table) // 2
    for part, some in (("a", table[:half]), ("b", table[half:])):
        path = data / "images" / "tables" / f"{part}.parquet"
        records.write(path, records.table(records.IMAGES, some))
    if species:
        names = [
            {**dict.fromkeys(records.SPECIES.names), "species_id": key, "class_index": k,
             "name": text, "genus": text.split()[0]}
            for k, (key, text) in enumerate(species.items())
        ]  # fmt: skip
        path = data / "checklist" / "species.parquet"
        records.write(path, records.table(records.SPECIES, names))


def leaf(seed: int, size: tuple[int, int] = (320, 240)) -> Image.Image:
    """A picture with structure at all scales, that differs from seed to seed."""
    rng = np.random.default_rng(seed)
    image = np.zeros((size[1], size[0], 3))
    for side in (4, 9, 20, 60):
        noise = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
        layer = Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)
        image += np.asarray(layer, dtype=np.float64) / 4
    return Image.fromarray(image.astype(np.uint8))


def jpeg(seed: int, size: tuple[int, int] = (320, 240), quality: int = 90) -> bytes:
    """Such a picture as a file."""
    return encode(leaf(seed, size), "JPEG", quality=quality)


def mirrored(image: Image.Image) -> Image.Image:
    """*image*, left for right."""
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
