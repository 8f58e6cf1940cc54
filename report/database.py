"""The tables of a data folder as one database; a stage that has not run has empty ones.

DuckDB reads only the columns that a question is about, a row group at a time, in bounded memory.
Every question states the order of its answers: the same tables make the same page.
"""

import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from flora import records
from flora.errors import ContractError
from flora.records import Reason

Database = duckdb.DuckDBPyConnection

CONTESTED = (Reason.OUTVOTED, Reason.CONFLICT, Reason.QUARANTINE, Reason.PLACEHOLDER)
"""Why a picture leaves a species for another's sake."""

_TABLES = {
    "names": ("candidates/names.parquet", records.NAMES),
    "candidates": ("candidates/tables/[!.]*.parquet", records.CANDIDATES),
    "plans": ("images/plan-[0-9]*.parquet", records.CANDIDATES),
    "images": ("images/tables/[!.]*.parquet", records.IMAGES),
    "verdicts": ("verdicts/verdicts.parquet", records.VERDICTS),
    "pairs": ("verdicts/pairs/[!.]*.parquet", records.PAIRS),
    "shelf": ("shards/index.parquet", records.INDEX),
    "classes": ("shards/classes.parquet", records.CLASSES),
    "checklist": ("checklist/species.parquet", records.SPECIES),
}

_MEMORY = "3GiB"
_THREADS = 2

_STOCK = {
    True: "SELECT image_id, species_id FROM verdicts WHERE verdict = 'keep'",
    False: "SELECT DISTINCT image_id, species_id FROM images WHERE status = 'kept'",
}
"""The pictures there are, by species: those kept, or those fetched where none is judged yet."""

_SPECIES = """
CREATE TABLE species AS
WITH accepted AS (SELECT species_id, name, family, true AS accepted FROM checklist),
wanted AS (SELECT DISTINCT species_id, true AS wanted FROM names),
planned AS (SELECT species_id, count(*) AS listed FROM plans GROUP BY ALL),
stocked AS (SELECT species_id, count(*) AS pictures FROM stock GROUP BY ALL),
judged AS (
  SELECT species_id, count(*) AS judged,
    count(*) FILTER (list_contains(getvariable('contested'), reason)) AS contested
  FROM verdicts GROUP BY ALL
)
SELECT species_id, coalesce(name, species_id) AS name, family,
  coalesce(accepted, false) AS accepted,
  coalesce(wanted, (SELECT count(*) = 0 FROM names)) AS wanted,
  coalesce(listed, 0) AS listed, coalesce(pictures, 0) AS pictures,
  coalesce(judged, 0) AS judged, coalesce(contested, 0) AS contested
FROM accepted FULL JOIN wanted USING (species_id) FULL JOIN planned USING (species_id)
  FULL JOIN stocked USING (species_id) FULL JOIN judged USING (species_id)
WHERE species_id IS NOT NULL
"""
"""All species of the checklist and whatever else is listed; where no names were asked for, all
are wanted."""


@contextmanager
def opened(data: Path) -> Generator[Database]:
    """Yield the tables of *data* as views, with two of our own: `stock` and `species`.

    Raises ContractError for a table that cannot be read or lacks a column.
    """
    try:
        with tempfile.TemporaryDirectory() as spill, duckdb.connect(":memory:") as db:
            db.execute(f"SET memory_limit = '{_MEMORY}'; SET threads = {_THREADS}")
            db.execute("SET temp_directory = $1", [spill])
            db.execute("SET VARIABLE contested = $1", [[str(each) for each in CONTESTED]])
            for name, (pattern, schema) in _TABLES.items():
                view(db, name, sorted(data.glob(pattern)), schema)
            (judged,) = db.execute("SELECT count(*) > 0 FROM verdicts").fetchall()[0]
            db.execute(f"CREATE VIEW stock AS {_STOCK[judged]}")
            db.execute(_SPECIES)
            yield db
    except (duckdb.IOException, duckdb.InvalidInputException) as error:
        raise ContractError(f"{data}: a table cannot be read ({_brief(error)}).") from error


def view(db: Database, name: str, files: list[Path], schema: pa.Schema) -> None:
    """Have *files* answer to *name*: the columns of *schema*, without rows if there are none."""
    if not files:
        db.register(name, schema.empty_table())
        return
    db.execute(f"SET VARIABLE {name}_files = $1", [[str(path) for path in files]])
    columns = ", ".join(f'"{column}"' for column in schema.names)
    try:
        db.execute(
            f"CREATE VIEW {name} AS SELECT {columns} FROM read_parquet(getvariable('{name}_files'))"
        )
    except (duckdb.BinderException, duckdb.IOException, duckdb.InvalidInputException) as error:
        raise ContractError(
            f"{files[0].parent}: a table is not as its stage promised ({_brief(error)}). "
            "Run that stage again."
        ) from error


def _brief(error: duckdb.Error) -> str:
    """Return what DuckDB says, without the query."""
    return str(error).partition("\n")[0]


def ask(db: Database, query: str, **values: object) -> list[dict[str, Any]]:
    """Return the rows that answer *query*, in which `$name` stands for a value."""
    answer = db.execute(query, values)
    names = [column[0] for column in answer.description or ()]
    return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]
