"""Near-duplicates among millions of hashes: `make bench NAME=dedup` (some fifteen minutes).

The hashes are made by bench/hash_data.py: correlated bits, planted clusters, families, copies, a
heavy head. Each run is a process of its own, so that its peak of memory is its own too; it
compiles (or loads) the code on a few hashes, and then reads the clock.

- 12 million hashes, r = 8, as components: seconds and peak; again without AVX-512; as shares
  for two Dask workers of one thread each, against one thread.
- Exactness: 100,000 of them as queries against all, and the pairs of 1 million for four
  radii, equal to those of a plain loop over all.
- Peers: faiss's exhaustive search and its multi-index hashing (whose recall is 1 with these
  settings: 3 x 21 bits, 2 flips; 1 for r = 4), and pynear's (the 16 nearest), have no self-join.
  They are asked a subset of the hashes, those of them that differ, and the time is extrapolated
  to all. hammingbird, which has one, comes as source for a Rust compiler and is not compared.

`--ninety-million` and `--pdq` add the long parts (r = 6; 11 million of 256 bits, r = 31).
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bench.brute_force import all_pairs

PEERS = ("faiss-cpu==1.15.1", "pynear==2.6.0")
PLAIN = {"NUMBA_CPU_NAME": "x86-64-v3", "NUMBA_CPU_FEATURES": ""}
Figures = dict[str, Any]


def main() -> None:
    """Measure, print a table and one JSON object."""
    flags = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    flags.add_argument("--rows", type=int, default=12_000_000)
    flags.add_argument("--radius", type=int, default=8)
    flags.add_argument("--sample", type=int, default=100_000, help="queries against all")
    flags.add_argument("--pairs", type=int, default=1_000_000, help="hashes compared pair by pair")
    flags.add_argument("--queries", type=int, default=400, help="that faiss is asked")
    flags.add_argument("--peer-venv", type=Path, default=Path(sys.prefix) / "peers-dedup")
    flags.add_argument("--ninety-million", action="store_true")
    flags.add_argument("--pdq", action="store_true")
    args = flags.parse_args()
    peers = install(args.peer_venv)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        figures = {"n": args.rows, "radius": args.radius}
        many = made(folder, args.rows, 1)
        figures |= measure_components(many, args.radius)
        figures |= measure_exactness(folder, many, args)
        figures |= measure_peers(folder, peers, figures, many, args)
        if args.ninety_million:
            many.unlink()
            figures |= measure_more(made(folder, 90_000_000, 1), 6, "ninety_million")
        if args.pdq:
            figures |= measure_more(made(folder, 11_000_000, 4), 31, "pdq")
    print(json.dumps(figures))


def measure_components(path: Path, radius: int) -> Figures:
    """Return what components take: with all threads, one, Dask workers, a plain processor."""
    cores = len(os.sched_getaffinity(0))
    ours = apart(join_all, path, radius, cores)
    one = apart(join_all, path, radius, 1)
    plain = apart(join_all, path, radius, cores, **PLAIN)
    dask = apart(share_out, path, radius, 2)
    show("components", ours)
    show("one thread", one)
    show("without AVX-512", plain)
    show("two Dask workers", dask)
    if len({run["digest"] for run in (ours, one, plain, dask)}) > 1:
        sys.exit("The components differ.")
    return {
        "seconds": round(ours["seconds"], 2),
        "cpu_seconds": ours["cpu_seconds"],
        "peak_gib": round(ours["peak_gib"], 3),
        "one_thread_seconds": round(one["seconds"], 2),
        "without_avx512_seconds": round(plain["seconds"], 2),
        "dask_seconds": round(dask["seconds"], 2),
        "dask_vs_one_thread": round(one["seconds"] / dask["seconds"], 2),
    }


def measure_exactness(folder: Path, many: Path, args: argparse.Namespace) -> Figures:
    """Return the recall against a plain loop; stop if a pair is wrong."""
    sample = apart(check_sample, many, args.radius, args.sample)
    show(f"{args.sample:,} against all", sample)
    pairs = apart(check_pairs, made(folder, args.pairs, 1), 10, 0)
    for radius, run in pairs.pop("runs").items():
        show(f"{args.pairs:,} pair by pair, r = {radius}", run)
    return {"recall": min(sample["recall"], pairs["recall"])}


def measure_peers(
    folder: Path, python: Path, figures: Figures, many: Path, args: argparse.Namespace
) -> Figures:
    """Return how many times longer the peers take."""
    cores = len(os.sched_getaffinity(0))
    kinds = folder / "kinds.npy"
    np.save(kinds, np.unique(np.load(many)))
    best = np.inf
    for program in ("flat", "multihash-3x21x2"):
        run = peer(python, program, kinds, args.radius, args.queries, cores)
        show(f"faiss {program}, extrapolated", run)
        best = min(best, run["seconds"])
    found: Figures = {"vs_faiss": round(best / figures["seconds"])}
    few = folder / "few.npy"
    np.save(few, np.unique(np.load(made(folder, args.pairs, 1))))
    ours = apart(list_pairs, few, 4, cores)
    show(f"ours, {args.pairs:,} pairs, r = 4", ours)
    for name, program in (("faiss", "multihash-3x21x1"), ("pynear", "pynear")):
        run = peer(python, program, few, 4, 10 * args.queries, cores)
        show(f"{name}, {args.pairs:,}, r = 4, extrapolated", run)
        found[f"vs_{name}_r4"] = round(run["seconds"] / ours["seconds"], 1)
    return found


def measure_more(path: Path, radius: int, name: str) -> Figures:
    """Return seconds and peak of another search for components."""
    run = apart(join_all, path, radius, len(os.sched_getaffinity(0)))
    show(name, run)
    return {f"{name}_seconds": round(run["seconds"], 1), f"{name}_gib": round(run["peak_gib"], 2)}


def join_all(path: Path, radius: int, threads: int) -> Figures:
    """Find the components."""
    from dedup.pairs import components

    hashes = np.load(path)
    components(hashes[:1000], radius)
    start, cpu = time.perf_counter(), time.process_time()
    labels = components(hashes, radius, threads=threads)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    return {"seconds": seconds, "cpu_seconds": round(cpu, 2), **_summary(labels)}


def share_out(path: Path, radius: int, workers: int) -> Figures:
    """Find the components with Dask workers of one thread each, on this machine."""
    from distributed import Client, LocalCluster

    from dedup import shares

    hashes = np.load(path)
    with (
        tempfile.TemporaryDirectory(dir=path.parent) as temporary,
        LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        for rows in (1000, len(hashes)):
            folder = Path(temporary) / str(rows)
            folder.mkdir()
            start = time.perf_counter()
            bands = shares.prepare(folder, hashes[:rows], radius)
            tables = client.map(shares.tabulate, [folder] * len(bands), bands)
            forests = [
                client.submit(shares.edges, folder, table, radius, keys)
                for band, table in zip(bands, tables, strict=True)
                for keys in shares.spans(band, 2 * workers)
            ]
            labels = shares.gather(folder, (future.result() for future in forests))
            seconds = time.perf_counter() - start
    return {"seconds": seconds, **_summary(labels)}


def list_pairs(path: Path, radius: int, threads: int) -> Figures:
    """Find the pairs."""
    from dedup.pairs import near_pairs

    hashes = np.load(path)
    near_pairs(hashes[:1000], radius)
    start = time.perf_counter()
    found = near_pairs(hashes, radius, threads=threads)
    return {"seconds": time.perf_counter() - start, "found": len(found[0])}


def check_sample(path: Path, radius: int, count: int) -> Figures:
    """Compare the neighbours of some hashes with those that a plain loop finds."""
    from dedup.pairs import components, near_queries

    hashes = np.load(path)
    rows = np.random.default_rng(5).choice(len(hashes), count, replace=False)
    start = time.perf_counter()
    queries, neighbours, _ = near_queries(hashes[rows], hashes, radius)
    seconds = time.perf_counter() - start
    labels = components(hashes, radius)
    if not np.array_equal(labels[rows[queries]], labels[neighbours]):
        sys.exit("Neighbours are in different components.")
    truth = all_pairs(hashes[rows], hashes, radius)
    return {"seconds": seconds, **_compared(_codes(queries, neighbours), truth)}


def check_pairs(path: Path, radius: int, _: int) -> Figures:
    """Compare all pairs, for a few radii up to *radius*, with those that a plain loop finds."""
    from dedup.pairs import near_pairs

    hashes = np.load(path)
    truth = all_pairs(hashes, hashes, radius)
    i, j = truth >> np.uint64(32), truth & np.uint64(2**32 - 1)
    truth, i, j = (column[i < j] for column in (truth, i, j))
    apart = np.bitwise_count(hashes[i] ^ hashes[j])
    runs = {}
    for each in range(4, radius + 1, 2):
        near_pairs(hashes[:1000], each)
        start = time.perf_counter()
        found = near_pairs(hashes, each)
        runs[each] = {
            "seconds": time.perf_counter() - start,
            **_compared(_codes(*found[:2]), truth[apart <= each]),
        }
    return {"recall": min(run["recall"] for run in runs.values()), "runs": runs}


def _codes(i: Any, j: Any) -> Any:
    return (i.astype(np.uint64) << np.uint64(32)) | j.astype(np.uint64)


def _compared(found: Any, truth: Any) -> Figures:
    """Return the share of *truth* that was found; stop if more was."""
    if len(np.setdiff1d(found, truth, assume_unique=True)):
        sys.exit("Pairs were found that are none.")
    lost = len(np.setdiff1d(truth, found, assume_unique=True))
    return {"recall": 1 - lost / max(len(truth), 1), "found": len(found)}


def _summary(labels: Any) -> Figures:
    import hashlib

    parts = int((labels == np.arange(len(labels))).sum())
    return {"components": parts, "digest": hashlib.sha256(labels.tobytes()).hexdigest()}


def make(path: Path, rows: int, words: int) -> Figures:
    """Write hashes."""
    from bench.hash_data import generate

    hashes = generate(rows, words)
    np.save(path, hashes[:, 0] if words == 1 else hashes)
    return {}


def made(folder: Path, rows: int, words: int) -> Path:
    """Return a file of hashes, made if there is none."""
    path = folder / f"{rows}-{words}.npy"
    if not path.exists():
        apart(make, path, rows, words)
    return path


def apart(work: Callable[..., Figures], path: Path, *numbers: int, **environment: str) -> Figures:
    """Do *work* in a fresh process; add its peak of memory."""
    command = [sys.executable, "-m", "bench.dedup", work.__name__, path, *map(str, numbers)]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, check=False, env={**os.environ, **environment}
    )
    if done.returncode:
        sys.exit(done.returncode)
    result: Figures = json.loads(done.stdout)
    return result


def peer(
    python: Path, program: str, path: Path, radius: int, queries: int, threads: int
) -> Figures:
    """Run a peer."""
    script = Path(__file__).with_name("dedup_peers.py")
    command = [python, script, program, path, *map(str, (radius, queries, threads))]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    result: Figures = json.loads(done.stdout.splitlines()[-1])
    return result


def install(folder: Path) -> Path:
    """Return the Python of a virtual environment that has the peers."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        print(f"Installing {', '.join(PEERS)} in {folder}", flush=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PEERS], check=True)
    return python


def show(name: str, run: Figures) -> None:
    """Print a line."""
    rest = {
        key: value for key, value in run.items() if key not in ("seconds", "peak_gib", "digest")
    }
    peak = f"{run['peak_gib']:.2f} GiB" if "peak_gib" in run else ""
    print(f"{name:<36} {run.get('seconds', np.nan):>10.2f} s {peak:>10}  {rest or ''}", flush=True)


if __name__ == "__main__":
    works = (join_all, share_out, list_pairs, check_sample, check_pairs, make)
    chosen = {work.__name__: work for work in works}.get(sys.argv[1] if len(sys.argv) > 1 else "")
    if chosen is None:
        main()
    else:
        figures = chosen(Path(sys.argv[2]), *map(int, sys.argv[3:]))
        figures["peak_gib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(json.dumps(figures))
