"""Candidates -> one row for each photograph and species, before anything is downloaded.

The same photograph may be listed by many sources, at many addresses, under several species. One
address is fetched for it: at home rather than at who copied it, full size rather than thumbnail,
then as the best tier lists it. Licence, creator, rights holder and page come together from the
best-documented row: no licence is paired with another row's creator.

DuckDB does it, because it holds its memory to a limit and spills to disk beyond it. Rows get
numbers; what decides between them is packed with the number into one integer, so that the best
row is a minimum, and the wide columns are read for winners only.
"""

import shutil
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from crawler.licences import KNOWN
from crawler.photos import COPIERS, THUMBNAIL
from flora import records
from flora.errors import ContractError
from flora.records import Tier

_HOST = r"^https?://(?:[^/?#@]*@)?\[?([^/?#:\]]+)"
_MEMORY = "4GiB"
_THREADS = 2
"""More would be faster, but each takes its share of the memory."""

_ROWS = """
CREATE VIEW rows AS
SELECT c.*, start + file_row_number AS id
FROM read_parquet(getvariable('files'), filename = true, file_row_number = true) c
JOIN starts ON filename = file;

CREATE MACRO packed(first, rank, source, id) AS
  ((first::HUGEINT * 2147483648 + greatest(coalesce(rank, 0), 0)) * 256
    + list_position(getvariable('sources'), source)) * 1099511627776 + id;
CREATE MACRO number(packed) AS (packed % 1099511627776)::BIGINT;

CREATE TABLE planned (
  photo_id VARCHAR, species_id VARCHAR, url VARCHAR, source VARCHAR, tier VARCHAR
)
"""

_PLANNED = """
INSERT INTO planned BY NAME
SELECT photo_id, species_id, url, source, tier FROM read_parquet($1)
"""

_CHOOSE = """
CREATE TABLE claims AS
WITH weighed AS (
  SELECT photo_id, species_id, rank, source, observation_id, id,
    list_position(getvariable('tiers'), tier) AS trust,
    2 * list_contains(getvariable('copiers'), split_part(url, '/', 3))::INT
      + regexp_matches(url, getvariable('thumbnail'))::INT AS far,
    4 * CASE WHEN licence IS NULL THEN 2
             WHEN regexp_matches(licence, getvariable('known')) THEN 0 ELSE 1 END
      + 2 * (creator IS NULL)::INT + (page_url IS NULL)::INT AS gaps
  FROM rows
)
SELECT photo_id, species_id,
  min(packed(trust, rank, source, id)) AS best,
  min(packed(4 * far + trust, rank, source, id)) AS address,
  min(packed(4 * gaps + trust, rank, source, id)) AS credit,
  min(observation_id) AS observation_id
FROM weighed GROUP BY ALL;

CREATE TABLE chosen AS
SELECT number(best) AS best, photo.address, photo.credit, photo.observation_id
FROM claims
JOIN (SELECT photo_id, number(min(address)) AS address, number(min(credit)) AS credit,
        min(observation_id) AS observation_id
      FROM claims GROUP BY photo_id) photo USING (photo_id)
ANTI JOIN planned ON planned.photo_id = claims.photo_id
  AND planned.species_id IS NOT DISTINCT FROM claims.species_id;
DROP TABLE claims;

CREATE TABLE addresses AS
SELECT id, url, width, height FROM rows
WHERE id IN (SELECT address FROM chosen WHERE address <> best);

CREATE TABLE credits AS
SELECT id, licence, creator, rights_holder, page_url FROM rows
WHERE id IN (SELECT credit FROM chosen WHERE credit <> best)
"""

_FRESH = """
CREATE TABLE fresh AS
WITH best AS (
  SELECT r.photo_id, r.species_id, r.query, r.source, r.tier, r.rank, r.title, w.observation_id,
    coalesce(known.url, if(w.address = w.best, r.url, a.url)) AS url,
    if(w.address = w.best, r.width, a.width) AS width,
    if(w.address = w.best, r.height, a.height) AS height,
    if(w.credit = w.best, r.licence, c.licence) AS licence,
    if(w.credit = w.best, r.creator, c.creator) AS creator,
    if(w.credit = w.best, r.rights_holder, c.rights_holder) AS rights_holder,
    if(w.credit = w.best, r.page_url, c.page_url) AS page_url
  FROM rows r
  JOIN chosen w ON r.id = w.best
  LEFT JOIN addresses a ON a.id = nullif(w.address, w.best)
  LEFT JOIN credits c ON c.id = nullif(w.credit, w.best)
  LEFT JOIN (SELECT photo_id, min(url) AS url FROM planned GROUP BY photo_id) known
    ON known.photo_id = r.photo_id
)
SELECT *, coalesce(nullif(regexp_extract(url, getvariable('host'), 1), ''), 'unknown') AS host
FROM best;
DROP TABLE chosen; DROP TABLE addresses; DROP TABLE credits
"""

_CONFLICTS = """
WITH contested AS (
  SELECT photo_id FROM fresh GROUP BY photo_id HAVING count(*) > 1
  UNION SELECT photo_id FROM fresh SEMI JOIN planned USING (photo_id)
), claims AS (
  SELECT photo_id, species_id, url, source, tier FROM fresh SEMI JOIN contested USING (photo_id)
  UNION ALL
  SELECT photo_id, species_id, url, source, tier FROM planned SEMI JOIN contested USING (photo_id)
)
SELECT photo_id, min(url) AS url, list(species_id ORDER BY species_id) AS species_id,
  list(source ORDER BY species_id) AS source, list(tier ORDER BY species_id) AS tier
FROM claims GROUP BY photo_id ORDER BY photo_id
"""


@contextmanager
def database(folder: Path) -> Generator[duckdb.DuckDBPyConnection]:
    """Yield an empty database that spills into a hidden folder in *folder*, gone afterwards."""
    spill = folder / ".merge"
    shutil.rmtree(spill, ignore_errors=True)  # of a run that was killed
    spill.mkdir(parents=True)
    try:
        with duckdb.connect(":memory:") as db:
            db.execute(f"SET memory_limit = '{_MEMORY}'; SET threads = {_THREADS}")
            db.execute("SET preserve_insertion_order = false")
            db.execute("SET temp_directory = $1", [str(spill)])
            yield db
    finally:
        shutil.rmtree(spill, ignore_errors=True)


def merge(
    db: duckdb.DuckDBPyConnection, candidates: Sequence[Path], generations: Sequence[Path]
) -> None:
    """Make the table `fresh` of *db*: what *candidates* list and *generations* have not planned.

    Its columns are those of candidates, and the host of each address.
    A photograph that was planned keeps the address it was planned with. Raises ContractError
    for a file that is no table of candidates.
    """
    files, starts, total = sorted(map(str, candidates)), [], 0
    for file in files:
        starts.append(total)
        total += _rows(file)
    db.register("starts", pa.table({"file": pa.array(files, pa.string()), "start": starts}))
    planned = [str(path) for path in generations if _rows(str(path)) >= 0]
    sources = "SELECT DISTINCT source FROM read_parquet($1) ORDER BY source"
    for name, value in {
        "files": files,
        "sources": [source for (source,) in db.execute(sources, [files]).fetchall()],
        "tiers": [str(tier) for tier in Tier],
        "copiers": list(COPIERS),
        "thumbnail": THUMBNAIL,
        "known": KNOWN,
        "host": _HOST,
    }.items():
        db.execute(f"SET VARIABLE {name} = $1", [value])
    db.execute(_ROWS)
    if planned:
        db.execute(_PLANNED, [planned])
    db.execute(_CHOOSE)
    db.execute(_FRESH)


def conflicts(db: duckdb.DuckDBPyConnection) -> pa.Table:
    """Return the photographs of `fresh` that several species claim, those planned before included.

    Their species, and the source and tier of each claim, are lists in one order.
    """
    return db.sql(_CONFLICTS).to_arrow_table()


def _rows(file: str) -> int:
    """Return how many rows *file* has. Raises ContractError if they are not candidates."""
    try:
        found = pq.ParquetFile(file)
        schema, rows = found.schema_arrow, int(found.metadata.num_rows)
        found.close()
    except (OSError, pa.ArrowException) as error:
        raise ContractError(f"{file} is not a readable parquet table: {error}.") from error
    for field in records.CANDIDATES:
        if field.name not in schema.names or schema.field(field.name).type != field.type:
            raise ContractError(
                f"{file}: column {field.name} is not there as {field.type}. It was written "
                "by another version, or by another program: run its stage again."
            )
    return rows
