"""A small dataset on disk, as the crawler and dedup would leave it."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flora import jpegs, records, tar
from flora.records import Verdict
from tests.conftest import picture

SPECIES = 3
EACH = 20


def write(
    data: Path,
    *,
    species: int = SPECIES,
    each: int = EACH,
    packs: int = 1,
    pictures: Sequence[bytes] = (),
) -> None:
    """Write checklist, images and verdicts: *each* pictures of *species* species, all kept.

    Pictures 0 and 1 of a species share an observation. They are drawn, unless JPEGs are given;
    then each is as often in the dataset as it takes, with another comment every time.
    """
    names = [
        {
            "species_id": f"s{i}",
            "class_index": 10 * i,
            "name": f"Genus{i} species{i}",
            "authorship": "L.",
            "genus": f"Genus{i}",
            "family": "Familiaceae",
            "major_group": "A",
            "synonyms": [],
        }
        for i in range(species)
    ]
    records.write(data / "checklist" / "species.parquet", records.table(records.SPECIES, names))
    verdicts: list[dict[str, Any]] = []
    numbers = range(species * each)
    for pack in range(packs):
        part = numbers[len(numbers) * pack // packs : len(numbers) * (pack + 1) // packs]
        rows = _pack(data / "images", chr(ord("a") + pack), part, species, pictures)
        for row in rows:
            own = row["image_id"]
            verdicts.append({**dict.fromkeys(records.VERDICTS.names),
                             "image_id": own, "species_id": row["species_id"],
                             "verdict": str(Verdict.KEEP), "reason": "unique",
                             "cluster_id": own, "keeper_id": own})  # fmt: skip
    path = data / "verdicts" / "verdicts.parquet"
    records.write(path, records.table(records.VERDICTS, verdicts))


def _pack(
    images: Path, name: str, numbers: range, species: int, pictures: Sequence[bytes]
) -> list[dict[str, Any]]:
    """Write the pictures *numbers* to one pack, and their table; return its rows."""
    (images / "packs").mkdir(parents=True, exist_ok=True)
    rows = []
    with (images / "packs" / f"{name}-000.tar").open("wb") as file:
        for number in numbers:
            jpeg = _commented(pictures, number) if pictures else picture(number, (96, 72))
            frame, image_id = jpegs.frame(jpeg), hashlib.sha256(jpeg).hexdigest()
            row = _image(number, species) | {"image_id": image_id, "length": len(jpeg)}
            row |= {"width": frame.width, "height": frame.height}
            rows.append(row | {"pack": f"{name}-000.tar", "offset": file.tell() + tar.BLOCK})
            file.write(tar.member(f"{image_id}.jpg", jpeg))
        file.write(tar.END)
    records.write(images / "tables" / f"{name}.parquet", records.table(records.IMAGES, rows))
    return rows


def _commented(pictures: Sequence[bytes], number: int) -> bytes:
    """Return one of *pictures*, unlike any other for a comment (JPEG's COM segment)."""
    jpeg = pictures[number % len(pictures)]
    return b"%b\xff\xfe\x00\x0a%08d%b" % (jpeg[:2], number, jpeg[2:])


def _image(number: int, species: int) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(records.IMAGES.names)
    observation = f"gbif:{number % species}" if number < 2 * species else None
    return row | {
        "species_id": f"s{number % species}",
        "url": f"http://a.org/{number}.jpg",
        "final_url": f"http://a.org/{number}.jpg",
        "source": "gbif",
        "tier": "citizen",
        "licence": "CC BY 4.0",
        "creator": "Jane Ö.",
        "observation_id": observation,
        "status": "kept",
        "http_status": 200,
        "format": "jpg",
        "phash": number,
        "pdq": hashlib.sha256(b"%d" % number).digest(),
        "quality": 100,
    }
