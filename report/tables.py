"""The numbers: what the tables and receipts of all stages add up to.

Only columns that are counted are read, each once; a stage that has not run counts nothing.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from flora import records
from flora.errors import ContractError
from flora.ledger import Ledger, Receipt
from flora.records import KEPT, Verdict

_string = pa.string()
NAMES = pa.schema(
    {
        "query": _string,
        "species_id": _string,
        "how": _string,
        "suggestions": pa.list_(_string),
    }
)
"""candidates/names.parquet: what became of the names that were asked for."""

PAIRS = pa.schema(
    {
        "a": _string,
        "b": _string,
        "distance": pa.uint16(),
        "phash_distance": pa.uint16(),
        "mirrored": pa.bool_(),
        "similarity": pa.float32(),
        "inside_a": pa.float32(),
        "inside_b": pa.float32(),
    }
)
"""verdicts/pairs/: pictures whose hashes are near, and how alike their pixels are."""

SPLITS = ("train", "val", "test")
_STAGES = ("checklist", "candidates", "images", "verdicts", "shards")
_CREATIVE_COMMONS = re.compile(r"\b(by(?:[- ]nc)?(?:[- ](?:sa|nd))?)\b[-/ ]*(?:(\d)[.-](\d))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many there are of everything; where a mapping, the most frequent first."""

    names: int
    """Names that were asked for."""
    wanted: frozenset[str]
    """The species they lead to."""
    listed: int
    """Listings that the sources gave."""
    planned: Mapping[str, int]
    """Of them, those to fetch, by species."""
    statuses: Mapping[str, int]
    """What became of them: kept, or a reason to refuse."""
    sources: Sequence[tuple[str, str, int, int, int]]
    """Source, tier; listings, those that came whole, pictures in shards."""
    pictures: int
    """Pictures that differ in a byte at least."""
    reasons: Mapping[str, int]
    """Verdicts by reason."""
    kept: Mapping[str, int]
    """Pictures kept, by species."""
    licences: Mapping[str, int]
    """Of the pictures in shards."""
    shards: tuple[int, ...]
    """Pictures in train, val and test."""


def count(data: Path) -> Counts:
    """Return how many there are of everything in the *data* folder."""
    asked = read(data / "candidates" / "names.parquet", NAMES, ["species_id"])["species_id"]
    plans = [
        read(path, records.CANDIDATES, ["species_id"])
        for path in sorted((data / "images").glob("plan-[0-9]*.parquet"))
    ]
    columns = ["source", "tier", "status"]
    images = read(data / "images" / "tables", records.IMAGES, columns)
    index = read(data / "shards" / "index.parquet", records.INDEX, ["source", "tier", "licence"])
    columns = ["image_id", "species_id", "verdict", "reason"]
    verdicts = read(data / "verdicts" / "verdicts.parquet", records.VERDICTS, columns)
    kept = verdicts.filter(pc.equal(verdicts["verdict"], str(Verdict.KEEP)))
    classes = read(data / "shards" / "classes.parquet", records.CLASSES, SPLITS)
    licences: Counter[str] = Counter()
    for text, pictures in records.counts(pc.fill_null(index["licence"], "not stated")).items():
        licences[licence(text)] += pictures
    return Counts(
        names=len(asked),
        wanted=frozenset(pc.unique(asked.drop_null()).to_pylist()),
        listed=sum(pq.read_metadata(path).num_rows for path in files(data / "candidates/tables")),
        planned=records.counts(pa.concat_tables(plans)["species_id"]) if plans else {},
        statuses=records.counts(images["status"]),
        sources=_sources(images, index),
        pictures=int(pc.count_distinct(verdicts["image_id"]).as_py()),
        reasons=records.counts(verdicts["reason"]),
        kept=records.counts(kept["species_id"]),
        licences=dict(sorted(licences.items(), key=lambda pair: (-pair[1], pair[0]))),
        shards=tuple(int(pc.sum(classes[name]).as_py() or 0) for name in SPLITS),
    )


def work(data: Path) -> dict[str, list[Receipt]]:
    """Return the receipts of every stage and run that has any."""
    runs = sorted(path for path in (data / "runs").glob("*") if path.is_dir())
    folders = [*(data / stage for stage in _STAGES), *runs]
    found = {str(f.relative_to(data)): list(Ledger(f).receipts().values()) for f in folders}
    return {stage: receipts for stage, receipts in found.items() if receipts}


def licence(text: str) -> str:
    """Return a licence as people write it: sources give names and addresses, in many spellings."""
    plain = text.lower().replace("_", "-")
    if "cc0" in plain or "publicdomain/zero" in plain:
        return "CC0"
    if plain in ("pd", "pdm") or "publicdomain" in plain or "public domain" in plain:
        return "public domain"
    found = _CREATIVE_COMMONS.search(plain)
    if found is None or not ("cc" in plain or "creativecommons" in plain):
        return text
    version = f" {found[2]}.{found[3]}" if found[2] else ""
    return f"CC {found[1].upper().replace(' ', '-')}{version}"


def files(path: Path) -> list[Path]:
    """Return the parquet files of the table at *path* (a folder or a file); maybe none."""
    if path.is_dir():
        return sorted(path.glob("[!.]*.parquet"))
    return [path] if path.is_file() else []


def read(path: Path, schema: pa.Schema, columns: Sequence[str]) -> pa.Table:
    """Return *columns* of the table at *path*, without rows where there is none."""
    if not files(path):
        return schema.empty_table().select(list(columns))
    return records.read(path, schema, columns)


def where(
    path: Path, schema: pa.Schema, columns: Sequence[str], column: str, among: Any
) -> pa.Table:
    """Return *columns* of the rows whose *column* is *among* these, in the order of the files.

    The table streams by: a big one costs no more memory than the rows that are found.
    """
    values = pa.array(among, schema.field(column).type)
    if not files(path) or not len(values):
        return schema.empty_table().select(list(columns))
    try:
        table = ds.dataset(files(path), schema=schema)
        return table.to_table(columns=list(columns), filter=ds.field(column).isin(values))
    except (OSError, pa.ArrowException) as error:
        raise ContractError(f"{path}: not readable as the table it should be: {error}.") from error


def _sources(images: pa.Table, index: pa.Table) -> list[tuple[str, str, int, int, int]]:
    keys = ["source", "tier"]
    whole = images.filter(pc.equal(images["status"], KEPT))
    groups = [part.group_by(keys).aggregate([([], "count_all")]) for part in (images, whole, index)]
    listed, arrived, packed = (
        {(row["source"], row["tier"]): row["count_all"] for row in group.to_pylist()}
        for group in groups
    )
    rows = [(*key, listed[key], arrived.get(key, 0), packed.get(key, 0)) for key in listed]
    return sorted(rows, key=lambda row: (-row[2], row[:2]))
