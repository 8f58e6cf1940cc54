"""What is guessed of each picture, beside what was true: the table that every measure needs.

A row keeps the best guesses and the place of the truth among all classes; never a score a
class. It is written by whoever has scores and read by whoever measures.
"""

import contextlib
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from flora.errors import ContractError
from flora.ledger import publish

Whole = npt.NDArray[np.int64]
Real = npt.NDArray[np.float64]
Words = npt.NDArray[np.object_]

SCHEMA = pa.schema(
    {
        "key": pa.string(),
        "observation_id": pa.string(),
        "label": pa.int32(),
        "truth_rank": pa.int32(),
        "truth_log_probability": pa.float64(),
        "genus_rank": pa.int32(),
        "family_rank": pa.int32(),
        "candidates": pa.int32(),
        "genus_candidates": pa.int32(),
        "family_candidates": pa.int32(),
        "top_labels": pa.list_(pa.int32()),
        "top_log_probabilities": pa.list_(pa.float32()),
    }
)
_GROUP_ROWS = 16_384
_WHOLE = {
    "label": "labels",
    "truth_rank": "ranks",
    "genus_rank": "genus_ranks",
    "family_rank": "family_ranks",
    "candidates": "candidates",
    "genus_candidates": "genus_candidates",
    "family_candidates": "family_candidates",
}
"""Columns of whole numbers, and the fields they are; null is -1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictions:
    """Guesses for n pictures (or observations), the k best of each."""

    keys: Words
    """n names of pictures; or of observations, where those of one were fused."""
    observations: Words
    """n names: rows with the same one show the same plant."""
    labels: Whole
    """n true classes."""
    ranks: Whole
    """n places of the truth among the guesses, 1 the first; 0 if it is not among them at all."""
    truths: Real
    """n natural logarithms of the truth's probability; -inf if it has none."""
    genus_ranks: Whole
    """n places of the true genus, whose probability is its species' sum; -1 if not known."""
    family_ranks: Whole
    candidates: Whole
    """n numbers of classes that a guess may be; genera and families likewise, -1: not known."""
    genus_candidates: Whole
    family_candidates: Whole
    top_labels: npt.NDArray[np.int32]
    """n x k, best first; -1 beyond the last guess."""
    top: npt.NDArray[np.float32]
    """n x k logarithms of their probabilities; -inf beyond the last guess."""

    def __len__(self) -> int:
        return len(self.keys)

    def take(self, rows: Any) -> "Predictions":
        """Return the rows that an index or a mask of numpy names."""
        return Predictions(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})


@contextlib.contextmanager
def writing(path: Path) -> Generator[Callable[[Predictions], None]]:
    """Yield a function that appends rows; publish them as *path* if the block succeeds."""
    with publish(path) as draft, pq.ParquetWriter(draft, SCHEMA, compression="zstd") as file:
        waiting: list[pa.Table] = []

        def append(rows: Predictions) -> None:
            waiting.append(_to_table(rows))
            if sum(len(part) for part in waiting) >= _GROUP_ROWS:
                file.write_table(pa.concat_tables(waiting))
                waiting.clear()

        yield append
        if waiting:
            file.write_table(pa.concat_tables(waiting))


def read(path: Path, *, guesses: int | None = None) -> Predictions:
    """Return the table at *path*, with the first *guesses* of each row, or all.

    Rows are read a group at a time, so that few guesses take little memory. Raises
    ContractError for a file that is not such a table.
    """
    try:
        with pq.ParquetFile(path) as file:
            for field in SCHEMA:
                if field not in file.schema_arrow:
                    raise ContractError(
                        f"{path}: has no column {field.name} of {field.type}, so it is no table of "
                        "predictions of this version. Evaluate the run again."
                    )
            parts = [
                _from_table(file.read_row_group(at, SCHEMA.names), path, guesses)
                for at in range(file.num_row_groups)
            ]
    except (OSError, pa.ArrowException) as error:
        raise ContractError(f"{path}: is not a readable parquet table ({error}).") from error
    return join(parts or [_from_table(SCHEMA.empty_table(), path, guesses)])


def concatenate(parts: Sequence[Path], path: Path) -> None:
    """Publish the tables *parts* as one, *path*: what each rank found of its share."""
    with publish(path) as draft, pq.ParquetWriter(draft, SCHEMA, compression="zstd") as whole:
        for part in parts:
            with pq.ParquetFile(part) as file:
                for group in range(file.num_row_groups):
                    whole.write_table(file.read_row_group(group))


def join(parts: Sequence[Predictions]) -> Predictions:
    """Return the rows of *parts*, one after the other."""
    width = max(part.top.shape[1] for part in parts)
    parts = [_widen(part, width) for part in parts]
    return Predictions(
        **{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Predictions)}
    )


def words(names: Sequence[str | None]) -> Words:
    """Return *names* as an array of str."""
    found = np.empty(len(names), object)
    found[:] = names
    return found


def _to_table(rows: Predictions) -> pa.Table:
    named = rows.top_labels >= 0
    ends = pa.array(np.concatenate([[0], named.sum(1).cumsum()]), pa.int32())
    columns = {
        "key": pa.array(rows.keys, pa.string()),
        "observation_id": pa.array(rows.observations, pa.string()),
        "truth_log_probability": pa.array(rows.truths, pa.float64()),
        "top_labels": pa.ListArray.from_arrays(ends, pa.array(rows.top_labels[named], pa.int32())),
        "top_log_probabilities": pa.ListArray.from_arrays(
            ends, pa.array(rows.top[named], pa.float32())
        ),
    }
    for column, name in _WHOLE.items():
        values = getattr(rows, name)
        columns[column] = pa.array(values, pa.int32(), mask=values < 0)
    return pa.table([columns[name] for name in SCHEMA.names], schema=SCHEMA)


def _from_table(table: pa.Table, path: Path, guesses: int | None) -> Predictions:
    needed = ("key", "truth_rank", "truth_log_probability", "top_labels", "top_log_probabilities")
    if any(table[name].null_count for name in needed):
        raise ContractError(f"{path}: has empty cells. It is no table of predictions of ours.")
    keys = table["key"].to_pylist()
    seen = table["observation_id"].to_pylist()
    whole = {
        name: table[column].fill_null(-1).to_numpy().astype(np.int64)
        for column, name in _WHOLE.items()
    }
    return Predictions(
        keys=words(keys),
        observations=words([at or key for at, key in zip(seen, keys, strict=True)]),
        truths=table["truth_log_probability"].to_numpy().astype(np.float64),
        top_labels=_square(table["top_labels"], guesses, -1, np.int32),
        top=_square(table["top_log_probabilities"], guesses, -np.inf, np.float32),
        **whole,
    )


def _square(column: pa.ChunkedArray, guesses: int | None, nothing: float, kind: Any) -> Any:
    """Return lists as an array: cut at *guesses*, filled up with *nothing*."""
    lists = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    ends = np.asarray(lists.offsets)
    counts = np.diff(ends)
    width = min(int(counts.max(initial=0)), guesses or int(counts.max(initial=0)))
    found = np.full((len(counts), width), nothing, kind)
    places = np.arange(ends[0], ends[-1]) - np.repeat(ends[:-1], counts)
    values = np.asarray(lists.values)[ends[0] : ends[-1]]
    found[np.arange(width) < counts[:, None]] = values[places < width]
    return found


def _widen(rows: Predictions, width: int) -> Predictions:
    more = ((0, 0), (0, width - rows.top.shape[1]))
    return replace(
        rows,
        top_labels=np.pad(rows.top_labels, more, constant_values=-1),
        top=np.pad(rows.top, more, constant_values=-np.inf),
    )
