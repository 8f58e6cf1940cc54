"""Any list of URLs as candidates, for who has one already and wants no search.

A parquet or csv file with a column `url` (other columns named as in the candidates table are
kept), or a text file with a URL a line.
"""

from collections.abc import Generator, Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from flora import records
from flora.errors import ConfigError
from flora.ledger import publish
from flora.records import Tier

_ROWS = 100_000


def prepare(file: Path, table: Path) -> int:
    """Write the URLs in *file* as the table of candidates *table*; return how many there are.

    Each URL stands for itself: none is taken for another address of the same photograph.
    Raises ConfigError for a file that is no such list.
    """
    count = 0
    try:
        with (
            publish(table) as draft,
            pq.ParquetWriter(draft, records.CANDIDATES, compression="zstd") as writer,
        ):
            for batch in _batches(file):
                rows = _candidates(batch, file)
                writer.write_table(rows)
                count += rows.num_rows
            if count == 0:
                raise ConfigError(f"--urls {file}: there is no URL in it.")
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        if isinstance(error, OSError) and error.filename not in (None, str(file)):
            raise
        raise ConfigError(f"--urls {file}: cannot be read ({error}).") from error
    return count


def _batches(file: Path) -> Generator[pa.RecordBatch]:
    kind = file.suffix.lower()
    if kind == ".parquet":
        with pq.ParquetFile(file) as source:
            yield from source.iter_batches(_ROWS)
    elif kind in (".csv", ".tsv"):
        form = pa.csv.ParseOptions(delimiter="\t" if kind == ".tsv" else ",")
        with pa.csv.open_csv(file, parse_options=form) as reader:
            yield from reader
    else:
        with file.open(encoding="utf-8-sig") as lines:
            yield from _lines(lines)


def _lines(lines: Iterable[str]) -> Generator[pa.RecordBatch]:
    batch: list[str] = []
    for line in lines:
        if line.strip() and not line.startswith("#"):
            batch.append(line.strip())
        if len(batch) == _ROWS:
            yield pa.record_batch({"url": batch})
            batch = []
    yield pa.record_batch({"url": pa.array(batch, pa.string())})


def _candidates(batch: pa.RecordBatch, file: Path) -> pa.Table:
    if "url" not in batch.schema.names:
        raise ConfigError(
            f"--urls {file}: there is no column url, only {', '.join(batch.schema.names)}."
        )
    url = batch["url"].cast(pa.string())
    batch = batch.filter(pc.fill_null(pc.greater(pc.utf8_length(url), 0), False))
    url = batch["url"].cast(pa.string())
    fixed = {
        "url": url,
        "photo_id": url,
        "source": pa.repeat("urls", len(url)),
        "tier": pa.repeat(str(Tier.WEB), len(url)),
    }
    columns = {}
    for field in records.CANDIDATES:
        given = field.name in batch.schema.names
        nothing = pa.nulls(len(url), field.type)
        columns[field.name] = fixed.get(
            field.name, batch[field.name].cast(field.type) if given else nothing
        )
    return pa.table(columns, schema=records.CANDIDATES)
