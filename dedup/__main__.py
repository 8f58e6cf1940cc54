"""`python -m dedup`: hashes -> pairs -> pixels -> verdicts."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dedup import pairs, verdicts
from dedup.config import DedupSettings
from flora import config, pictures, records
from flora.command import Options, guard, options, parser
from flora.config import digest
from flora.console import say
from flora.ledger import Ledger, slug, sweep
from flora.packs import Packs
from flora.records import KEPT
from flora.stage import Outcome, Run, Unit
from flora.tally import Meter

PAIRS = pa.schema(
    {
        "a": pa.string(),
        "b": pa.string(),
        "distance": pa.uint8(),
        "similarity": pa.float32(),
    }
)
"""Pictures whose hashes are near (verdicts/pairs/): a < b, and how alike their pixels are."""

_COLUMNS = ["image_id", "species_id", "url", "tier", "licence", "status", "width", "height",
            "pack", "offset", "length", "phash"]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What a worker needs for a unit of this stage."""

    images: Path
    folder: Path
    """The verdicts folder."""
    settings: DedupSettings
    unit: str
    start: int = 0
    stop: int = 0


def dedup(options: Options) -> None:
    """Decide for every picture of the images tables under which species it stays, if any."""
    settings = options.settings("dedup", DedupSettings)
    images, folder = options.data / "images", options.data / "verdicts"
    if options.dry_run:
        say(config.show(settings, "dedup"))
    fetched = Ledger(images).receipts()
    recipe = digest(settings, {name: r.finished_at + r.recipe for name, r in fetched.items()})

    def unit(name: str, start: int = 0, stop: int = 0) -> Unit:
        task = Task(images=images, folder=folder, settings=settings, unit=name,
                    start=start, stop=stop)  # fmt: skip
        return Unit(name=name, recipe=digest(recipe, start, stop), task=task)

    with Run(options) as run:
        if options.dry_run:
            run.units("verdicts", folder, [unit("verdicts")], decide)
            return
        with Ledger(folder).lock():
            sweep(folder)
            found = run.units("pairs", folder, [unit("pairs")], find)["pairs"].rows
            size = settings.unit_pairs
            parts = [
                unit(f"pixels/{start // size:05}", start, min(start + size, found))
                for start in range(0, found, size)
            ]
            _forget_others(folder, [part.name for part in parts])
            run.units("pixels", folder, parts, compare)
            receipt = run.units("verdicts", folder, [unit("verdicts")], decide)["verdicts"]
    for reason, count in receipt.detail.items():
        say(f"  {reason}: {count:,}")


def find(task: Task) -> Outcome:
    """Write all pairs of pictures whose hashes are near."""
    table = _kept(task.images, ["image_id", "phash", "status"])
    first = np.unique(table["image_id"].to_numpy(zero_copy_only=False), return_index=True)[1]
    table = table.take(first)
    i, j, apart = pairs.near_pairs(table["phash"].to_numpy(), task.settings.radius)
    ids = table["image_id"]
    empty = pa.nulls(len(i), pa.float32())
    found = pa.table([ids.take(i), ids.take(j), pa.array(apart), empty], schema=PAIRS)
    records.write(task.folder / "pairs.parquet", found)
    return Outcome(rows=found.num_rows)


def compare(task: Task) -> Outcome:
    """Write how alike the pixels of a slice of the pairs are."""
    near = records.read(task.folder / "pairs.parquet", PAIRS).slice(
        task.start, task.stop - task.start
    )
    table = _kept(task.images, ["image_id", "pack", "offset", "length", "status"])
    wanted = pa.concat_arrays([near["a"].combine_chunks(), near["b"].combine_chunks()]).unique()
    rows = table.filter(pc.is_in(table["image_id"], wanted)).to_pylist()
    places = {row["image_id"]: (row["pack"], row["offset"], row["length"]) for row in rows}
    meter, found = Meter("pixels"), []
    with Packs(task.images) as packs:
        for a, b in zip(near["a"].to_pylist(), near["b"].to_pylist(), strict=True):
            grey = (pictures.grey(packs.read(*places[name])) for name in (a, b))
            found.append(pairs.similarity(*grey))
            meter.count(rows=1)
    meter.flush()
    done = near.set_column(3, PAIRS.field("similarity"), pa.array(found, pa.float32()))
    records.write(_part(task.folder, task.unit), done)
    return Outcome(rows=done.num_rows)


def decide(task: Task) -> Outcome:
    """Write the verdicts."""
    table = _kept(task.images, _COLUMNS)
    found = verdicts.images(table.to_pylist())
    parts = sorted((task.folder / "pairs").glob("[!.]*.parquet"))
    edges = {}
    for part in parts:
        near = records.read(part, PAIRS)
        same = near.filter(pc.greater_equal(near["similarity"], task.settings.similarity))
        for row in same.to_pylist():
            edges[row["a"], row["b"]] = row["distance"]
    rows = verdicts.judge(found, edges, task.settings.placeholder_species)
    table_of_verdicts = records.table(records.VERDICTS, rows)
    records.write(task.folder / "verdicts.parquet", table_of_verdicts)
    exact = {"exact_copies": table.num_rows - len(rows)}
    return Outcome(rows=len(rows), detail={**records.counts(table_of_verdicts["reason"]), **exact})


def _kept(images: Path, columns: Sequence[str]) -> pa.Table:
    """Return *columns* of the picture rows, in an order that no fetching order changes."""
    table = records.read(images / "tables", records.IMAGES, [*columns])
    keys = [(name, "ascending") for name in ("image_id", "species_id", "url") if name in columns]
    return table.filter(pc.equal(table["status"], KEPT)).sort_by(keys)


def _part(folder: Path, unit: str) -> Path:
    return folder / "pairs" / f"{slug(unit)}.parquet"


def _forget_others(folder: Path, units: Sequence[str]) -> None:
    """Remove what an earlier recipe with more pairs left behind."""
    ledger, keep = Ledger(folder), {slug(unit) for unit in units}
    for path in (folder / "pairs").glob("[!.]*.parquet"):
        if path.stem not in keep:
            path.unlink()
    for name in ledger.receipts():
        if name.startswith("pixels/") and slug(name) not in keep:
            ledger.forget(name)


def main(arguments: list[str] | None = None) -> int:
    """Run the stage; return its exit code."""
    flags = parser("dedup", "Find pictures that are the same, and decide which of them stay.")
    args = flags.parse_args(arguments)
    return guard(lambda: dedup(options(args)), verbose=args.verbose)


if __name__ == "__main__":
    sys.exit(main())
