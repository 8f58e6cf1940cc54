"""Where one shard ends and the next begins, from the exact sizes of all samples."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from flora import records, tar
from flora.ledger import publish
from flora.stage import Outcome
from shards.config import ShardSettings
from shards.gather import SPILL, bin_path
from shards.split import SPLITS, TRAIN

CUT = SPILL.insert(0, pa.field("spill", pa.int32()))
"""shards/cut.parquet: one row group a shard, the samples in their order."""

Whole = npt.NDArray[np.int64]


def write(folder: Path, settings: ShardSettings, spills: int) -> Outcome:
    """Write cut.parquet; the outcome's detail has the bytes of each shard, by name and in order."""
    samples = pa.concat_tables(_spilled(folder, number) for number in range(spills))
    samples = samples.sort_by("position")
    shards: dict[str, int] = {}
    with (
        publish(folder / "cut.parquet") as draft,
        pq.ParquetWriter(draft, CUT, compression="zstd") as writer,
    ):
        for split, first, last in _splits(folder, samples["position"].to_numpy()):
            part = samples.slice(first, last - first)
            least = settings.readers if split == TRAIN else 1
            start = 0
            for number, end in enumerate(bounds(part["size"].to_numpy(), settings, least)):
                shard = part.slice(start, end - start)
                writer.write_table(shard, end - start)
                size = pc.sum(shard["size"]).as_py() + len(tar.END)
                shards[f"{split}-{number:06}"] = size
                start = end
    return Outcome(rows=len(samples), bytes=sum(shards.values()), detail={"shards": shards})


def bounds(sizes: npt.NDArray[np.integer], settings: ShardSettings, least: int) -> list[int]:
    """Return the end of each shard: the number of samples (of *sizes* bytes) up to there.

    A shard is as full as the next sample allows. Should that give fewer than *least* shards,
    they are cut equally large instead; there are never more shards than samples.
    """
    if not len(sizes):
        return []
    ends: Whole = np.cumsum(sizes, dtype=np.int64)
    room = settings.shard_bytes - len(tar.END)
    full, most = _full(ends, room), max(room, int(sizes.max()))
    for count in range(min(least, len(sizes)), len(sizes) + 1):
        if len(full) >= count:
            break
        even = _even(ends, count)
        if np.diff(ends[even - 1], prepend=0).max() <= most:
            return [int(end) for end in even]
    return full


def _full(ends: Whole, room: int) -> list[int]:
    found, first, base = list[int](), 0, 0
    while first < len(ends):
        first = max(first + 1, int(np.searchsorted(ends, base + room, "right")))
        base = int(ends[first - 1])
        found.append(first)
    return found


def _even(ends: Whole, count: int) -> Whole:
    """Cut at *count* equal parts of the bytes, at least one sample each."""
    shard = np.arange(count)
    found = np.searchsorted(ends, ends[-1] * (shard + 1) // count, "right")
    found = np.maximum.accumulate(np.maximum(found, shard + 1) - shard) + shard
    return np.asarray(np.minimum(found, len(ends) - count + 1 + shard))


def _spilled(folder: Path, number: int) -> pa.Table:
    table = records.read(bin_path(folder, number).with_suffix(".parquet"), SPILL)
    return table.add_column(0, "spill", pa.repeat(pa.scalar(number, pa.int32()), len(table)))


def _splits(folder: Path, positions: Whole) -> Iterator[tuple[str, int, int]]:
    """Yield each split's first and last row among *positions*: they lie one behind the other."""
    classes = records.read(folder / "classes.parquet", records.CLASSES, SPLITS)
    first = end = 0
    for split in SPLITS:
        end += pc.sum(classes[split]).as_py()
        last = int(np.searchsorted(positions, end))
        yield split, first, last
        first = last
