"""Selection is data: which picture goes where stands in a table before a byte is packed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from flora import records
from flora.errors import StageError
from flora.ledger import publish
from flora.records import KEPT, Tier, Verdict
from shards import pack
from shards.config import ShardSettings
from shards.split import SPLITS, Member, shuffled, split

_PLACE = ("pack", "offset", "length", "format", "source", "tier", "licence", "creator",
          "page_url", "url", "observation_id")  # fmt: skip

PLAN = pa.schema(
    [
        *(records.IMAGES.field(name) for name in ("image_id", "species_id", *_PLACE)),
        pa.field("name", pa.string()),
        pa.field("label", pa.int32()),
        pa.field("split", pa.string()),
        pa.field("shard", pa.string()),
    ]
)
"""shards/plan.parquet: one row group a shard, in the order of its samples."""


def write(data: Path, settings: ShardSettings) -> int:
    """Write plan.parquet and classes.parquet for what the verdicts keep; return the pictures.

    Raises StageError where they keep nothing.
    """
    kept = _kept(data)
    if not kept:
        raise StageError(f"{data / 'verdicts'}: no picture is kept, so there is nothing to pack.")
    members = [
        Member(image_id=row["image_id"], species_id=row["species_id"], links=_links(row))
        for row in kept.values()
    ]
    sides = split(members, settings)
    classes = _classes(data / "checklist", kept, sides)
    label = {row["species_id"]: row for row in classes}
    for row in kept.values():
        row.pop("cluster_id")
        row["name"] = label[row["species_id"]]["name"]
        row["label"] = label[row["species_id"]]["label"]
        row["split"] = sides[row["image_id"]]
    order = shuffled(list(kept), settings.seed)
    cut = [
        shard
        for side in SPLITS
        for shard in _cut([kept[key] for key in order if sides[key] == side], side, settings)
    ]
    folder = data / "shards"
    records.write(folder / "classes.parquet", records.table(records.CLASSES, classes))
    schema = PLAN.with_metadata({"shards": "\n".join(shard[0]["shard"] for shard in cut)})
    with (
        publish(folder / "plan.parquet") as draft,
        pq.ParquetWriter(draft, schema, compression="zstd") as writer,
    ):
        for shard in cut:
            table = records.table(PLAN, shard).replace_schema_metadata(schema.metadata)
            writer.write_table(table, len(shard))
    return len(kept)


def shard_names(folder: Path) -> list[str]:
    """Return the file names of the planned shards, in order of their row groups."""
    metadata = pq.read_metadata(folder / "plan.parquet").metadata
    return str(metadata[b"shards"].decode()).split("\n")


def _kept(data: Path) -> dict[str, dict[str, Any]]:
    """Return image_id -> what is known of a kept picture, from its best-tiered listing."""
    verdicts = records.read(data / "verdicts" / "verdicts.parquet", records.VERDICTS)
    verdicts = verdicts.filter(pc.equal(verdicts["verdict"], str(Verdict.KEEP)))
    verdicts = verdicts.select(["image_id", "species_id", "cluster_id"])
    images = records.read(
        data / "images" / "tables", records.IMAGES, ["image_id", "species_id", "status", *_PLACE]
    )
    images = images.filter(pc.equal(images["status"], KEPT)).drop_columns(["status"])
    tier = pc.index_in(images["tier"], pa.array([str(tier) for tier in Tier]))
    images = images.append_column("_tier", tier)
    rows = images.join(verdicts, ["image_id", "species_id"], join_type="inner")
    rows = rows.sort_by([(name, "descending") for name in ("image_id", "_tier", "url")])
    # descending, so that the best listing of a picture comes last and stays
    return {row["image_id"]: row for row in rows.drop_columns(["_tier"]).to_pylist()}


def _links(row: Mapping[str, Any]) -> tuple[str, ...]:
    observation = row["observation_id"]
    own = (f"cluster:{row['cluster_id']}",)
    return (*own, f"observation:{observation}") if observation else own


def _classes(
    checklist: Path, kept: Mapping[str, Mapping[str, Any]], sides: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return a row for each species that has pictures, numbered in order of class index."""
    columns = ["class_index", "species_id", "name", "genus", "family"]
    species = records.read(checklist / "species.parquet", records.SPECIES, columns)
    counts: dict[str, dict[str, int]] = {}
    for image_id, row in kept.items():
        of = counts.setdefault(row["species_id"], dict.fromkeys(SPLITS, 0))
        of[sides[image_id]] += 1
    present = species.filter(pc.is_in(species["species_id"], pa.array(list(counts))))
    rows = present.sort_by("class_index").to_pylist()
    return [{"label": label, **row, **counts[row["species_id"]]} for label, row in enumerate(rows)]


def _cut(
    rows: Sequence[dict[str, Any]], side: str, settings: ShardSettings
) -> list[list[dict[str, Any]]]:
    """Cut *rows* into shards of at most `shard_bytes`, and name them."""
    shards: list[list[dict[str, Any]]] = []
    left = 0
    for row in rows:
        need = pack.room(row)
        if not shards or need > left:
            shards.append([])
            left = settings.shard_bytes
        left -= need
        row["shard"] = f"{side}-{len(shards) - 1:06}.tar"
        shards[-1].append(row)
    return shards
