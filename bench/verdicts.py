"""How long `make dedup` takes, from the tables of a crawl to verdicts: `make bench NAME=verdicts`.

    make bench NAME=verdicts [ARGS="--rows 12000000 --looks 0.001"]

The tables are made up. Of their rows, 3% list bytes that another row lists; 5% have the hashes
of another picture, 5% hashes that are near (up to 8 bits of 64, up to 14 of 256), 1% those of its
mirror image, and 0.1% are of crowds of 3,000 that are alike. Half of all these are listed under
the species of what they are copies of, half under any other. A stated share (--looks) is near by
pHash alone, so that pixels are looked at: drawn pictures of 0.3 megapixels, a copy and its
original the same. All others have random hashes. What is planted is known, so it is counted what
was missed (pictures that stay beside another copy of theirs: a copy that is near the original may
be far from a better copy of it) and what went for a keeper that it is no copy of.
"""

import argparse
import hashlib
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
from PIL import Image

from bench.memory import together
from flora import records, tar
from flora.ids import to_hex
from flora.records import Reason, Tier, Verdict
from tests.conftest import encode

_FILE = 100_000
_DRAWN = 100
_SPECIES = 300_000
_CROWD = 3_000


def main() -> None:
    """Make the tables, run the stage, count what it found."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--rows", type=int, default=12_000_000)
    flags.add_argument("--looks", type=float, default=0.001)
    args = flags.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        data = Path(temporary)
        start = time.monotonic()
        copies = plant(data, args.rows, args.looks)
        print(f"{args.rows:,} rows made in {time.monotonic() - start:.0f} s", flush=True)
        seconds, peak = watch(data)
        figures = {"n": args.rows, "seconds": round(seconds, 1), "peak_gib": round(peak / 2**30, 2)}
        for unit, receipt in sorted(receipts(data).items()):
            if not unit.startswith("pixels/"):
                print(f"  {unit:<12} {receipt['seconds']:>8.1f} s {receipt['rows']:>12,} rows")
        print(json.dumps(figures | count(data, copies)))


def plant(data: Path, rows: int, looks: float) -> np.ndarray[Any, Any]:
    """Write images tables and a pack; return first words of ids, and the numbers of originals."""
    rng = np.random.default_rng(1)
    ids = rng.integers(0, 2**64, (rows, 4), dtype=np.uint64)
    pdq = rng.integers(0, 2**64, (rows, 4), dtype=np.uint64)
    phash = rng.integers(0, 2**64, rows, dtype=np.uint64)
    half = np.array([0.03, 0.05, 0.05, 0.01, 0.001, looks])  # the first half has no copies
    kind = rng.choice(7, rows, p=[1 - 2 * half.sum(), *(2 * half)])
    kind[: rows // 2] = 0
    of = rng.integers(0, rows // 2, rows)
    crowd = np.flatnonzero(kind == 5)
    of[crowd] = np.arange(len(crowd)) // _CROWD
    of[kind == 0] = np.flatnonzero(kind == 0)
    pdq, phash = pdq[of], phash[of]
    ids[kind == 1] = ids[of[kind == 1]]
    for some, bits in ((3, 14), (5, 12), (6, 90)):
        _flip(rng, pdq, np.flatnonzero(kind == some), bits - bits // 3 if some == 6 else 1, bits)
    for some in (3, 6):
        _flip(rng, phash[:, None], np.flatnonzero(kind == some), 1, 8)
    turned = kind == 4
    odd = np.uint64(0x5555555555555555)
    pdq[turned] ^= odd
    phash[turned] ^= odd
    _write(data, rng, ids, pdq, phash, of, kind)
    return np.stack([ids[:, 0], of.astype(np.uint64)])


def _flip(rng: Any, hashes: Any, rows: Any, least: int, most: int) -> None:
    """Turn over between *least* and *most* bits of some *rows* (n x words)."""
    count = rng.integers(least, most + 1, len(rows))
    bits = 64 * hashes.shape[1]
    for turn in range(most):
        here = rows[count > turn]
        bit = rng.integers(0, bits, len(here))
        hashes[here, bit // 64] ^= np.uint64(1) << (bit % 64).astype(np.uint64)


def _write(data: Path, rng: Any, ids: Any, pdq: Any, phash: Any, of: Any, kind: Any) -> None:
    places = _pack(data / "images" / "packs" / "a-000.tar")
    species = rng.integers(0, _SPECIES, len(ids))
    species = np.where((kind > 0) & (rng.random(len(ids)) < 0.5), species[of], species)
    source = rng.integers(0, 4, len(ids))
    sources = pa.array(["commons", "eol", "gbif", "openverse"])
    tiers = pa.array([str(Tier.WEB), str(Tier.EXPERT), str(Tier.CITIZEN), str(Tier.WEB)])
    for start in range(0, len(ids), _FILE):
        here = slice(start, start + _FILE)
        count = len(ids[here])
        drawn = places[of[here] % _DRAWN]
        text = [f"{n:09}" for n in range(start, start + count)]
        columns = {
            "image_id": to_hex(ids[here]),
            "url": pa.array([f"https://site{n[-3:]}.example/photos/{n}.jpg" for n in text]),
            "species_id": pa.array([f"kew-{n}" for n in species[here].tolist()]),
            "source": sources.take(pa.array(source[here])),
            "tier": tiers.take(pa.array(source[here])),
            "licence": pa.array(["CC BY 4.0"] * count),
            "status": pa.array(["kept"] * count),
            "pack": pa.array(["a-000.tar"] * count),
            "offset": pa.array(drawn[:, 0]), "length": pa.array(drawn[:, 1]),
            "width": pa.array(rng.integers(400, 1000, count), pa.int32()),
            "height": pa.array(rng.integers(400, 1000, count), pa.int32()),
            "phash": pa.array(phash[here]),
            "pdq": pa.FixedSizeBinaryArray.from_buffers(
                pa.binary(32), count, [None, pa.py_buffer(np.ascontiguousarray(pdq[here]))]
            ),
            "quality": pa.array(np.full(count, 100, np.uint8)),
        }  # fmt: skip
        table = pa.table(
            [columns.get(f.name, pa.nulls(count, f.type)) for f in records.IMAGES],
            schema=records.IMAGES,
        )
        path = data / "images" / "tables" / f"unit-{start // _FILE:05}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path, compression="zstd", compression_level=1)


def _pack(path: Path) -> np.ndarray[Any, Any]:
    """Write drawn pictures; return offset and length of each."""
    path.parent.mkdir(parents=True)
    places, packed = [], b""
    for seed in range(_DRAWN):
        noise = np.random.default_rng(seed).integers(0, 256, (40, 53, 3), dtype=np.uint8)
        image = Image.fromarray(noise).resize((640, 480), Image.Resampling.BICUBIC)
        jpeg = encode(image, "JPEG", quality=85)
        places.append((len(packed) + tar.BLOCK, len(jpeg)))
        packed += tar.member(f"{hashlib.sha256(jpeg).hexdigest()}.jpg", jpeg)
    path.write_bytes(packed + tar.END)
    return np.array(places)


def watch(data: Path) -> tuple[float, int]:
    """Run the stage; return its seconds, and the most bytes that its processes took together."""
    command = [sys.executable, "-m", "dedup", "--data", str(data)]
    for setting in ("memory='8GiB'", "workers=2", "dashboard='127.0.0.1:0'"):
        command += ["--set", f"cluster.{setting}"]
    start, peak = time.monotonic(), 0
    with subprocess.Popen(command) as process:
        while process.poll() is None:
            peak = max(peak, together(process.pid))
            time.sleep(0.5)
    if process.returncode:
        sys.exit(process.returncode)
    return time.monotonic() - start, peak


def receipts(data: Path) -> dict[str, dict[str, Any]]:
    """Return the receipts of the stage."""
    folder = data / "verdicts" / "receipts"
    found = [json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.json")]
    return {receipt["unit"]: receipt for receipt in found}


def count(data: Path, planted: np.ndarray[Any, Any]) -> dict[str, float]:
    """Return how many pairs were looked at, how many copies missed, how many taken for others."""
    first, of = planted[:, np.argsort(planted[0], kind="stable")]

    def original(column: pa.ChunkedArray) -> Any:
        words = [int(name[:16], 16) for name in column.to_pylist()]
        return of[np.searchsorted(first, np.array(words, np.uint64))]

    columns = ["image_id", "keeper_id", "verdict", "reason"]
    table = pq.read_table(data / "verdicts" / "verdicts.parquet", columns=columns)
    kept = table.filter(pc.equal(table["verdict"], str(Verdict.KEEP)))["image_id"]
    once = np.unique(original(kept))
    copies = [str(each) for each in (Reason.NEAR_DUPLICATE, Reason.MIRRORED)]
    went = table.filter(pc.is_in(table["reason"], pa.array(copies)))
    wrong = int((original(went["image_id"]) != original(went["keeper_id"])).sum())
    looks = int(receipts(data)["candidates"]["detail"]["looks"])
    missed = len(kept) - len(once)
    return {"looks": looks, "copies": went.num_rows, "missed": missed, "wrong": wrong}


if __name__ == "__main__":
    main()
