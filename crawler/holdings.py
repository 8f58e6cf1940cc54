"""How many photographs the candidates have, of each species and from each table."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

Counts = npt.NDArray[np.int64]

_BATCH = 100_000
_ODD = 0x9E3779B97F4A7C15 - 2**64
"""Spreads the hashes of species; any odd number with bits all over would do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Photographs:
    """Distinct photographs; one that is listed for two species counts for both."""

    of_species: Counts
    """Of each species asked about."""
    of_table: Counts
    """Of whatever species, that each table was the first to list."""


def count(tables: Sequence[Path], species_ids: Sequence[str]) -> Photographs:
    """Count what *tables* list. Of a row only its hash is kept, so 12 million fit in a GiB."""
    species = pa.array(species_ids, pa.string())
    keys, codes, ends = [np.zeros(0, np.int64)], [np.zeros(0, np.int32)], []
    for path in tables:
        with pq.ParquetFile(path) as file:
            photograph = "photo_id" if "photo_id" in file.schema_arrow.names else "url"
            for batch in file.iter_batches(_BATCH, columns=["species_id", photograph]):
                listed = batch["species_id"].dictionary_encode()
                at, ids = listed.indices.to_numpy(), listed.dictionary
                keys.append(_hashes(batch[photograph]) + (_hashes(ids) * _ODD)[at])
                known = pc.fill_null(pc.index_in(ids, value_set=species), -1)
                codes.append(known.to_numpy()[at])
        ends.append(sum(map(len, keys)))
    _, first = np.unique(np.concatenate(keys), return_index=True)
    found = np.concatenate(codes)[first]
    brought = np.searchsorted(np.array(ends), first, side="right")
    return Photographs(
        of_species=np.bincount(found[found >= 0], minlength=len(species)),
        of_table=np.bincount(brought, minlength=len(tables)),
    )


def _hashes(strings: pa.Array) -> Counts:
    return np.fromiter(map(hash, strings.to_numpy(zero_copy_only=False)), np.int64, len(strings))
