"""Trying again what was refused: units are opened again for just the classes that are named."""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from flora import records
from flora.errors import ConfigError
from flora.hashes import PIPELINE
from flora.ledger import Ledger, publish, slug
from flora.records import Refusal


def classes(text: str) -> tuple[str, ...]:
    """Return the refusals named in `timeout,http_5xx`. Raises ConfigError for another word."""
    named = tuple(word.strip() for word in text.split(",") if word.strip())
    known = [str(refusal) for refusal in Refusal]
    for word in named:
        if word not in known:
            raise ConfigError(f"--retry {word}: no such refusal; known: {', '.join(known)}.")
    return named


def reopen(images: Path, named: Collection[str]) -> int:
    """Open the units again that have rows refused for one of *named*; return how many rows.

    Their journals are written again without those rows, then their receipts go: a kill in
    between leaves a unit done, and its journal to be swept. The caller holds the folder's lock.
    """
    ledger, count = Ledger(images), 0
    for unit, receipt in ledger.receipts().items():
        again = sum(receipt.refused.get(word, 0) for word in named)
        if again == 0:
            continue
        path = images / "tables" / f"{slug(unit)}.parquet"
        rows = records.read(path, records.IMAGES).to_pylist()
        (images / "open").mkdir(exist_ok=True)
        with (
            publish(images / "open" / f"{slug(unit)}.jsonl") as draft,
            draft.open("w", encoding="utf-8") as journal,
        ):
            for row in rows:
                if row["status"] not in named:
                    journal.write(json.dumps(_line(row)) + "\n")
        ledger.forget(unit)
        count += again
    return count


_OF_ALL = ("url", "final_url", "status", "http_status")
_OF_PICTURES = (
    "image_id", "pack", "offset", "length", "width", "height", "format", "phash", "quality",
)  # fmt: skip


def _line(row: dict[str, Any]) -> dict[str, Any]:
    """Return the line of the journal that *row* was made from."""
    line = {name: row[name] for name in _OF_ALL}
    line["fetched_at"] = row["fetched_at"].isoformat(timespec="milliseconds")
    if row["image_id"]:
        line |= {name: row[name] for name in _OF_PICTURES}
        line |= {"pdq": row["pdq"].hex(), "hashes": PIPELINE}
    return line
