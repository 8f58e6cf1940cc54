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
from collections.abc import Iterator, Sequence
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
    place: Place
    """With the length of the picture as it will lie in the shard."""


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
            run = list(_straight(rows) if straight else _converted(rows, data, settings, meter))
            tables.append(_append(file, run, start, straight))
            start = file.tell()
    meter.flush()
    table = pa.concat_tables(tables)
    records.write(path.with_suffix(".parquet"), table)
    refused: Counter[str] = meter.totals.refused
    return Outcome(rows=len(table), bytes=start, refused=dict(refused))


def _rows(data: Path, plan: pa.Table) -> list[dict[str, Any]]:
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
    found: list[dict[str, Any]] = table.to_pylist()
    return found


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


def _straight(rows: Sequence[dict[str, Any]]) -> Iterator[_Sample]:
    for row in rows:
        before, after = pack.wrap(row, row["format"], row["length"])
        place = Place(row["pack"], row["offset"], row["length"])
        yield _Sample(row["position"], before, b"", after, place)


def _converted(
    rows: Sequence[dict[str, Any]], data: Path, settings: ShardSettings, meter: Meter
) -> Iterator[_Sample]:
    """Yield the samples of *rows*, each with its picture in the form the settings ask for."""
    places = [Place(row["pack"], row["offset"], row["length"]) for row in rows]
    with Packs(data / "images") as packs:
        for row, place, picture in zip(rows, places, packs.each(places), strict=True):
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
            yield _Sample(row["position"], before, picture, after,
                          place._replace(length=len(picture)))  # fmt: skip


def _append(file: IO[bytes], run: list[_Sample], start: int, straight: bool) -> pa.Table:
    """Write the samples of *run* at *start*, in order of position; return their table."""
    rows = []
    for sample in sorted(run, key=lambda sample: sample.position):
        pack, offset, length = sample.place
        wrapped = len(sample.before) + len(sample.after)
        row = (sample.position, start, wrapped + length, len(sample.before), length)
        rows.append((*row, pack, offset) if straight else (*row, None, None))
        start += file.write(sample.before)
        start += file.write(sample.picture)
        start += file.write(sample.after)
    columns = zip(*rows, strict=True) if rows else [()] * len(SPILL)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, SPILL, strict=True)]
    return pa.table(arrays, schema=SPILL)
