"""The hostile corpus through a real worker, and what damage to JPEGs goes unseen.

    make bench NAME=hostile [ARGS="--photos FOLDER"]

A server on loopback does what tests/hostile/cases.py lists; `python -m crawler fetch` fetches it
all in processes of its own, whose memory is watched. Cases that need another name server than
the system's run in tests/hostile alone. Damage is done to drawn pictures and to those of FOLDER.
"""

import argparse
import asyncio
import contextlib
import io
import json
import random
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import psutil
import pyarrow.parquet as pq
from PIL import Image

from flora.pictures import FlawedPictureError, inspect
from tests.hostile import files
from tests.hostile.case import Case
from tests.hostile.cases import cases
from tests.hostile.server import serve

PICTURES = 240
LIMIT_MIB = 300
SETTINGS = (
    "crawler.contact=bench@example.org",
    "crawler.politeness.requests_per_second=1000",
    "crawler.politeness.retries=1",
    "crawler.politeness.longest_wait=2",
    "crawler.net.timeout=15",
    "cluster.workers=1",
)


def main() -> None:
    """Send the corpus through a worker, damage JPEGs, print."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--photos", type=Path, help="photographs to damage, besides drawn pictures")
    args = flags.parse_args()
    corpus = [case for case in cases() if not case.staged]
    corpus = [case for case in corpus if "\n" not in case.url]  # such is no line of a file
    with tempfile.TemporaryDirectory() as folder:
        found, knocks, peak = asyncio.run(crawl(corpus, Path(folder)))
        strays = [str(path) for path in astray(Path(folder))]
    failed = [case for case in corpus if found.get(case.name) != case.expected]
    for group in dict.fromkeys(case.group for case in corpus):
        names = [case.name for case in corpus if case.group == group]
        right = sum(case not in failed for case in corpus if case.group == group)
        print(f"{group:20} {len(names):4} cases {right:4} right")
    for case in failed:
        print(f"  {case.name}: {found.get(case.name)}, not {case.expected}")
    for path in strays:
        print(f"  written where it must not be: {path}")
    accepted = damage(args.photos)
    figures = {
        "cases": len(corpus),
        "failed": len(failed) + len(strays),
        "forbidden_hits": knocks,
        "peak_mib": round(peak / 2**20),
        **accepted,
    }
    print(json.dumps(figures))
    sys.exit(bool(failed or strays or knocks or figures["peak_mib"] > LIMIT_MIB))


async def crawl(corpus: list[Case], folder: Path) -> tuple[dict[str, str], int, int]:
    """Return status by case, connections to the forbidden port, and the worker's peak in bytes."""
    answers = {place: answer for case in corpus for place, answer in case.answers().items()}
    async with serve(answers) as running:
        urls = {case.address(running.witness): case.name for case in corpus}
        listing, data = folder / "urls.txt", folder / "data"
        listing.write_text("\n".join(urls), encoding="utf-8")
        connect = f'crawler.net.connect_to={{"*.test"="127.0.0.1:{running.port}"}}'
        settings = [part for each in (*SETTINGS, connect) for part in ("--set", each)]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "crawler", "--data", str(data), *settings,
            "fetch", "--urls", str(listing),
        )  # fmt: skip
        peak = await watch(process)
        knocks = running.knocks
    tables = sorted((data / "images" / "tables").glob("*.parquet"))
    rows = [row for path in tables for row in pq.read_table(path).to_pylist()]
    return {urls[row["url"]]: row["status"] for row in rows if row["url"] in urls}, knocks, peak


async def watch(process: asyncio.subprocess.Process) -> int:
    """Return the most memory that any process under *process* held until it ended."""
    peak, ended = 0, asyncio.ensure_future(process.wait())
    while not ended.done():
        with contextlib.suppress(psutil.Error):
            root = psutil.Process(process.pid)
            for each in (root, *root.children(recursive=True)):
                with contextlib.suppress(psutil.Error):
                    peak = max(peak, each.memory_info().rss)
        await asyncio.wait([ended], timeout=0.02)
    return peak


def astray(folder: Path) -> Iterable[Path]:
    """Yield what was written outside the folders of the crawler."""
    known = {"urls.txt", "data"}
    yield from (path for path in folder.iterdir() if path.name not in known)
    for path in (folder / "data").rglob("*"):
        top = path.relative_to(folder / "data").parts[0]
        if path.is_file() and top not in ("images", "candidates"):
            yield path


def damage(photos: Path | None) -> dict[str, float]:
    """Print how often damaged JPEGs are taken for whole; return the rates of all four kinds."""
    rng = random.Random(1)
    rates = {}
    print(f"{'accepted, %':24} truncated false-end zeroed spliced bit-flip")
    for source, originals in pictures(photos):
        for progressive in (False, True):
            whole = [again(image, progressive) for image in originals]
            row = {}
            for kind in ("truncated", "false_end", "zeroed", "spliced", "bit_flip"):
                hurt = [hurt_one(kind, data, rng.choice(whole), rng) for data in whole]
                row[kind] = 100 * sum(map(accepted, hurt)) / len(hurt)
            name = f"{source} {'progressive' if progressive else 'baseline'}"
            cells = " ".join(f"{row[kind]:8.1f}" for kind in row)
            print(f"{name:22} {cells}   ({len(whole)} pictures)")
            for kind, rate in row.items():
                rates[f"{kind}_accepted_percent"] = max(
                    rates.get(f"{kind}_accepted_percent", 0.0), round(rate, 2)
                )
    return rates


def pictures(photos: Path | None) -> Iterable[tuple[str, list[Image.Image]]]:
    """Yield drawn pictures, and photographs where there are any."""
    yield "drawn", [files.photograph(seed, (900, 700)) for seed in range(PICTURES)]
    paths = sorted(path for path in photos.rglob("*.jpg")) if photos else []
    if paths:
        chosen = paths[:: max(1, len(paths) // PICTURES)][:PICTURES]
        yield "photos", [Image.open(path).convert("RGB") for path in chosen]


def again(image: Image.Image, progressive: bool) -> bytes:
    """Return *image* as a JPEG of our own, all of one encoder: splices fit best so."""
    out = io.BytesIO()
    image.save(out, "JPEG", quality=90, progressive=progressive)
    return out.getvalue()


def hurt_one(kind: str, data: bytes, other: bytes, rng: random.Random) -> bytes:
    """Return *data* damaged at a random place after its headers."""
    start = data.find(b"\xff\xda") + 20
    at = rng.randrange(start, max(start + 1, len(data) - 8194))
    if kind == "truncated":
        return data[:at]
    if kind == "false_end":
        return data[:at] + b"\xff\xd9"
    if kind == "zeroed":
        return files.zeroed(data, at)
    if kind == "spliced":
        return files.spliced(data, at, other)
    flipped = bytearray(data)
    flipped[at] ^= 1 << rng.randrange(8)
    return bytes(flipped)


def accepted(data: bytes) -> bool:
    """Tell whether *data* is taken for a whole picture."""
    try:
        inspect(data, max_pixels=80_000_000, min_side=64)
    except FlawedPictureError:
        return False
    return True


if __name__ == "__main__":
    main()
