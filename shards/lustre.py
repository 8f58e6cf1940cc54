"""Shards on Lustre: how they are striped, and what a plan of a training run comes to.

A Lustre file lies on as many OSTs (object storage targets: disks with a server of their own) as
its stripe count says, one stripe after the other in turn; by default on one. What is here is
reckoned and simulated; none of it was measured on a Lustre system.
"""

import math
import shutil
import subprocess
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flora import tar
from flora.console import size
from shards import files
from shards.config import ShardSettings

PICTURE_BYTES = {"train": 112_000, "original": 151_000}
"""Mean of a picture where nothing is known yet: photographs of 683 x 512 and 800 x 600 pixels as
JPEGs of quality 90."""

_AROUND = 3 * tar.BLOCK + 3 * tar.BLOCK
"""Bytes of a sample beside its picture: three headers, label, JSON of up to 1 KiB."""
_SMALL = ("receipts", "parts")
_MOMENTS = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What readers ask of the OSTs, on average over the moments of an epoch."""

    at_work: float
    """OSTs that anybody reads from."""
    busiest: float
    """Readers of the OST that has most of them."""
    fullest: float
    """Bytes on the fullest OST, where the mean is 1."""
    share: float
    """Of the bandwidth of all OSTs, what readers get who wait for the slowest of them."""


def stripe(folder: Path, settings: ShardSettings) -> str:
    """Have new files in *folder* striped, if this is Lustre; return what was done, or would be.

    The folders of small files in it get one stripe: more would only cost them.
    """
    width = ["setstripe", "-S", str(settings.stripe_bytes), "-c", str(settings.stripes)]
    commands = [[*width, str(folder)]]
    commands += [["setstripe", "-c", "1", str(folder / name)] for name in _SMALL]
    lfs = shutil.which("lfs")
    if lfs is None:
        return f"There is no lfs here; on Lustre, lfs {' '.join(commands[0])} would be run."
    for name in _SMALL:
        (folder / name).mkdir(parents=True, exist_ok=True)
    for command in commands:
        done = subprocess.run([lfs, *command], capture_output=True, text=True, check=False)
        if done.returncode:
            why = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
            return f"{folder} is not striped: lfs {' '.join(command)} failed ({why})."
    return f"{folder}: {settings.stripes} stripes of {size(settings.stripe_bytes)} a shard (lfs)."


def simulate(
    shards: int, readers: int, osts: int, stripes: int, *, together: bool, seed: int = 0
) -> Load:
    """Return the load of *osts*, on which *shards* of so many *stripes* were put in turn.

    At each of 400 moments every reader is somewhere in a shard: *together* all in the same one,
    as where each takes its share of every global batch, else each in one of its own.
    """
    rng = np.random.default_rng(seed)
    stripes = min(stripes, osts)
    first = np.arange(shards) * stripes % osts
    shard = rng.integers(0, shards, (_MOMENTS, 1 if together else readers))
    place = rng.integers(0, stripes, (_MOMENTS, readers))
    at = (first[shard] + place) % osts + osts * np.arange(_MOMENTS)[:, None]
    counts = np.bincount(at.ravel(), minlength=osts * _MOMENTS).reshape(_MOMENTS, osts)
    held = np.bincount(((first[:, None] + np.arange(stripes)) % osts).ravel(), minlength=osts)
    busiest = counts.max(axis=1)
    return Load(
        at_work=float((counts > 0).sum(axis=1).mean()),
        busiest=float(busiest.mean()),
        fullest=float(held.max() / held.mean()),
        share=float((readers / (osts * busiest)).mean()),
    )


def report(
    nodes: int,
    ranks_per_node: int,
    images: int,
    settings: ShardSettings,
    *,
    osts: int = 64,
    image_bytes: int | None = None,
) -> str:
    """Return a plan of a training run over *images* pictures, as text.

    *image_bytes*: of a picture as fetched, where it is known.
    """
    readers = max(nodes * ranks_per_node, settings.readers)
    fetched = image_bytes or PICTURE_BYTES["original"]
    stored = fetched if settings.form == "original" else PICTURE_BYTES["train"]
    cut = _shards(images, stored + _AROUND, readers, settings)
    total = sum(cut.values())
    built = files.foresee(images, total, settings, image_bytes=fetched)
    return "\n".join(
        [
            *_sizes(cut, nodes, ranks_per_node, images, stored, settings),
            "",
            *_loads(cut["train"], readers, osts, settings),
            "",
            *_files(built, images),
            "",
            *_history(cut["train"], readers, osts, settings),
        ]
    )


def _shards(images: int, sample: int, readers: int, settings: ShardSettings) -> dict[str, int]:
    """Return how many shards each split takes; a shard is half a sample short of full."""
    shares = {"train": 1 - settings.val - settings.test, "val": settings.val, "test": settings.test}
    room = max(settings.shard_bytes - sample / 2, sample)
    cut = {name: math.ceil(images * share * sample / room) for name, share in shares.items()}
    return cut | {"train": max(cut["train"], readers)}


def _sizes(
    cut: dict[str, int], nodes: int, ranks: int, images: int, stored: int, settings: ShardSettings
) -> list[str]:
    train = images * (1 - settings.val - settings.test) * (stored + _AROUND) / cut["train"]
    whole = min(train, settings.shard_bytes)
    filled = math.ceil(whole / settings.stripe_bytes)
    return [
        f"{images:,} pictures of {size(stored)} (form {settings.form}) for {nodes} nodes of "
        f"{ranks} ranks:",
        f"  shards      {sum(cut.values()):,}: "
        + ", ".join(f"{number:,} {name}" for name, number in cut.items()),
        f"  each        {size(whole)} of {size(settings.shard_bytes)} at most, on {filled} stripes "
        f"of {size(settings.stripe_bytes)}",
        f"  all         {size(images * (stored + _AROUND))}",
        f"  to choose   lfs setstripe -S {settings.stripe_bytes} -c {settings.stripes} (done by "
        "`make shards` where lfs is there)",
    ]


def _loads(shards: int, readers: int, osts: int, settings: ShardSettings) -> list[str]:
    lines = [
        f"{readers:,} readers on {osts} OSTs (simulated, {_MOMENTS} moments of an epoch):",
        f"  {'':<34}{'OSTs read':>10}{'readers per OST':>17}{'fullest':>9}{'bandwidth':>11}",
        f"  {'':<34}{'at a time':>10}{'mean    most':>17}{'OST':>9}{'in reach':>11}",
    ]
    for stripes, together in _ways(settings):
        load = simulate(shards, readers, osts, stripes, together=together)
        name = f"stripe count {stripes}, {'one shard for all' if together else 'a shard each'}"
        lines.append(
            f"  {name:<34}{load.at_work:>10.1f}{readers / osts:>10.1f}{load.busiest:>7.1f}"
            f"{load.fullest:>9.2f}{load.share:>11.0%}"
        )
    return lines


def _ways(settings: ShardSettings) -> Sequence[tuple[int, bool]]:
    return [(stripes, together) for stripes in (1, settings.stripes) for together in (True, False)]


def _files(built: files.Cuts, images: int) -> list[str]:
    stages = files.count(built)
    total, spills = sum(stages.values()), files.on_the_way(built)
    fits = "within" if total + spills <= files.LIMIT else "more than"
    return [
        f"Files (inodes) of a build of {images:,} pictures, all stages:",
        "  " + ", ".join(f"{name} {number:,}" for name, number in stages.items()),
        f"  {total:,} in the end, {total + spills:,} while shards are packed: {fits} "
        f"{files.LIMIT:,}.",
    ]


def _history(shards: int, readers: int, osts: int, settings: ShardSettings) -> list[str]:
    one = simulate(shards, readers, osts, 1, together=True)
    many = simulate(shards, readers, osts, settings.stripes, together=True)
    text = (
        "Why 40% became 91% in 2018, when the files of that run were striped. A file that nobody "
        "stripes lies on one OST, and ranks that go through the data together read one file at a "
        f"time: here, all {one.busiest:,.0f} readers would wait for one OST of {osts}, "
        f"{one.share:.1%} of the bandwidth there is. Over {settings.stripes} stripes the same "
        f"reads meet {many.at_work:.0f} OSTs, the busiest has {many.busiest:.0f} readers, and "
        f"{many.share:.0%} is in reach: {many.share / one.share:.0f} times as much. A step takes "
        "1 / 0.40 = 2.5 times as long as it computes at 40%, and 1.1 times at 91%; so if reading "
        "is what it waited for, that had to become 2.3 times as fast, which stripes give many "
        "times over, and most of the 9% left is not the disks'. The two percentages are that "
        "run's own; the rest is reckoned here, from this model and not from their logs."
    )
    return textwrap.wrap(text, 92)
