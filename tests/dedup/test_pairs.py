import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from distributed import Client

from dedup import shares
from dedup.bands import masks, plan
from dedup.pairs import components, near_pairs, near_queries


def alike(rows: int, words: int, seed: int = 1) -> Any:
    """Hashes of which many are copies of others, with few to many bits changed."""
    rng = np.random.default_rng(seed)
    hashes = rng.integers(0, 2**64, (rows, words), dtype=np.uint64)
    for row in range(rows // 3, rows):
        hashes[row] = hashes[rng.integers(0, row)]
        for bit in rng.integers(0, 64 * words, max(rng.integers(-2, 14 * words**0.5), 0)):
            hashes[row, bit // 64] ^= np.uint64(1) << np.uint64(bit % 64)
    return hashes[:, 0] if words == 1 else hashes


def distances(queries: Any, hashes: Any) -> Any:
    """All with all, by numpy."""
    a, b = (each.reshape(len(each), -1) for each in (queries, hashes))
    return np.bitwise_count(a[:, None] ^ b[None]).sum(axis=2, dtype=np.int64)


def expected(queries: Any, hashes: Any, radius: int) -> list[tuple[int, int, int]]:
    apart = distances(queries, hashes)
    return [(int(i), int(j), int(apart[i, j])) for i, j in np.argwhere(apart <= radius)]


def rows(found: Any) -> list[tuple[int, int, int]]:
    return list(zip(*(column.tolist() for column in found), strict=True))


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("radius", [0, 1, 4, 7, 8, 10, 20])
def test_near_pairs_are_those_of_comparing_all_with_all(radius: int, threads: int) -> None:
    hashes = alike(1200, 1)
    pairs = [pair for pair in expected(hashes, hashes, radius) if pair[0] < pair[1]]
    assert rows(near_pairs(hashes, radius, threads=threads)) == pairs
    assert len(pairs) > 20


@pytest.mark.parametrize("radius", [0, 10, 31])
def test_so_they_are_for_256_bits(radius: int) -> None:
    hashes = alike(700, 4)
    pairs = [pair for pair in expected(hashes, hashes, radius) if pair[0] < pair[1]]
    assert rows(near_pairs(hashes, radius)) == pairs
    assert len(pairs) > 20


def test_full_buckets_are_no_special_case() -> None:
    hashes = alike(3000, 1) & np.uint64(0xFFF)  # all in one bucket, or nearly
    pairs = [pair for pair in expected(hashes, hashes, 1) if pair[0] < pair[1]]
    assert rows(near_pairs(hashes, 1)) == pairs


@pytest.mark.parametrize("words", [1, 4])
def test_queries_find_what_is_near_them_and_not_each_other(words: int) -> None:
    hashes = alike(900, words)
    assert rows(near_queries(hashes[500:], hashes[:500], 12)) == expected(
        hashes[500:], hashes[:500], 12
    )


@pytest.mark.parametrize(("words", "radius"), [(1, 8), (4, 31)])
def test_components_are_chains_of_pairs(words: int, radius: int) -> None:
    hashes = alike(1200, words)
    labels = np.arange(len(hashes))
    for i, j, _ in rows(near_pairs(hashes, radius)) * 8:
        labels[i] = labels[j] = min(labels[i], labels[j])
    for threads in (1, 2):
        assert components(hashes, radius, threads=threads).tolist() == labels.tolist()
    assert len(set(labels.tolist())) < 800


@pytest.mark.parametrize("shape", [(0,), (0, 4), (1,), (1, 4)])
def test_few_hashes_have_no_pairs(shape: tuple[int, ...]) -> None:
    hashes = np.zeros(shape, np.uint64)
    assert [len(column) for column in near_pairs(hashes, 8)] == [0, 0, 0]
    assert [len(column) for column in near_queries(hashes[:0], hashes, 8)] == [0, 0, 0]
    assert components(hashes, 8).tolist() == list(range(len(hashes)))


def test_what_is_no_hash_is_refused() -> None:
    with pytest.raises(ValueError, match=r"int64\[3\], not uint64"):
        components(np.arange(3), 8)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="0 to 63"):
        components(np.zeros(3, np.uint64), 64)


@pytest.mark.parametrize("words", [1, 4])
@pytest.mark.parametrize("radius", [0, 4, 8, 31, 63])
@pytest.mark.parametrize("count", [10, 10**4, 10**7])
def test_bands_leave_no_pair_a_gap(count: int, radius: int, words: int) -> None:
    bands = plan(count, words, radius)
    assert sum(band.radius + 1 for band in bands) >= radius + 1
    bits = [(band.word, band.shift + bit) for band in bands for bit in range(band.bits)]
    assert len(set(bits)) == len(bits)
    assert all(shift < 64 for _, shift in bits)
    assert len(masks(bands[0])[0]) == len(set(masks(bands[0])[0].tolist()))


@pytest.mark.parametrize(("words", "radius"), [(1, 8), (4, 31)])
def test_shares_of_two_processes_give_what_one_process_does(
    tmp_path: Path, cluster: str, words: int, radius: int
) -> None:
    hashes = alike(2000, words)
    bands = shares.prepare(tmp_path, hashes, radius)
    with Client(cluster) as client:
        tables = client.map(shares.tabulate, [tmp_path] * len(bands), bands)
        forests = client.gather(
            [
                client.submit(shares.edges, tmp_path, table, radius, keys)
                for band, table in zip(bands, tables, strict=True)
                for keys in shares.spans(band, 3)
            ]
        )
    found = shares.gather(tmp_path, reversed(forests))
    assert found.tolist() == components(hashes, radius).tolist()


def test_a_plain_processor_finds_the_same(tmp_path: Path) -> None:
    code = (
        "import numpy as np; from tests.dedup.test_pairs import *;"
        f"np.save({str(tmp_path / 'found.npy')!r}, np.stack(near_pairs(alike(1000, 1), 8)))"
    )
    plain = {**os.environ, "NUMBA_CPU_NAME": "x86-64-v3", "NUMBA_CPU_FEATURES": ""}
    subprocess.run([sys.executable, "-c", code], env=plain, check=True, timeout=100)
    found = np.load(tmp_path / "found.npy")
    assert np.array_equal(found, np.stack(near_pairs(alike(1000, 1), 8)))
