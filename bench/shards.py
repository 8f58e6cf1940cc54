"""Shards: how fast the packs become tars, beside webdataset's ShardWriter and `cat`.

    make bench NAME=shards ARGS="[--photos DIR] [--pictures 6000] [--rounds 5] [--folder DISK]"

The form `original`: the same pictures with the same labels and JSON go from image packs into
shards, each way in turn, one process on one core, until the bytes are on the disk. Ours reads the
tables, cuts, and writes the index, too; ShardWriter is handed ready-made samples and only reads
the pictures; `cat` copies finished shards. Checksums are units of their own in our stage and
nothing that ShardWriter or `cat` make, so the first ratios leave them out. With them, ours reads
its shards back from the disk and is held against ShardWriter followed by `sha256sum`. All else
that is read lies in memory. The form `train` is measured by bench/shards_form.py.
"""

import argparse
import gc
import json
import os
import resource
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import webdataset

from bench import loopback, shards_form
from flora import records
from flora.packs import Packs
from shards import pack, units
from shards.config import ShardSettings
from shards.units import Task
from tests import dataset

SETTINGS = ShardSettings(form="original")

OURS, TWICE, OURS_SUMMED = "ours", "ours, two passes", "ours, and checksums"
PEER, PEER_SUMMED, CAT = "ShardWriter", "ShardWriter, and sha256sum", "cat"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one way took."""

    seconds: float
    cpu: float
    read: int
    """Bytes that it asked the system for."""
    written: int


def main() -> None:
    """Measure both forms and print."""
    flags = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    flags.add_argument("--photos", type=Path, help="a folder of JPEGs (drawn ones without)")
    flags.add_argument("--pictures", type=int, default=6000)
    flags.add_argument("--rounds", type=int, default=5)
    flags.add_argument("--folder", type=Path, help="where to write: a folder on the disk you mean")
    args = flags.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as temporary:
        figures = original(Path(temporary), args.photos, args.pictures, args.rounds)
    print(json.dumps(figures | shards_form.measure(args.photos)))


def original(data: Path, photos: Path | None, pictures: int, rounds: int) -> dict[str, float]:
    """Pack *pictures* pictures every way, *rounds* times; print a table, return the ratios."""
    jpegs = [path.read_bytes() for path in sorted(photos.rglob("*.jpg"))[:500]] if photos else []
    jpegs = jpegs or loopback.photographs(64, size=(800, 600), quality=90)
    dataset.write(data, species=100, each=pictures // 100, packs=4, pictures=jpegs)
    planned = units.make_plan(Task(data=data, settings=SETTINGS))
    task = Task(data=data, settings=SETTINGS, spills=len(planned.detail["spills"]))
    ours(task, straight=True)
    samples, finished = list(_samples(data)), _fresh(data / "finished")
    for path in (data / "shards").glob("*.tar"):
        (finished / path.name).hardlink_to(path)
    ways: dict[str, Callable[[], None]] = {
        OURS: lambda: ours(task, straight=True),
        TWICE: lambda: ours(task, straight=False),
        PEER: lambda: shard_writer(data, samples),
        OURS_SUMMED: lambda: ours(task, straight=True, summed=True),
        PEER_SUMMED: lambda: shard_writer(data, samples, summed=True),
        CAT: lambda: cat(data),
    }
    costs: dict[str, list[Cost]] = {name: [] for name in ways}
    gc.collect()
    gc.freeze()  # what the bench itself holds is no way's to look through
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    for _ in range(rounds):
        for name, way in ways.items():
            _load([*finished.iterdir(), *(data / "images" / "packs").iterdir()])
            costs[name].append(_cost(way))
    os.sched_setaffinity(0, cores)
    gc.unfreeze()
    return _tell(costs, len(samples), sum(sample["place"][2] for sample in samples))


def ours(task: Task, *, straight: bool, summed: bool = False) -> None:
    """Gather, cut, fill and index, and maybe sum up, unit after unit, as one worker does it."""
    for number in range(task.spills):
        units.make_spill(replace(task, straight=straight, number=number))
    checksums = dict.fromkeys(units.make_cut(task).detail["shards"], "")
    for number, name in enumerate(checksums):
        units.make_shard(replace(task, straight=straight, name=name, number=number))
    if summed:
        checksums |= units.make_sums(replace(task, shards=tuple(checksums))).detail
    units.make_index(replace(task, checksums=checksums))


def shard_writer(data: Path, samples: Sequence[dict[str, Any]], *, summed: bool = False) -> None:
    """Have webdataset write the same samples in the same order, and maybe sum up its shards."""
    folder = _fresh(data / "webdataset")
    with (
        Packs(data / "images") as packs,
        webdataset.ShardWriter(
            f"{folder}/%06d.tar", maxsize=SETTINGS.shard_bytes, maxcount=10**9, verbose=0
        ) as sink,
    ):
        for sample in samples:
            content = {name: sample[name] for name in ("__key__", "cls", "json")}
            sink.write(content | {"jpg": packs.read(*sample["place"])})
    for path in folder.glob("*.tar"):
        _to_disk(path)
    if summed:
        subprocess.run(["sha256sum", *folder.glob("*.tar")], capture_output=True, check=True)


def cat(data: Path) -> None:
    """Copy the finished shards into one file."""
    target = _fresh(data / "cat") / "all.tar"
    with target.open("wb") as file:
        subprocess.run(["cat", *sorted((data / "finished").glob("*.tar"))], stdout=file, check=True)
    _to_disk(target)


def _samples(data: Path) -> Iterator[dict[str, Any]]:
    """Yield what ShardWriter is to write, in the order of our index."""
    images = records.read(data / "images" / "tables", records.IMAGES).to_pylist()
    listed = {row["image_id"]: row for row in images}
    names = {
        row["species_id"]: row["name"]
        for row in records.read(data / "shards" / "classes.parquet", records.CLASSES).to_pylist()
    }
    for row in records.read(data / "shards" / "index.parquet", records.INDEX).to_pylist():
        of = listed[row["image_id"]] | {"name": names[row["species_id"]]}
        yield {
            "__key__": row["key"],
            "cls": row["label"],
            "json": {name: of[name] for name in pack.ABOUT},
            "place": (of["pack"], of["offset"], of["length"]),
        }


def _load(paths: Sequence[Path]) -> None:
    """Have *paths* in memory."""
    for path in paths:
        with path.open("rb", buffering=0) as file:
            while file.read(1 << 20):
                pass


def _cost(way: Callable[[], None]) -> Cost:
    before, start = _used(), time.perf_counter()
    way()
    seconds = time.perf_counter() - start
    cpu, read, written = (after - b for after, b in zip(_used(), before, strict=True))
    return Cost(seconds=seconds, cpu=cpu, read=int(read), written=int(written))


def _used() -> tuple[float, float, float]:
    """Return CPU-seconds, bytes read and bytes written of this process and those it waited for."""
    ran = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    fields = Path("/proc/self/io").read_text().split()
    io = dict(zip(fields[::2], map(int, fields[1::2]), strict=True))
    return sum(each.ru_utime + each.ru_stime for each in ran), io["rchar:"], io["wchar:"]


def _fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def _to_disk(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _tell(costs: dict[str, list[Cost]], count: int, image_bytes: int) -> dict[str, float]:
    """Print a line for each way; return the ratios, each the median over the rounds."""
    print(f"{count:,} pictures, {image_bytes / 2**30:.2f} GiB, medians of {len(costs[CAT])}")
    print(f"{'':<28}{'samples/s':>10}{'GiB/s':>7}{'CPU ms':>8}  read and written per image byte")
    for name, each in costs.items():
        seconds, cpu = (statistics.median(getattr(c, x) for c in each) for x in ("seconds", "cpu"))
        read, written = (getattr(each[-1], x) / image_bytes for x in ("read", "written"))
        print(f"{name:<28}{count / seconds:>10,.0f}{image_bytes / seconds / 2**30:>7.2f}"
              f"{cpu / count * 1e3:>8.3f}  {read:.2f} {written:.2f}")  # fmt: skip

    def ratio(mine: str, theirs: str, what: str = "seconds") -> float:
        pairs = zip(costs[mine], costs[theirs], strict=True)
        found = statistics.median(getattr(b, what) / getattr(a, what) for a, b in pairs)
        return round(float(found), 2)

    for mine, theirs in (
        (OURS, PEER), (TWICE, PEER), (OURS_SUMMED, PEER), (OURS_SUMMED, PEER_SUMMED),
        (OURS, CAT), (OURS_SUMMED, CAT),
    ):  # fmt: skip
        print(f"{mine}: {ratio(mine, theirs)} x {theirs} "
              f"({ratio(mine, theirs, 'cpu')} by CPU time)")  # fmt: skip
    return {
        "original_vs_webdataset": ratio(OURS, PEER),
        "original_vs_webdataset_summed": ratio(OURS_SUMMED, PEER_SUMMED),
        "original_vs_cat": ratio(OURS, CAT),
    }


if __name__ == "__main__":
    main()
