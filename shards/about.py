"""What people and programs read before they use the shards, written from the tables alone.

    README.md       dataset card                     card.py, plates.py
    datasheet.md    how it came to be                datasheet.py
    croissant.json  metadata                         croissant.py
    credits.csv     whose every picture is           credits.py
    counts.parquet  by species, split and tier       census.py

The same tables give the same bytes: nothing here looks at a clock.
"""

import json
from pathlib import Path

from flora import records
from flora.ledger import publish
from shards import card, census, credits, croissant, datasheet, plates
from shards.config import ShardSettings


def write(data: Path, settings: ShardSettings) -> int:
    """Write everything about the shards of *data*; return how many pictures they hold.

    Needs index.parquet, classes.parquet and SHA256SUMS, and the tables of images and verdicts.
    Raises ContractError where one is absent.
    """
    folder = data / "shards"
    with census.database(data) as db:
        found = census.take(db, folder)
        records.write(folder / "counts.parquet", census.counts(db))
        sheets = plates.draw(db, folder, settings)
    pictures = credits.write(folder)
    metadata = json.dumps(croissant.describe(folder, found), ensure_ascii=False, indent=1)
    for name, text in {
        "croissant.json": f"{metadata}\n",
        "datasheet.md": datasheet.compose(found, settings),
        "README.md": card.compose(folder, found, settings, sheets),
    }.items():
        with publish(folder / name) as draft:
            draft.write_text(text, encoding="utf-8")
    return pictures
