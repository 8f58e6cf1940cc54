"""A small dataset on disk, as the crawler and dedup would leave it."""

import hashlib
from pathlib import Path
from typing import Any

from flora import records, tar
from flora.records import Verdict
from tests.conftest import picture

SPECIES = 3
EACH = 20


def write(data: Path, *, species: int = SPECIES, each: int = EACH) -> None:
    """Write checklist, images and verdicts: *each* pictures of *species* species, all kept.

    Pictures 0 and 1 of a species share an observation.
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
    images, verdicts, pack = [], [], b""
    for number in range(species * each):
        jpeg = picture(number, (96, 72))
        image_id = hashlib.sha256(jpeg).hexdigest()
        of = {"image_id": image_id, "species_id": f"s{number % species}"}
        images.append({**_image(number, species), **of, "offset": len(pack) + tar.BLOCK,
                       "length": len(jpeg)})  # fmt: skip
        verdicts.append({**dict.fromkeys(records.VERDICTS.names), **of,
                         "verdict": str(Verdict.KEEP), "reason": "unique",
                         "cluster_id": image_id, "keeper_id": image_id})  # fmt: skip
        pack += tar.member(f"{image_id}.jpg", jpeg)
    (data / "images" / "packs").mkdir(parents=True)
    (data / "images" / "packs" / "a-000.tar").write_bytes(pack + tar.END)
    records.write(data / "images" / "tables" / "a.parquet", records.table(records.IMAGES, images))
    path = data / "verdicts" / "verdicts.parquet"
    records.write(path, records.table(records.VERDICTS, verdicts))


def _image(number: int, species: int) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(records.IMAGES.names)
    observation = f"gbif:{number % species}" if number < 2 * species else None
    return row | {
        "url": f"http://a.org/{number}.jpg",
        "final_url": f"http://a.org/{number}.jpg",
        "source": "gbif",
        "tier": "citizen",
        "licence": "CC BY 4.0",
        "creator": "Jane Ö.",
        "observation_id": observation,
        "status": "kept",
        "http_status": 200,
        "pack": "a-000.tar",
        "width": 96,
        "height": 72,
        "format": "jpg",
        "phash": number,
        "pdq": hashlib.sha256(b"%d" % number).digest(),
        "quality": 100,
    }
