"""Kill the demo at random moments with SIGKILL, let it go on, compare the final tables.

    make bench NAME=demo_kills [ARGS="--kills 10 --species 48 --pictures 2200"]

One undisturbed run, then one that is killed; the same tables must come out of both, but for
when a picture was fetched and where in the packs it lies. Only the driver is killed: its
workers, its web and its ranks have to notice by themselves. The first two kills meet the
drawing of the web, which then starts over; after them it is drawn in peace, so that the others
fall on the stages.
"""

import argparse
import hashlib
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from demo import world

DRAWING = 2
"""Kills that may fall on the drawing of the web."""

WHEN_AND_WHERE = ("fetched_at", "pack", "offset")
"""Columns of the images tables that two runs may differ in."""


def main() -> None:
    """Run both, compare, print."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--kills", type=int, default=10)
    flags.add_argument("--species", type=int, default=48)
    flags.add_argument("--pictures", type=int, default=2200)
    flags.add_argument("--seed", type=int, default=1)
    args = flags.parse_args()
    sizes = ("--species", str(args.species), "--pictures", str(args.pictures))
    with tempfile.TemporaryDirectory() as temporary:
        calm, killed = Path(temporary) / "calm", Path(temporary) / "killed"
        start = time.monotonic()
        run(calm, *sizes)
        seconds = time.monotonic() - start
        print(f"undisturbed: {seconds:.0f} s", flush=True)
        rng = random.Random(args.seed)
        kill(killed, min(args.kills, DRAWING), 15.0, rng, *sizes)
        world.build(killed / "web", species=args.species, pictures=args.pictures)
        kill(killed, args.kills - DRAWING, seconds, rng, *sizes)
        run(killed, *sizes)
        differing = differences(calm, killed)
    figures = {"kills": args.kills, "differing_tables": differing, "seconds": round(seconds)}
    print(json.dumps(figures))
    sys.exit(bool(differing))


def run(data: Path, *flags: str) -> None:
    """Run the demo to its end."""
    subprocess.run(_command(data, *flags), check=True, capture_output=True)


def kill(data: Path, times: int, seconds: float, rng: random.Random, *flags: str) -> None:
    """Run the demo in *data*, and kill it, *times* times, in about *seconds* altogether."""
    for number in range(1, times + 1):
        life = rng.uniform(0.2, 1.8) * seconds / times
        process = subprocess.Popen(
            _command(data, *flags), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        try:
            process.wait(life)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        lines = process.communicate()[1].splitlines()
        said = next((line for line in reversed(lines) if "resource_tracker" not in line), "")
        print(f"{number:>3}: {life:5.1f} s, exit {process.returncode}, last said: {said[:90]}",
              flush=True)  # fmt: skip


def differences(one: Path, other: Path) -> list[str]:
    """Return the names of the final tables in which two runs differ."""
    first, second = tables(one), tables(other)
    return sorted(
        name for name in first.keys() | second.keys() if first.get(name) != second.get(name)
    )


def tables(data: Path) -> dict[str, str]:
    """Return a digest of each final table, whatever the order of its rows, and of each shard."""
    names = {
        "checklist": data / "checklist" / "species.parquet",
        "candidates": data / "candidates" / "tables",
        "images": data / "images" / "tables",
        "verdicts": data / "verdicts" / "verdicts.parquet",
        "index": data / "shards" / "index.parquet",
        "classes": data / "shards" / "classes.parquet",
        "predictions": data / "runs" / "main" / "predictions-test.parquet",
    }
    found = {name: _digest(pq.read_table(path)) for name, path in names.items()}
    for path in sorted((data / "shards").glob("*.tar")):
        found[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def _digest(table: pa.Table) -> str:
    table = table.drop_columns([name for name in WHEN_AND_WHERE if name in table.column_names])
    rows = sorted(json.dumps(row, sort_keys=True, default=str) for row in table.to_pylist())
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()


def _command(data: Path, *flags: str) -> list[str]:
    return [sys.executable, "-m", "demo", "--data", str(data), *flags]


if __name__ == "__main__":
    main()
