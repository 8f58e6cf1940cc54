"""All near pairs by a plain loop, to hold a search against: no part of what is tested."""

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np

_PART, _CACHED = 1000, 2048


def all_pairs(queries: Any, hashes: Any, radius: int) -> Any:
    """Return all near pairs in order, each as query x 2^32 + hash, by comparing all with all."""

    def part(start: int) -> Any:
        found = np.empty(1 << 16, np.uint64)
        while (count := _loop(queries, start, start + _PART, hashes, radius, found)) > len(found):
            found = np.empty(count, np.uint64)
        return found[:count]

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        return np.sort(np.concatenate(list(pool.map(part, range(0, len(queries), _PART)))))


@numba.njit(cache=True, nogil=True)
def _loop(queries: Any, first: int, last: int, hashes: Any, radius: int, found: Any) -> int:
    """Compare queries with all hashes: count over a block, and if there are any, one by one."""
    count = 0
    for start in range(0, len(hashes), _CACHED):
        block = hashes[start : start + _CACHED]
        for query in range(first, min(last, len(queries))):
            near, own = 0, queries[query]
            for other in range(len(block)):
                near += _bits(own ^ block[other]) <= radius
            if near:
                for other in range(len(block)):
                    if _bits(own ^ block[other]) <= radius:
                        if count < len(found):
                            found[count] = (np.uint64(query) << np.uint64(32)) | np.uint64(
                                start + other
                            )
                        count += 1
    return count


@numba.njit(cache=True)
def _bits(word: Any) -> int:
    """Count bits by the book."""
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    pairs = np.uint64(0x3333333333333333)
    word = (word & pairs) + ((word >> np.uint64(2)) & pairs)
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((word * np.uint64(0x0101010101010101)) >> np.uint64(56))
