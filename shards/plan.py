"""Selection is data: which picture goes where stands in a table before a byte is packed."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from flora import ids, records
from flora.errors import StageError
from flora.ids import Ints
from flora.ledger import publish
from flora.records import Tier
from shards import selection
from shards.config import ShardSettings
from shards.selection import Selection
from shards.split import SPLITS, Sides, positions, split, within_cap

PLAN = pa.schema(
    {
        "image_id": pa.string(),
        "species_id": pa.string(),
        "label": pa.int32(),
        "split": pa.string(),
        "position": pa.int64(),
        "table": pa.string(),
        "row": pa.int32(),
        "pack": pa.string(),
        "offset": pa.int64(),
        "length": pa.int32(),
    }
)
"""shards/plan.parquet, in the order of the image packs; a row group is what is read at a time.

`position` is the place in the order over all pictures: train first, then val, then test.
`table` (of images/tables) and `row` say where the picture's best listing stands.
"""

_SPECIES = ["class_index", "species_id", "name", "genus", "family"]


def write(data: Path, settings: ShardSettings) -> int:
    """Write plan.parquet and classes.parquet for what the verdicts keep; return the pictures.

    Raises StageError where nothing is left to pack.
    """
    species = records.read(data / "checklist" / "species.parquet", records.SPECIES, _SPECIES)
    species = species.sort_by("class_index")
    chosen = selection.load(data, species["species_id"].to_pylist())
    tiers = np.array([str(tier) in settings.tiers for tier in Tier])
    chosen = chosen.take(np.flatnonzero(tiers[chosen.tier]))
    if not len(chosen):
        raise StageError(
            f"{data / 'verdicts'}: all pictures that are kept are of other tiers than shards.tiers "
            f"({', '.join(settings.tiers)}), so there is nothing to pack."
        )
    sides = split(chosen.ids, chosen.species, chosen.group, settings)
    stays = within_cap(chosen.ids, chosen.species, chosen.tier, sides, settings)
    chosen, sides = chosen.take(stays), sides[stays]
    classes, labels = _classes(species, chosen.species, sides)
    records.write(data / "shards" / "classes.parquet", classes)
    position = positions(chosen.ids, sides, settings.seed)
    with (
        publish(data / "shards" / "plan.parquet") as draft,
        pq.ParquetWriter(draft, PLAN, compression="zstd") as writer,
    ):
        for rows in _units(chosen, settings.gather_bytes):
            part = {
                "image_id": ids.to_hex(chosen.ids[rows]),
                "species_id": species["species_id"].take(chosen.species[rows]),
                "label": labels[chosen.species[rows]],
                "split": pa.array(SPLITS).take(sides[rows]),
                "position": position[rows],
                "table": pa.array(chosen.tables).take(chosen.table[rows]),
                "row": chosen.row[rows],
                "pack": pa.array(chosen.packs).take(chosen.pack[rows]),
                "offset": chosen.offset[rows],
                "length": chosen.length[rows],
            }
            writer.write_table(pa.table(part, schema=PLAN), len(rows))
    return len(chosen)


def _classes(species: pa.Table, of: Ints, sides: Sides) -> tuple[pa.Table, npt.NDArray[np.int32]]:
    """Return a row for each species that has pictures, in order of class index, and all labels."""
    counts = np.bincount(len(SPLITS) * of + sides, minlength=len(SPLITS) * len(species))
    counts = counts.reshape(-1, len(SPLITS))
    present = np.flatnonzero(counts.any(axis=1))
    labels = np.full(len(species), -1, np.int32)
    labels[present] = np.arange(len(present))
    table = species.take(present).append_column("label", pa.array(labels[present]))
    for name, column in zip(SPLITS, counts[present].T, strict=True):
        table = table.append_column(name, pa.array(column))
    return table.select(records.CLASSES.names).cast(records.CLASSES), labels


def _units(chosen: Selection, size: int) -> Iterator[Ints]:
    """Yield the rows of each unit, in the order of the packs: about *size* bytes of pictures."""
    name = np.argsort(np.argsort(chosen.packs))  # code of a pack -> its place in order of name
    order = np.lexsort((chosen.offset, name[chosen.pack]))
    begins = np.cumsum(chosen.length[order], dtype=np.int64) - chosen.length[order]
    yield from np.split(order, np.flatnonzero(np.diff(begins // size)) + 1)
