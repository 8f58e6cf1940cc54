"""Whose every picture is: credits.csv, a line a picture, in the order of the index."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from flora.ledger import publish

COLUMNS = ("key", "split", "species_id", "creator", "licence", "page_url", "source")


def write(folder: Path) -> int:
    """Write credits.csv (RFC 4180, UTF-8) from the index of *folder*; return its lines.

    Memory is that of one row group, which is a shard: iter_batches would keep all it has read.
    """
    with publish(folder / "credits.csv") as draft, pq.ParquetFile(folder / "index.parquet") as file:
        schema = pa.schema([file.schema_arrow.field(name) for name in COLUMNS])
        with csv.CSVWriter(draft, schema) as writer:
            for group in range(file.num_row_groups):
                writer.write_table(file.read_row_group(group, list(COLUMNS)).select(COLUMNS))
        return int(file.metadata.num_rows)
