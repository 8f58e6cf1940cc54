"""Tables of text with hundreds of millions of rows, read in batches of a few megabytes.

Tab-separated, as GBIF and iNaturalist write them: no quoting, a header, one row a line.
"""

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv

from flora.errors import ContractError

_BLOCK = 2**24


def batches(
    source: Path | IO[bytes], name: str, columns: Sequence[str], needed: Sequence[str] = ()
) -> Generator[pa.RecordBatch]:
    """Yield the *columns* of a table as text; what the table does not have is empty.

    A row with too few or too many fields is left out. A path that ends in .gz is unpacked on
    the way. Raises ContractError if one of *needed* is absent, or where the text is none.
    """
    compression = "gzip" if isinstance(source, Path) and source.suffix == ".gz" else None
    try:
        with (
            pa.input_stream(str(source), compression=compression)
            if isinstance(source, Path)
            else pa.PythonFile(source, mode="r")
        ) as stream:
            reader = csv.open_csv(
                stream,
                read_options=csv.ReadOptions(block_size=_BLOCK, use_threads=False),
                parse_options=csv.ParseOptions(
                    delimiter="\t", quote_char=False, invalid_row_handler=lambda _: "skip"
                ),
                convert_options=csv.ConvertOptions(
                    include_columns=list(dict.fromkeys([*columns, *needed])),
                    include_missing_columns=True,
                    column_types={column: pa.string() for column in [*columns, *needed]},
                ),
            )
            for batch in reader:
                for column in needed:  # what is there is never null, at most empty
                    if batch.column(column).null_count:
                        raise ContractError(f"{name} has no column {column}.")
                yield batch
    except (pa.ArrowException, OSError, EOFError) as error:
        raise ContractError(f"{name} is not a table of tab-separated text ({error}).") from error


def texts(batch: pa.RecordBatch, column: str) -> pa.Array:
    """Return a column without the blanks around its values, null where it is empty."""
    values = pc.utf8_trim_whitespace(batch.column(column))
    return pc.if_else(pc.equal(values, ""), None, values)


def find(sorted_keys: npt.NDArray[Any], keys: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Return where each of *keys* is in *sorted_keys*; -1 where it is not."""
    if not len(sorted_keys):
        return np.full(len(keys), -1)
    at = np.searchsorted(sorted_keys, keys)
    at[at == len(sorted_keys)] = 0
    return np.where(sorted_keys[at] == keys, at, -1)
