"""The peers of bench/dedup.py, run by the Python of a virtual environment of their own.

`python dedup_peers.py PROGRAM HASHES.npy RADIUS QUERIES THREADS` prints one JSON object: the
seconds that all hashes as queries would take (extrapolated from QUERIES of them; building the
index is counted in full), and what was found for those.
"""

import json
import resource
import sys
import time

import numpy as np


def faiss_index(kind, bits):
    """Return an empty index."""
    import faiss

    if kind == "flat":
        return faiss.IndexBinaryFlat(bits)
    count, width, flips = (int(part) for part in kind.removeprefix("multihash-").split("x"))
    index = faiss.IndexBinaryMultiHash(bits, count, width)
    index.nflip = flips
    return index


def faiss_search(kind, hashes, radius, queries, threads):
    """Build an index of *hashes*, and search it for some of them."""
    import faiss

    faiss.omp_set_num_threads(threads)
    codes = hashes.view(np.uint8).reshape(len(hashes), -1)
    start = time.perf_counter()
    index = faiss_index(kind, codes.shape[1] * 8)
    index.add(codes)
    built = time.perf_counter() - start
    some = codes[:: len(codes) // queries][:queries]
    start = time.perf_counter()
    limits, _, _ = index.range_search(some, radius + 1)  # it stops short of its radius
    took = time.perf_counter() - start
    return {
        "seconds": built + took * len(codes) / len(some),
        "built": built,
        "found": int(limits[-1]),
        "queries": len(some),
    }


def pynear_search(hashes, radius, queries):
    """The same, for the 16 nearest of each."""
    import pynear

    codes = hashes.view(np.uint8).reshape(len(hashes), -1)
    index = pynear.MIHBinaryIndex(4)
    start = time.perf_counter()
    index.set(codes)
    built = time.perf_counter() - start
    some = codes[:: len(codes) // queries][:queries]
    start = time.perf_counter()
    _, apart = index.searchKNN_arrays(some, 16, radius)
    took = time.perf_counter() - start
    return {
        "seconds": built + took * len(codes) / len(some),
        "built": built,
        "found": int((apart <= radius).sum()),
        "queries": len(some),
    }


def main():
    """Run one peer."""
    program, path, radius, queries, threads = sys.argv[1:]
    hashes = np.load(path)
    if program == "pynear":
        result = pynear_search(hashes, int(radius), int(queries))
    else:
        result = faiss_search(program, hashes, int(radius), int(queries), int(threads))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({**result, "peak_gib": peak}))


if __name__ == "__main__":
    main()
