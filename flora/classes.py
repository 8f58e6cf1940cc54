"""The class index: the number a species has for ever.

A list numbers its accepted species by family, genus and name, so it gives the same numbers
whenever it is read. A list that is read on top of another keeps every number that is there.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flora import records, synonymy
from flora.errors import ConfigError


def accepted_species(rows: pa.Table, links: synonymy.Links) -> pa.Table:
    """Return the accepted species in the order of a first numbering, with their row in *rows*."""
    at = np.flatnonzero(links.species == np.arange(rows.num_rows))
    table = rows.take(at).append_column("row", pa.array(at)).rename_columns({"id": "species_id"})
    order = ("family", "genus", "name", "species_id")
    columns = [name for name in records.SPECIES.names if name in table.column_names]
    return table.select([*columns, "row"]).sort_by([(name, "ascending") for name in order])


def read_before(folder: Path) -> pa.Table | None:
    """Return the species that *folder* has from a list read before, if any."""
    path = folder / "species.parquet"
    return records.read(path, records.SPECIES) if path.exists() else None


def number(fresh: pa.Table, before: pa.Table | None, folder: Path, *, extend: bool) -> pa.Table:
    """Return all species in the order of their class index, *before* and *fresh* together.

    Species are known again by id, or else by name and author, and then keep their old id. `row`
    is -1 for those that *before* alone has. Raises ConfigError where, without *extend*, a number
    would come to mean another species.
    """
    if before is None:
        return fresh.append_column("class_index", pa.array(range(fresh.num_rows), pa.int32()))
    if not extend and not before["species_id"].equals(fresh["species_id"]):
        raise ConfigError(
            f"{folder}: holds the classes of another list ({before.num_rows:,} species), and this "
            f"one ({fresh.num_rows:,} species) would number them anew. Add --extend to keep every "
            f"number and append what is new, or delete {folder} to start over."
        )
    place = _places(fresh, before)
    new = place < 0
    index = np.where(new, before.num_rows + np.cumsum(new) - 1, place).astype(np.int32)
    ids = before["species_id"].combine_chunks().take(pa.array(place, mask=new))
    fresh = fresh.set_column(0, "species_id", pc.coalesce(ids, fresh["species_id"]))
    fresh = fresh.append_column("class_index", pa.array(index))
    gone = np.setdiff1d(np.arange(before.num_rows), place)
    kept = before.take(gone).append_column("row", pa.array(np.full(len(gone), -1)))
    kept = kept.select(fresh.column_names)
    return pa.concat_tables([fresh, kept]).sort_by("class_index")


def _places(fresh: pa.Table, before: pa.Table) -> synonymy.Rows:
    """Return which row of *before* each species of *fresh* is, -1 for a new one."""
    place = synonymy.rows_of(fresh["species_id"], before["species_id"].combine_chunks())
    free = np.setdiff1d(np.arange(before.num_rows), place)
    unknown = np.flatnonzero(place < 0)
    found = synonymy.rows_of(_signed(fresh.take(unknown)), _signed(before.take(free)))
    claimed, first = np.unique(found, return_index=True)  # of two that claim one, the first
    claimed, first = claimed[claimed >= 0], first[claimed >= 0]
    place[unknown[first]] = free[claimed]
    return place


def _signed(species: pa.Table) -> pa.Array:
    """Return name and author in one."""
    both = pc.binary_join_element_wise(species["name"], species["authorship"], "\n")
    return both.combine_chunks()
