"""Every testing configuration in one table: `make bench NAME=configurations`.

    make bench NAME=configurations [ARGS="--photos DIR --checklist FILE --keep DIR"]

The demo (drawn plants, or photographs) is run from its web to its model; then the model is asked
about val and test: ten views, all pictures of a plant by three ways, without what training has
near-duplicates of; in every combination. And about a region: the test pictures of half the
species, drawn by a seed, in a folder, with the list of those species as one more switch. All by
the commands that `make` would run. With --keep the folder stays, and what is done in it.
"""

import argparse
import contextlib
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow.compute as pc

from flora import records

_SEED = 2018
_ALL = ("--views", "10", "--fuse", "logs,mean,max", "--unseen")


def main() -> None:
    """Make the data, ask the model, print the table."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--photos", type=Path, help="a folder of <Genus species>/*.jpg")
    flags.add_argument("--checklist", type=Path, help="the list of their names")
    flags.add_argument("--keep", type=Path, metavar="DIR", help="work here")
    args = flags.parse_args()
    with contextlib.ExitStack() as stack:
        data = args.keep or Path(stack.enter_context(tempfile.TemporaryDirectory())) / "demo"
        demo = [["--photos", str(args.photos)]] if args.photos else []
        demo += [["--checklist", str(args.checklist)]] if args.checklist else []
        _run("demo", data, *(word for pair in demo for word in pair), quiet=True)
        start = time.monotonic()
        folder, listed = _region(data)
        _run("train", data, "evaluate", "--sets", "val,test", *_ALL)
        _run("train", data, "evaluate", "--sets", f"region={folder}", "--checklist", str(listed),
             *_ALL)  # fmt: skip
        seconds = time.monotonic() - start
        _run("evaluate", data, "table", "main")
        path = data / "runs" / "main" / "evaluation.json"
        found = json.loads(path.read_text(encoding="utf-8"))
    print(json.dumps({"seconds": round(seconds, 1), **_best(found)}))


def _run(stage: str, data: Path, *words: str, quiet: bool = False) -> None:
    command = [sys.executable, "-m", stage, "--data", str(data), *words]
    print(f"python -m {stage} {' '.join(command[3:])}", file=sys.stderr)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL if quiet else None)
    sys.stdout.flush()


def _region(data: Path) -> tuple[Path, Path]:
    """Return a folder of the test pictures of half the species, and the list of these."""
    index = records.read(data / "shards" / "index.parquet", records.INDEX)
    rows = index.filter(pc.equal(index["split"], "test")).to_pylist()
    species = sorted({row["species_id"] for row in rows})
    inside = set(random.Random(_SEED).sample(species, len(species) // 2))
    for row in rows:
        if row["species_id"] not in inside:
            continue
        plant = row["observation_id"] or row["key"]
        name = "".join(letter if letter.isalnum() else "_" for letter in plant)
        path = data / "region" / row["species_id"] / name / f"{row['key']}.{row['format']}"
        path.parent.mkdir(parents=True, exist_ok=True)
        with (data / "shards" / row["shard"]).open("rb") as shard:
            shard.seek(row["offset"])
            path.write_bytes(shard.read(row["length"]))
    listed = data / "region.txt"
    listed.write_text("".join(f"{each}\n" for each in sorted(inside)), encoding="utf-8")
    return data / "region", listed


def _best(found: dict[str, dict]) -> dict[str, object]:
    """Return top-1 of each set: plain, and of the configuration that is best."""
    told: dict[str, object] = {}
    for name, each in found.items():
        ways = {
            " + ".join(way["configuration"]) or "plain": way["levels"]["species"]["top1"]["value"]
            for way in each["configurations"]
        }
        best = max(ways, key=lambda way: ways[way] or 0.0)
        told |= {
            f"{name}_images": each["images"],
            f"{name}_configurations": len(ways),
            f"{name}_top1": ways["plain"],
            f"{name}_best_top1": ways[best],
            f"{name}_best": best,
        }
    return told


if __name__ == "__main__":
    main()
