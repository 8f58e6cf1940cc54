"""The units of this stage, as a worker does them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from flora import records
from flora.ledger import publish
from flora.stage import Outcome
from shards import about, cut, fill, forecast, gather, plan, sums, verify
from shards.config import ShardSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What a worker needs for a unit of this stage."""

    data: Path
    settings: ShardSettings
    name: str = ""
    """Of the shard."""
    number: int = 0
    """Of the spill, or of the shard's row group in the cut."""
    spills: int = 0
    """How many there are."""
    straight: bool = False
    """Pack in one pass: the pictures go from the image packs to the shards, unspilled."""
    shards: tuple[str, ...] = ()
    """Those to sum up."""
    checksums: Mapping[str, str] = field(default_factory=dict)
    """By shard, in their order."""


def make_plan(task: Task) -> Outcome:
    """Decide which picture goes where, and by which way."""
    rows = plan.write(task.data, task.settings)
    table = pq.ParquetFile(task.data / "shards" / "plan.parquet")
    groups = [
        pc.sum(table.read_row_group(group, ["length"])["length"]).as_py()
        for group in range(table.num_row_groups)
    ]
    each = gather.runs(len(groups))
    spills = [sum(groups[first : first + each]) for first in range(0, len(groups), each)]
    straight = forecast.Work(pictures=rows, fetched=sum(spills)).straight(task.settings)
    return Outcome(rows=rows, detail={"spills": spills, "straight": straight})


def make_spill(task: Task) -> Outcome:
    """Bring the pictures of some row groups of the plan into their form."""
    return gather.write(task.data, task.settings, task.number, straight=task.straight)


def make_cut(task: Task) -> Outcome:
    """Decide where one shard ends and the next begins."""
    return cut.write(task.data / "shards", task.settings, task.spills)


def make_shard(task: Task) -> Outcome:
    """Write one shard, and its part of the index."""
    return fill.write(task.data, task.name, task.number, straight=task.straight)


def make_sums(task: Task) -> Outcome:
    """Sum up some shards as they lie there."""
    return sums.read(task.data / "shards", task.shards)


def make_index(task: Task) -> Outcome:
    """Join the shards' parts into index.parquet, and write SHA256SUMS."""
    folder, rows = task.data / "shards", 0
    with (
        publish(folder / "index.parquet") as draft,
        pq.ParquetWriter(draft, records.INDEX, compression="zstd") as writer,
    ):
        for name in task.checksums:
            part = records.read(fill.part_path(folder, name), records.INDEX)
            writer.write_table(part, max(len(part), 1))
            rows += len(part)
    with publish(folder / "SHA256SUMS") as draft:
        draft.write_text("".join(f"{sum}  {name}.tar\n" for name, sum in task.checksums.items()))
    return Outcome(rows=rows)


def make_about(task: Task) -> Outcome:
    """Write what people read before they use the shards: card, credits, datasheet."""
    return Outcome(rows=about.write(task.data, task.settings))


def check_shard(task: Task) -> Outcome:
    """Read one shard again, and hold it against checksum and index."""
    path, original = task.data / "shards" / f"{task.name}.tar", task.settings.form == "original"
    rows = verify.check(path.parent, path.name, original=original)
    return Outcome(rows=rows, bytes=path.stat().st_size)
