"""`python -m shards`: verdicts -> plan -> shards -> index."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from flora import config, records
from flora.command import Options, guard, options, parser
from flora.config import digest
from flora.console import say
from flora.ledger import Ledger, Receipt, sweep
from flora.packs import Packs
from flora.stage import Outcome, Run, Unit
from flora.tally import Meter
from shards import pack, plan
from shards.config import ShardSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What a worker needs for a unit of this stage."""

    data: Path
    settings: ShardSettings
    shard: str = ""
    row_group: int = 0


def shards(options: Options) -> None:
    """Pack what the verdicts keep."""
    settings = options.settings("shards", ShardSettings)
    folder = options.data / "shards"
    if options.dry_run:
        say(config.show(settings, "shards"))
    recipe = _recipe(options.data, settings)
    first = Unit(name="plan", recipe=recipe, task=Task(data=options.data, settings=settings))
    with Run(options) as run:
        if options.dry_run:
            run.units("plan", folder, [first], make_plan)
            return
        with Ledger(folder).lock():
            sweep(folder)
            sweep(folder / "parts")
            planned = run.units("plan", folder, [first], make_plan)["plan"]
            units = _units(options.data, settings, planned)
            _forget_others(folder, [unit.name for unit in units])
            run.units("shards", folder, units, fill)
            last = Unit(name="index", recipe=digest(planned.recipe, planned.finished_at),
                        task=first.task)  # fmt: skip
            run.units("index", folder, [last], make_index)
    say(f"  {planned.rows:,} pictures in {len(units)} shards")


def make_plan(task: Task) -> Outcome:
    """Decide which picture goes where."""
    return Outcome(rows=plan.write(task.data, task.settings))


def fill(task: Task) -> Outcome:
    """Write one shard, and its part of the index."""
    folder = task.data / "shards"
    table = pq.ParquetFile(folder / "plan.parquet").read_row_group(task.row_group)
    meter = Meter("shards")
    with Packs(task.data / "images") as packs:
        offsets = pack.write(folder / task.shard, table.to_pylist(), packs, meter)
    meter.flush()
    index = table.set_column(table.column_names.index("offset"), "offset", pa.array(offsets))
    index = index.append_column("key", index["image_id"])
    index = index.select(records.INDEX.names).cast(records.INDEX)
    records.write(_part(folder, task.shard), index)
    return Outcome(rows=index.num_rows, bytes=(folder / task.shard).stat().st_size)


def make_index(task: Task) -> Outcome:
    """Join the shards' parts into index.parquet."""
    folder = task.data / "shards"
    parts = [records.read(_part(folder, name), records.INDEX) for name in plan.shard_names(folder)]
    records.write(folder / "index.parquet", pa.concat_tables(parts))
    return Outcome(rows=sum(part.num_rows for part in parts))


def _recipe(data: Path, settings: ShardSettings) -> str:
    made_from = {
        f"{stage}/{name}": receipt.recipe + receipt.finished_at
        for stage in ("checklist", "images", "verdicts")
        for name, receipt in Ledger(data / stage).receipts().items()
    }
    return digest(settings, made_from)


def _units(data: Path, settings: ShardSettings, planned: Receipt) -> list[Unit]:
    return [
        Unit(
            name=Path(name).stem,
            recipe=digest(planned.recipe, planned.finished_at, name),
            task=Task(data=data, settings=settings, shard=name, row_group=group),
        )
        for group, name in enumerate(plan.shard_names(data / "shards"))
    ]


def _part(folder: Path, shard: str) -> Path:
    return folder / "parts" / f"{Path(shard).stem}.parquet"


def _forget_others(folder: Path, units: Sequence[str]) -> None:
    """Remove the shards of an earlier plan that this one does not have."""
    for path in [*folder.glob("[!.]*.tar"), *(folder / "parts").glob("[!.]*.parquet")]:
        if path.stem not in units:
            Ledger(folder).forget(path.stem)
            path.unlink()


def main(arguments: list[str] | None = None) -> int:
    """Run the stage; return its exit code."""
    flags = parser("shards", "Pack the kept pictures into WebDataset shards.")
    args = flags.parse_args(arguments)
    return guard(lambda: shards(options(args)), verbose=args.verbose)


if __name__ == "__main__":
    sys.exit(main())
