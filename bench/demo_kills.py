"""Kill the demo at random moments with SIGKILL, let it go on, compare the final tables.

    make bench NAME=demo_kills [ARGS="--kills 10 --species 48 --pictures 2200"]

One undisturbed run, then one that is killed; the same tables must come out of both, but for
when a picture was fetched and where in the packs it lies. Only the driver is killed: its
workers, its web and its ranks have to notice by themselves.
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
        print(f"undisturbed: {seconds:.0f} s")
        moments = kill(killed, args.kills, seconds, random.Random(args.seed), *sizes)
        differing = differences(calm, killed)
    figures = {"kills": len(moments), "differing_tables": differing, "seconds": round(seconds)}
    print(json.dumps(figures))
    sys.exit(bool(differing))


def run(data: Path, *flags: str) -> None:
    """Run the demo to its end."""
    subprocess.run(_command(data, *flags), check=True, capture_output=True)


def kill(
    data: Path, times: int, seconds: float, rng: random.Random, *flags: str
) -> list[tuple[float, str]]:
    """Run the demo in *data*, killing it *times* times on its way, then to its end.

    Each life lasts a random share of what *seconds* leave to it. Returns how long each life
    was and the last line it said.
    """
    lives = []
    for left in range(times, 0, -1):
        life = rng.uniform(1.0, 2 * seconds / (left + times))
        process = subprocess.Popen(
            _command(data, *flags), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        try:
            process.wait(life)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        said = (process.communicate()[1].strip().splitlines() or [""])[-1]
        lives.append((life, said))
        print(
            f"life {len(lives)}: {life:5.1f} s, exit {process.returncode}, last said: {said[:90]}"
        )
    run(data, *flags)
    return lives


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
