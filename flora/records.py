"""The tables handed from stage to stage, and the checks at their edges.

Every table is parquet, written whole and never changed. docs/contracts.md says what each
column means; a test holds the two together.
"""

import contextlib
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from flora.errors import ContractError
from flora.hashes import PIPELINE
from flora.ledger import publish


class Tier(StrEnum):
    """How far a picture's label can be trusted, best first."""

    EXPERT = "expert"
    CITIZEN = "citizen"
    WEB = "web"


class Refusal(StrEnum):
    """Why an image row has no image: its `status` where that is not `kept`."""

    BAD_URL = "bad_url"
    FORBIDDEN_ADDRESS = "forbidden_address"
    ROBOTS = "robots"
    ROBOTS_UNREACHABLE = "robots_unreachable"
    OPTED_OUT = "opted_out"
    DNS = "dns"
    CONNECTION = "connection"
    TIMEOUT = "timeout"
    REDIRECTS = "redirects"
    NOT_FOUND = "not_found"
    FORBIDDEN = "forbidden"
    HTTP_4XX = "http_4xx"
    HTTP_5XX = "http_5xx"
    RATE_LIMITED = "rate_limited"
    HOST_DOWN = "host_down"
    TOO_BIG = "too_big"
    EMPTY = "empty"
    NOT_AN_IMAGE = "not_an_image"
    CORRUPT = "corrupt"
    POLYGLOT = "polyglot"
    TOO_MANY_PIXELS = "too_many_pixels"
    TOO_SMALL = "too_small"


class Verdict(StrEnum):
    """What becomes of a picture under one species."""

    KEEP = "keep"
    DROP = "drop"
    SET_ASIDE = "set_aside"


class Reason(StrEnum):
    """Why a verdict is what it is."""

    UNIQUE = "unique"
    KEEPER = "keeper"
    NEAR_DUPLICATE = "near_duplicate"
    MIRRORED = "mirrored"
    OUTVOTED = "outvoted"
    CONFLICT = "conflict"
    PLACEHOLDER = "placeholder"
    HOLDOUT = "holdout"
    QUARANTINE = "quarantine"
    LOW_INFORMATION = "low_information"


KEPT = "kept"
"""The `status` of an image row that is not a refusal."""

_HASHES = {"phash", "pdq", "quality"}
_ROWS = 500_000
_NONE = "{path}: there is no table here. Run the stage that writes it first."
_string, _long = pa.string(), pa.int64()

SPECIES = pa.schema(
    {
        "species_id": _string,
        "class_index": pa.int32(),
        "name": _string,
        "authorship": _string,
        "genus": _string,
        "family": _string,
        "major_group": _string,
        "synonyms": pa.list_(_string),
    }
)

CANDIDATES = pa.schema(
    {
        "url": _string,
        "photo_id": _string,
        "species_id": _string,
        "query": _string,
        "source": _string,
        "tier": _string,
        "rank": pa.int32(),
        "page_url": _string,
        "title": _string,
        "licence": _string,
        "creator": _string,
        "rights_holder": _string,
        "observation_id": _string,
        "width": pa.int32(),
        "height": pa.int32(),
    }
)

IMAGES = pa.schema(
    {
        "image_id": _string,
        "url": _string,
        "photo_id": _string,
        "final_url": _string,
        "species_id": _string,
        "query": _string,
        "source": _string,
        "tier": _string,
        "rank": pa.int32(),
        "page_url": _string,
        "title": _string,
        "licence": _string,
        "creator": _string,
        "rights_holder": _string,
        "observation_id": _string,
        "status": _string,
        "http_status": pa.int32(),
        "pack": _string,
        "offset": _long,
        "length": _long,
        "width": pa.int32(),
        "height": pa.int32(),
        "format": _string,
        "phash": pa.uint64(),
        "pdq": pa.binary(32),
        "quality": pa.uint8(),
        "fetched_at": pa.timestamp("ms", tz="UTC"),
    },
    metadata={"hashes": str(PIPELINE)},
)

VERDICTS = pa.schema(
    {
        "image_id": _string,
        "species_id": _string,
        "verdict": _string,
        "reason": _string,
        "cluster_id": _string,
        "keeper_id": _string,
        "rule": _string,
        "distance": pa.int32(),
        "phash_distance": pa.int32(),
        "similarity": pa.float32(),
        "genus": _string,
    }
)

PROVENANCE = pa.schema(
    {
        "keeper_id": _string,
        "image_id": _string,
        "url": _string,
        "page_url": _string,
        "source": _string,
        "tier": _string,
        "licence": _string,
        "creator": _string,
        "rights_holder": _string,
        "observation_id": _string,
    }
)

HOLDOUT = pa.schema(
    {
        "image_id": _string,
        "evaluation_id": _string,
        "why": _string,
        "distance": pa.int32(),
        "phash_distance": pa.int32(),
        "similarity": pa.float32(),
    }
)

INDEX = pa.schema(
    {
        "key": _string,
        "image_id": _string,
        "species_id": _string,
        "label": pa.int32(),
        "split": _string,
        "shard": _string,
        "offset": _long,
        "length": _long,
        "format": _string,
        "width": pa.int32(),
        "height": pa.int32(),
        "source": _string,
        "tier": _string,
        "licence": _string,
        "creator": _string,
        "page_url": _string,
        "observation_id": _string,
    }
)

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
"""verdicts/pairs/<unit>.parquet: pictures whose hashes are near, and what their pixels said."""

CLASSES = pa.schema(
    {
        "label": pa.int32(),
        "class_index": pa.int32(),
        "species_id": _string,
        "name": _string,
        "genus": _string,
        "family": _string,
        "train": _long,
        "val": _long,
        "test": _long,
    }
)

PREDICTIONS = pa.schema(
    {
        "key": _string,
        "label": pa.int32(),
        "truth_rank": pa.int32(),
        "top_labels": pa.list_(pa.int32()),
        "top_probabilities": pa.list_(pa.float32()),
    }
)


def table(schema: pa.Schema, rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Return *rows* as a table of *schema*; every row must have exactly its columns.

    pyarrow alone would drop unknown keys and fill missing ones with nulls, silently.
    Raises ContractError for a row whose keys differ.
    """
    rows = list(rows)
    names = set(schema.names)
    for row in rows:
        if row.keys() != names:
            wrong = ", ".join(sorted(names.symmetric_difference(row.keys())))
            raise ContractError(f"a row has other columns than its table promises: {wrong}.")
    return pa.Table.from_pylist(rows, schema=schema)


def write(path: Path, content: pa.Table) -> None:
    """Publish *content* as *path*."""
    with publish(path) as draft:
        pq.write_table(content, draft, compression="zstd")


def read(path: Path, schema: pa.Schema, columns: Sequence[str] | None = None) -> pa.Table:
    """Return the table at *path*: one parquet file, or all of a folder's in order of name.

    Only *columns* are read where given; columns beyond the schema are left out. Raises
    ContractError where there is nothing, a promised column is absent or of another type, or
    hashes were made by another pipeline.
    """
    wanted = pa.schema([schema.field(name) for name in columns or schema.names])
    files = sorted(path.glob("[!.]*.parquet")) if path.is_dir() else [path]
    if not files:
        raise ContractError(_NONE.format(path=path))
    tables = []
    for file in files:
        with _open(file, wanted) as found:
            tables.append(found.read(columns=wanted.names).select(wanted.names).cast(wanted))
    return pa.concat_tables(tables)


def batches(path: Path, schema: pa.Schema, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Yield *columns* of the file at *path* as `read` returns them, half a million rows a time."""
    wanted = pa.schema([schema.field(name) for name in columns])
    with _open(path, wanted) as found:
        for batch in found.iter_batches(_ROWS, columns=wanted.names):
            yield pa.Table.from_batches([batch]).select(wanted.names).cast(wanted)


@contextlib.contextmanager
def _open(file: Path, wanted: pa.Schema) -> Generator[pq.ParquetFile]:
    """Open a table that has the columns *wanted*. Raises ContractError if it has not."""
    if not file.is_file():
        raise ContractError(_NONE.format(path=file))
    try:
        with pq.ParquetFile(file) as found:
            known = found.schema_arrow
            for field in wanted:
                if field.name not in known.names or known.field(field.name).type != field.type:
                    raise ContractError(
                        f"{file}: column {field.name} is not there as {field.type}. It was written "
                        "by another version, or by another program: run its stage again."
                    )
            made_by = (known.metadata or {}).get(b"hashes", b"none").decode()
            if _HASHES.intersection(wanted.names) and made_by != str(PIPELINE):
                raise ContractError(
                    f"{file}: its hashes were made by pipeline {made_by}, not {PIPELINE}, and "
                    "cannot be compared with others. Fetch its pictures again."
                )
            yield found
    except (OSError, pa.ArrowException) as error:
        raise ContractError(f"{file} is not a readable parquet table: {error}.") from error


def counts(column: pa.ChunkedArray) -> dict[str, int]:
    """Return how often each value occurs in *column*, most frequent first."""
    pairs = [(str(x["values"]), int(x["counts"])) for x in pc.value_counts(column).to_pylist()]
    return dict(sorted(pairs, key=lambda pair: (-pair[1], pair[0])))
