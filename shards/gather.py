"""Pictures out of the packs, in their form and wrapped up as samples: a spill a unit.

Spills are what makes a global shuffle two sequential passes: each has the samples of a stretch
of the packs, in runs that are sorted by place in the final order. A shard is a stretch of that
order, and so one stretch of every run. A run is what fits into memory; where there are many, a
spill has several of them, for files are counted.

    spills/00000.bin       the samples, one after the other
    spills/00000.parquet   SPILL: where each lies, and where it goes

In one pass (`straight`) a spill has no pictures, only what is wrapped around them: the shard's
unit takes them from the packs.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from flora import jpegs, records
from flora.errors import ContractError
from flora.ledger import publish
from flora.packs import Packs, Place
from flora.pictures import FlawedPictureError
from flora.stage import Outcome
from flora.tally import Meter
from shards import form, pack
from shards.config import ShardSettings

SPILL = pa.schema(
    {
        "position": pa.int64(),  # in the order over all pictures
        "start": pa.int64(),  # in the spill
        "size": pa.int32(),  # of the whole sample
        "before": pa.int32(),  # bytes before the picture's
        "length": pa.int32(),  # the picture's bytes
        "pack": pa.string(),  # where they lie, if not here
        "offset": pa.int64(),
    }
)

_SPILLS = 128
"""There are no more of them."""
_LISTED = ("image_id", "format", "source", "tier", "licence", "creator", "page_url", "url",
           "observation_id", "width", "height")  # fmt: skip
_BUFFER = 8 << 20


class _Sample(NamedTuple):
    position: int
    before: bytes
    picture: bytes
    """Empty in one pass."""
    after: bytes
    length: int
    """Of the picture, as it will lie in the shard."""
    pack: str | None = None
    offset: int | None = None


def runs(groups: int) -> int:
    """Return how many row groups of the plan a spill holds, each a run, if there are *groups*."""
    return max(1, -(-groups // _SPILLS))


def bin_path(folder: Path, number: int) -> Path:
    """Return where the samples of spill *number* lie; SPILL has the same name, as parquet."""
    return folder / "spills" / f"{number:05}.bin"


def write(data: Path, settings: ShardSettings, number: int, *, straight: bool) -> Outcome:
    """Write spill *number* from its row groups of the plan.

    A picture that cannot be brought into its form is counted as refused, and left out.
    """
    folder, meter = data / "shards", Meter("gather")
    path, tables, start = bin_path(folder, number), list[pa.Table](), 0
    with (
        pq.ParquetFile(folder / "plan.parquet") as plan,
        publish(path) as draft,
        draft.open("wb", buffering=_BUFFER) as file,
    ):
        each = runs(plan.num_row_groups)
        for group in range(plan.num_row_groups)[number * each :][:each]:
            rows = _rows(data, plan.read_row_group(group))
            run = _straight(rows) if straight else _converted(rows, data, settings, meter)
            tables.append(_append(file, run, start))
            start = file.tell()
    meter.flush()
    table = pa.concat_tables(tables)
    records.write(path.with_suffix(".parquet"), table)
    refused: Counter[str] = meter.totals.refused
    return Outcome(rows=len(table), bytes=start, refused=dict(refused))


def _rows(data: Path, plan: pa.Table) -> pa.Table:
    """Return the rows of *plan*, each with its listing in the images tables and its name."""
    listed = _listings(data / "images" / "tables", plan)
    if not listed["image_id"].equals(plan["image_id"]):
        raise ContractError(
            f"{data / 'images' / 'tables'}: not what the plan was made from. "
            f"Delete {data / 'shards' / 'receipts' / 'plan.json'} to have a new one made."
        )
    names = records.read(data / "shards" / "classes.parquet", records.CLASSES, ["name"])["name"]
    table = listed.append_column("name", names.take(plan["label"]))
    for column in ("species_id", "label", "position", "pack", "offset", "length"):
        table = table.append_column(column, plan[column])
    return table


def _listings(tables: Path, plan: pa.Table) -> pa.Table:
    """Return the rows of the images tables that *plan* names, in its order."""
    named = plan["table"].combine_chunks().dictionary_encode()
    codes, rows = named.indices.to_numpy(), plan["row"].to_numpy()
    parts, places = [], []
    for code, name in enumerate(named.dictionary.to_pylist()):
        mine = np.flatnonzero(codes == code)
        table = records.read(tables / f"{name}.parquet", records.IMAGES, _LISTED)
        parts.append(table.take(pa.array(rows[mine])))
        places.append(mine)
    return pa.concat_tables(parts).take(pa.array(np.argsort(np.concatenate(places))))


def _each(rows: pa.Table) -> Iterator[dict[str, Any]]:
    """Yield *rows* one by one: so many dictionaries at a time would keep the collector busy."""
    names = rows.column_names
    for values in zip(*(column.to_pylist() for column in rows.columns), strict=True):
        yield dict(zip(names, values, strict=True))


def _straight(rows: pa.Table) -> Iterator[_Sample]:
    """Yield the samples of *rows* in order of position, without their pictures."""
    for row in _each(rows.sort_by("position")):
        before, after = pack.wrap(row, row["format"], row["length"])
        place = row["pack"], row["offset"]
        yield _Sample(row["position"], before, b"", after, row["length"], *place)


def _converted(rows: pa.Table, data: Path, settings: ShardSettings, meter: Meter) -> list[_Sample]:
    """Return the samples of *rows* in order of position, each in the form that is asked for."""
    read = _read(rows, data, settings, meter)
    return sorted(read, key=lambda sample: sample.position)


def _read(rows: pa.Table, data: Path, settings: ShardSettings, meter: Meter) -> Iterator[_Sample]:
    """Yield the samples of *rows*, in the order of the packs."""
    columns = (rows[name].to_pylist() for name in Place._fields)
    places = [Place(*place) for place in zip(*columns, strict=True)]
    with Packs(data / "images") as packs:
        for row, place, picture in zip(_each(rows), places, packs.each(places), strict=True):
            format = row["format"]
            if settings.form != "original":
                try:
                    picture, format = form.convert(picture, format, settings)
                except FlawedPictureError as error:
                    meter.count(bytes=place.length, refused=str(error.flaw))
                    continue
                frame = jpegs.frame(picture)
                row |= {"width": frame.width, "height": frame.height}
            before, after = pack.wrap(row, format, len(picture))
            meter.count(rows=1, bytes=place.length)
            yield _Sample(row["position"], before, picture, after, len(picture))


def _append(file: IO[bytes], run: Iterable[_Sample], start: int) -> pa.Table:
    """Write the samples of *run* at *start*; return their table."""
    rows = []
    for position, before, picture, after, length, *place in run:
        size = len(before) + length + len(after)
        rows.append((position, start, size, len(before), length, *place))
        file.writelines((before, picture, after))
        start += size - length + len(picture)
    columns = zip(*rows, strict=True) if rows else [()] * len(SPILL)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, SPILL, strict=True)]
    return pa.table(arrays, schema=SPILL)
