"""The shards and all that did not get into them, counted: what card and datasheet are made of.

DuckDB counts, in bounded memory and with every answer in a stated order: the same tables give
the same numbers in the same places.
"""

import shutil
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from flora.errors import ContractError
from flora.ledger import Ledger
from flora.records import Tier
from shards.split import SPLITS
from shards.verify import read_sums

Rows = Sequence[tuple[Any, ...]]

COUNTS = pa.schema(
    {
        "species_id": pa.string(),
        "name": pa.string(),
        "split": pa.string(),
        "tier": pa.string(),
        "images": pa.int64(),
    }
)
"""shards/counts.parquet: in order of label, split and tier; what has no picture has no row."""

ENDS = 10
"""Species that head and tail have each."""

_MEMORY = "768MiB"
_THREADS = 2

_VIEWS = """
CREATE VIEW shelf AS SELECT * FROM read_parquet(getvariable('index'));
CREATE VIEW classes AS SELECT * FROM read_parquet(getvariable('classes'));
CREATE VIEW listings AS
  SELECT source, status, fetched_at FROM read_parquet(getvariable('images'));
CREATE VIEW verdicts AS
  SELECT image_id, verdict, reason FROM read_parquet(getvariable('verdicts'));
CREATE MACRO nth_split(split) AS list_position(getvariable('splits'), split);
CREATE MACRO nth_tier(tier) AS list_position(getvariable('tiers'), tier);
CREATE TABLE counts AS
  SELECT label, split, tier, count(*) AS images FROM shelf GROUP BY ALL;
CREATE TABLE species AS
  SELECT label, name, sum(images) AS images,
    coalesce(sum(images) FILTER (split = 'train'), 0) AS train,
    coalesce(sum(images) FILTER (split = 'val'), 0) AS val,
    coalesce(sum(images) FILTER (split = 'test'), 0) AS test
  FROM counts JOIN classes USING (label) GROUP BY label, name
"""

_COUNTS = """
SELECT species_id, name, split, tier, images FROM counts JOIN classes USING (label)
ORDER BY label, nth_split(split), nth_tier(tier)
"""

_ANSWERS = {
    "splits": """
SELECT split, count(*), count(DISTINCT label), count(DISTINCT shard), sum(length)::BIGINT
FROM shelf GROUP BY split ORDER BY nth_split(split)""",
    "tiers": """
SELECT tier, sum(images)::BIGINT, count(DISTINCT label),
  sum(images) FILTER (split = 'train')::BIGINT, sum(images) FILTER (split = 'val')::BIGINT,
  sum(images) FILTER (split = 'test')::BIGINT
FROM counts GROUP BY tier ORDER BY nth_tier(tier)""",
    "sources": """
SELECT source, tier, count(*) AS n, count(DISTINCT label)
FROM shelf GROUP BY source, tier ORDER BY n DESC, source, tier""",
    "licences": """
SELECT licence, count(*) AS n FROM shelf GROUP BY licence ORDER BY n DESC, licence NULLS LAST""",
    "formats": "SELECT format, count(*) AS n FROM shelf GROUP BY format ORDER BY n DESC, format",
    "owners": """
SELECT count(DISTINCT creator), count(*) FILTER (creator IS NULL),
  count(*) FILTER (page_url IS NULL), count(*) FILTER (licence IS NULL) FROM shelf""",
    "sizes": """
SELECT unnest(quantile_disc(least(width, height), [0.05, 0.5, 0.95])),
  unnest(quantile_disc(length, [0.05, 0.5, 0.95])) FROM shelf""",
    "head": f"""
SELECT name, images::BIGINT, train::BIGINT, val::BIGINT, test::BIGINT, label
FROM species ORDER BY images DESC, label LIMIT {ENDS}""",
    "tail": f"""
SELECT name, images::BIGINT, train::BIGINT, val::BIGINT, test::BIGINT, label
FROM species ORDER BY images, label LIMIT {ENDS}""",
    "spread": """
SELECT CASE WHEN train = 0 THEN '0' WHEN train = 1 THEN '1' WHEN train <= 10 THEN '2 to 10'
            WHEN train <= 100 THEN '11 to 100' ELSE 'more than 100' END AS bin,
  count(*), sum(images)::BIGINT FROM species GROUP BY bin ORDER BY min(train)""",
    "refusals": """
SELECT source, status, count(*) AS n FROM listings GROUP BY source, status
ORDER BY source, n DESC, status""",
    "fetched": """
SELECT strftime(min(fetched_at), '%Y-%m-%d'), strftime(max(fetched_at), '%Y-%m-%d')
FROM listings WHERE fetched_at IS NOT NULL HAVING count(*) > 0""",
    "verdicts": """
SELECT verdict, reason, count(*) AS n FROM verdicts GROUP BY verdict, reason
ORDER BY verdict = 'keep' DESC, n DESC, verdict, reason""",
    "left_out": """
SELECT (SELECT count(*) FROM verdicts WHERE verdict = 'keep')
  - (SELECT count(*) FROM shelf)""",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """How many there are of everything."""

    splits: Rows
    """Split; its pictures, species, shards, bytes of pictures."""
    tiers: Rows
    """Tier; its pictures, species, pictures in train, val, test (None for none)."""
    sources: Rows
    """Source, tier; pictures, species. The most frequent first."""
    licences: Rows
    """Licence as its source words it, or None; pictures. The most frequent first."""
    formats: Rows
    """Format; pictures. The most frequent first."""
    owners: Rows
    """One row: creators; pictures without a creator, without a page, without a licence."""
    sizes: Rows
    """Shorter side in pixels, bytes: the 5th, 50th and 95th percentile."""
    head: Rows
    """Name; pictures, in train, val, test; label. Of the species with the most."""
    tail: Rows
    """The same of the species with the fewest."""
    spread: Rows
    """Training pictures a species; species with so many, their pictures."""
    refusals: Rows
    """Source, status (`kept`, or why not); listings."""
    fetched: Rows
    """One row, or none: the first and the last day on which anything was fetched."""
    verdicts: Rows
    """Verdict, reason; pictures under a species. Kept ones first."""
    left_out: Rows
    """One row: pictures that were to be kept, and are in no shard."""
    unformed: Mapping[str, int]
    """Of them, those that could not be brought into the form, by reason."""
    shards: Mapping[str, str]
    """File name -> sha256."""

    @property
    def pictures(self) -> int:
        """In all shards."""
        return sum(row[1] for row in self.splits)

    @property
    def bytes(self) -> int:
        """Of all pictures, without what the tars add."""
        return sum(row[4] for row in self.splits)

    @property
    def species(self) -> int:
        """That have a picture."""
        return sum(row[1] for row in self.spread)


@contextmanager
def database(data: Path) -> Generator[duckdb.DuckDBPyConnection]:
    """Yield a database over the tables of *data*, with the views and tables named above.

    Raises ContractError where a table is not there or is none.
    """
    spill = data / "shards" / ".census"
    shutil.rmtree(spill, ignore_errors=True)  # of a run that was killed
    try:
        with duckdb.connect(":memory:") as db:
            db.execute(f"SET memory_limit = '{_MEMORY}'; SET threads = {_THREADS}")
            db.execute("SET temp_directory = $1", [str(spill)])
            for name, value in {**_files(data), "splits": list(SPLITS),
                                "tiers": [str(tier) for tier in Tier]}.items():  # fmt: skip
                db.execute(f"SET VARIABLE {name} = $1", [value])
            db.execute(_VIEWS)
            yield db
    except (duckdb.BinderException, duckdb.InvalidInputException) as error:
        raise ContractError(
            f"{data}: a table is not as its stage promised ({error}). Run that stage again."
        ) from error
    finally:
        shutil.rmtree(spill, ignore_errors=True)


def take(db: duckdb.DuckDBPyConnection, folder: Path) -> Census:
    """Count everything in *db* and the shards' *folder*."""
    refused = Counter[str]()
    for receipt in Ledger(folder).receipts().values():
        refused.update(receipt.refused)
    return Census(
        **{name: db.execute(query).fetchall() for name, query in _ANSWERS.items()},
        unformed=dict(sorted(refused.items())),
        shards={name: digest for name, digest in read_sums(folder).items() if name[-4:] == ".tar"},
    )


def counts(db: duckdb.DuckDBPyConnection) -> pa.Table:
    """Return the table COUNTS."""
    return db.sql(_COUNTS).to_arrow_table().cast(COUNTS)


def _files(data: Path) -> dict[str, list[str]]:
    """Return the files of each table that is counted. Raises ContractError for one without."""
    places = {
        "index": [data / "shards" / "index.parquet"],
        "classes": [data / "shards" / "classes.parquet"],
        "images": sorted((data / "images" / "tables").glob("[!.]*.parquet")),
        "verdicts": [data / "verdicts" / "verdicts.parquet"],
    }
    for name, files in places.items():
        if not files or not files[0].is_file():
            where = files[0] if files else data / name / "tables"
            raise ContractError(
                f"{where}: there is no table here. Run the stage that writes it first."
            )
    return {name: [str(path) for path in files] for name, files in places.items()}
