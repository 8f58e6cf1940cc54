"""Kill one packing 30 times with SIGKILL, let it go on, compare: `make bench NAME=shard_kills`.

    make bench NAME=shard_kills [ARGS="--kills 30 --pictures 6000"]

One undisturbed packing, then one that is killed, with all its workers, at random moments: after
a random number of units, and a little later. Each start is the same command. At the end all files
but the receipts, which tell the time, must be the same to the byte, and there may be no others.
"""

import argparse
import contextlib
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench import loopback
from tests import dataset

SETS = ("shards.stripe_bytes=8388608", "shards.stripes=2", "shards.gather_bytes=33554432",
        "shards.one_pass_bytes=0")  # fmt: skip

_OF_A_RUN = (".lock", "units.json")
"""Files that are about runs, not about what is packed."""


def main() -> None:
    """Pack twice, once in peace, and print what the kills did."""
    flags = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    flags.add_argument("--kills", type=int, default=30)
    flags.add_argument("--pictures", type=int, default=6000)
    flags.add_argument("--form", choices=["original", "train"], default="original")
    flags.add_argument("--seed", type=int, default=1)
    args = flags.parse_args()
    jpegs, sets = loopback.photographs(64), (*SETS, f"shards.form={args.form}")
    with tempfile.TemporaryDirectory() as temporary:
        calm, killed = Path(temporary) / "calm", Path(temporary) / "killed"
        for data in (calm, killed):
            dataset.write(data, species=100, each=args.pictures // 100, packs=4, pictures=jpegs)
        pack(calm, sets)
        print(f"undisturbed: {done(calm)} units", flush=True)
        kills = kill(killed, args.kills, done(calm), random.Random(args.seed), sets)
        pack(killed, sets)
        differing = differences(calm, killed)
    print(json.dumps({"kills": kills, "differing_files": differing}))
    sys.exit(bool(differing) or kills < args.kills)


def pack(data: Path, sets: Sequence[str]) -> None:
    """Pack to the end."""
    process = _start(data, sets)
    said = process.communicate()[1]
    if process.returncode:
        sys.exit(f"The packing ended with exit code {process.returncode}:\n{said}")


def kill(data: Path, times: int, units: int, rng: random.Random, sets: Sequence[str]) -> int:
    """Start a packing of so many *units*, and kill it, *times* times; return the kills."""
    for kills in range(times):
        process, before = _start(data, sets), _state(data)
        left = (units - done(data)) / (times - kills + 1)
        aim = done(data) + rng.uniform(0, 2 * left)
        while process.poll() is None and (done(data) < aim or _state(data) == before):
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.1))
        if process.poll() is not None:
            process.communicate()
            return kills  # it was faster
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        half = sum(name.startswith(".") for name, _ in _state(data))
        print(f"{kills + 1:>4}: {done(data)} units done, {half} files half written", flush=True)
    return times


def done(data: Path) -> int:
    """Return how many units have receipts."""
    return len(list((data / "shards" / "receipts").glob("[!.]*.json")))


def differences(one: Path, other: Path) -> list[str]:
    """Return the names of the files that two packings do not share, to the byte."""
    first, second = _digests(one / "shards"), _digests(other / "shards")
    return sorted(
        name for name in first.keys() | second.keys() if first.get(name) != second.get(name)
    )


def _digests(folder: Path) -> dict[str, str]:
    """Return the sha256 of each file, but for receipts, which tell the time."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
        if path.parent.name != "receipts" and path.name not in _OF_A_RUN
    }


def _start(data: Path, sets: Sequence[str]) -> subprocess.Popen[str]:
    flags = [flag for each in (*sets, "cluster.dashboard=127.0.0.1:0") for flag in ("--set", each)]
    return subprocess.Popen(
        [sys.executable, "-m", "shards", "--data", str(data), *flags],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def _state(data: Path) -> set[tuple[str, int]]:
    """Return names and sizes of the files there are, drafts too."""
    found = set()
    for path in (data / "shards").rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # renamed at this moment
            if path.name not in _OF_A_RUN and path.is_file():
                found.add((path.name, path.stat().st_size))
    return found


if __name__ == "__main__":
    main()
