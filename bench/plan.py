"""How long 12 million pictures take to be planned: `make bench NAME=plan [ARGS="--rows 12000000"]`.

Selection, split, order and classes, on two cores, from tables that are made up here: all columns
as the crawler writes them, 10,000 rows a table. Of the rows, 3% list bytes that another row
lists (half of them under another species); species are as unequal as on the web (the n-th of
300,000 has pictures in proportion to 1 / (n + 100)); 60% have an observation, of two pictures on
average; 5% are in a cluster with another. The verdicts keep 93% of the pictures; 4% have a
near-duplicate in provenance.parquet, half of these with an observation.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from flora import ids, records
from flora.records import Tier

_FILE = 10_000
_PART = 1_000_000
_SPECIES = 300_000

_MEASURED = """
import json, os, resource, sys, time
from pathlib import Path
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
from shards import plan
from shards.config import ShardSettings
start = time.monotonic()
rows = plan.write(Path(sys.argv[1]), ShardSettings())
seconds, used = time.monotonic() - start, resource.getrusage(resource.RUSAGE_SELF)
status = Path("/proc/self/status").read_text()
peak = int(status.split("VmHWM:")[1].split()[0]) / 2**20
print(json.dumps({"rows": rows, "seconds": round(seconds, 1), "peak_gib": round(peak, 2),
                  "cpu_seconds": round(used.ru_utime + used.ru_stime, 1)}))
"""
"""A process of its own, so that nothing else is in its memory."""


def main() -> None:
    """Make the tables, plan, look at what came out."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--rows", type=int, default=12_000_000)
    args = flags.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        data, start = Path(temporary), time.monotonic()
        write(data, args.rows)
        print(f"{args.rows:,} rows made in {time.monotonic() - start:.0f} s", flush=True)
        command = [sys.executable, "-c", _MEASURED, str(data)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        figures = json.loads(done.stdout)
        _look(data)
    print(f"of {args.rows:,} listings {figures['rows']:,} pictures were planned, in "
          f"{figures['cpu_seconds']} s of processor time")  # fmt: skip
    print(json.dumps({**figures, "planned": figures["rows"], "rows": args.rows}))


def write(data: Path, rows: int) -> None:
    """Write checklist, images tables and verdicts."""
    rng = np.random.default_rng(1)
    found = rng.integers(0, 2**64, (rows, 4), dtype=np.uint64)
    weights = np.cumsum(1 / (np.arange(_SPECIES) + 100))
    species = np.searchsorted(weights, rng.random(rows) * weights[-1])
    again = rng.choice(rows, rows * 3 // 100, replace=False)
    of = rng.integers(0, rows, len(again))
    found[again] = found[of]
    species[again] = np.where(rng.random(len(again)) < 0.5, species[of], species[again])
    _checklist(data)
    observations = np.bincount(species, minlength=_SPECIES) * 3 // 10 + 1  # of each species
    for number, start in enumerate(range(0, rows, _FILE)):
        here = slice(start, min(start + _FILE, rows))
        seen = species[here] * 10**6 + rng.integers(0, observations[species[here]])
        table = _images(rng, number, np.arange(rows)[here], found[here], species[here], seen)
        path = data / "images" / "tables" / f"host{number % 40}.example~000-{number:05}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path, compression="zstd")
    _verdicts(data, rng, found, species)


def _checklist(data: Path) -> None:
    n = np.arange(_SPECIES)
    columns = {
        "species_id": _text("kew-", n), "class_index": pa.array(n, pa.int32()),
        "name": _text("Genus species", n), "genus": _text("Genus", n // 20),
        "family": _text("Familiaceae", n // 700),
    }  # fmt: skip
    path = data / "checklist" / "species.parquet"
    records.write(path, _table(records.SPECIES, columns, _SPECIES))


def _images(rng: Any, number: int, rows: Any, found: Any, species: Any, seen: Any) -> pa.Table:
    count = len(rows)
    source = rng.integers(0, 4, count)
    length = rng.integers(20_000, 300_000, count)
    constants = {"status": "kept", "format": "jpg", "licence": "CC BY 4.0", "http_status": 200,
                 "pack": f"host{number % 40}.example~000-{number:05}-000.tar"}  # fmt: skip
    columns = {
        "image_id": ids.to_hex(found),
        "url": _text(f"https://host{number % 40}.example/photos/large/", rows, ".jpg"),
        "photo_id": _text("host:", rows),
        "final_url": _text(f"https://host{number % 40}.example/photos/large/", rows, ".jpg"),
        "species_id": _text("kew-", species),
        "query": _text("Genus species", species),
        "source": pa.array(["commons", "eol", "gbif", "openverse"]).take(source),
        "tier": pa.array([Tier.WEB, Tier.EXPERT, Tier.CITIZEN, Tier.WEB], pa.string()).take(source),
        "rank": pa.array(rng.integers(0, 100, count), pa.int32()),
        "page_url": _text(f"https://host{number % 40}.example/pages/", rows),
        "title": _text("A plant that somebody saw, number ", rows),
        "creator": _text("Somebody Number ", rows % 50_000),
        "rights_holder": _text("Somebody Number ", rows % 50_000),
        "observation_id": pc.if_else(
            pa.array(rng.random(count) < 0.6), _text("gbif:", seen), pa.scalar(None, pa.string())
        ),
        "offset": pa.array(np.cumsum(length) - length + 512),
        "length": pa.array(length),
        "width": pa.array(rng.integers(400, 1000, count), pa.int32()),
        "height": pa.array(rng.integers(400, 1000, count), pa.int32()),
        "phash": pa.array(found[:, 0]),
        **{name: pa.repeat(pa.scalar(value), count) for name, value in constants.items()},
    }
    return _table(records.IMAGES, columns, count)


def _verdicts(data: Path, rng: Any, found: Any, species: Any) -> None:
    """Write a row for each picture, in order of id; and provenance."""
    order = ids.sort([*found.T])
    new = np.ones(len(order), np.bool_)
    new[1:] = (found[order[1:]] != found[order[:-1]]).any(axis=1)
    order = order[new]
    folder = data / "verdicts"
    folder.mkdir()
    with pq.ParquetWriter(folder / "verdicts.parquet", records.VERDICTS, compression="zstd") as out:
        for start in range(0, len(order), _PART):
            here = order[start : start + _PART]
            cluster = np.where(rng.random(len(here)) < 0.05, np.roll(here, 1), here)
            keep = pa.array(rng.random(len(here)) < 0.93)
            columns = {
                "image_id": ids.to_hex(found[here]), "species_id": _text("kew-", species[here]),
                "verdict": pc.if_else(keep, "keep", "drop"),
                "reason": pc.if_else(keep, "unique", "near_duplicate"),
                "cluster_id": ids.to_hex(found[cluster]), "keeper_id": ids.to_hex(found[here]),
            }  # fmt: skip
            out.write_table(_table(records.VERDICTS, columns, len(here)))
    keepers = order[rng.choice(len(order), len(order) // 25, replace=False)]
    named = pa.array(rng.random(len(keepers)) < 0.5)
    columns = {
        "keeper_id": ids.to_hex(found[keepers]), "image_id": ids.to_hex(found[keepers] + 1),
        "observation_id": pc.if_else(named, _text("gbif:", keepers), pa.scalar(None, pa.string())),
    }  # fmt: skip
    table = _table(records.PROVENANCE, columns, len(keepers))
    pq.write_table(table, folder / "provenance.parquet", compression="zstd")


def _text(before: str, numbers: Any, after: str = "") -> pa.Array:
    digits = pa.array(numbers, pa.int64()).cast(pa.string())
    return pc.binary_join_element_wise(before, digits, after, "")


def _table(schema: pa.Schema, columns: dict[str, Any], rows: int) -> pa.Table:
    arrays = [
        columns[each.name].cast(each.type) if each.name in columns else pa.nulls(rows, each.type)
        for each in schema
    ]
    return pa.table(arrays, schema=schema)


def _look(data: Path) -> None:
    """Print what the plan says, and see that it is one."""
    file = pq.ParquetFile(data / "shards" / "plan.parquet")
    position = file.read(["position"])["position"].to_numpy()
    assert len(np.unique(position)) == len(position) == position.max() + 1
    classes = pq.read_table(data / "shards" / "classes.parquet")
    counts = {name: pc.sum(classes[name]).as_py() for name in ("train", "val", "test")}
    print(f"{len(classes):,} classes, {file.num_row_groups:,} units, "
          + ", ".join(f"{count:,} {name}" for name, count in counts.items()))  # fmt: skip


if __name__ == "__main__":
    main()
