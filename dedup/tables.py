"""The tables of the verdicts folder, written from columns of numbers, a part at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dedup.candidates import Edges
from dedup.listings import PLACE, Ints, Listings, Pictures, first_rows, places, scan
from dedup.rule import Answer
from dedup.verdicts import REASONS, Claims
from flora import records
from flora.ids import to_hex
from flora.ledger import publish
from flora.records import PROVENANCE, VERDICTS, Reason, Verdict

CANDIDATES = pa.schema(
    {
        "i": pa.int32(),
        "j": pa.int32(),
        "distance": pa.uint16(),
        "phash_distance": pa.uint16(),
        "mirrored": pa.bool_(),
        "answer": pa.uint8(),
    }
)
"""candidates.parquet: pairs by the numbers of their pictures, the better one first."""

LOOKS = pa.schema(
    {
        "i": pa.int32(),
        "j": pa.int32(),
        "a": pa.string(),
        "b": pa.string(),
        "distance": pa.uint16(),
        "phash_distance": pa.uint16(),
        "mirrored": pa.bool_(),
        **{f"{side}_{name}": kind for side in "ab" for name, kind in PLACE.items()},
    }
)
"""looks.parquet: the pairs to look at, and where their bytes lie; a row group a unit."""

_ROWS = 500_000

_VERDICTS = {
    **dict.fromkeys(Reason, Verdict.DROP),
    **dict.fromkeys((Reason.UNIQUE, Reason.KEEPER), Verdict.KEEP),
    **dict.fromkeys((Reason.QUARANTINE, Reason.LOW_INFORMATION), Verdict.SET_ASIDE),
}


def write_candidates(path: Path, edges: Edges) -> None:
    """Write all pairs."""
    columns = [getattr(edges, name) for name in CANDIDATES.names]
    records.write(path, pa.table(columns, schema=CANDIDATES))


def read_candidates(path: Path) -> Edges:
    """Return all pairs. Raises ContractError."""
    table = records.read(path, CANDIDATES)
    return Edges(**{name: table[name].to_numpy() for name in CANDIDATES.names})


def write_looks(
    path: Path, images: Path, edges: Edges, pictures: Pictures, listings: Listings, unit: int
) -> int:
    """Write the pairs that need a look, *unit* to a row group; return how many there are."""
    open_ = edges.take(edges.answer == Answer.LOOK)
    first = first_rows(listings, len(pictures))
    with (
        publish(path) as draft,
        pq.ParquetWriter(draft, LOOKS, compression="zstd") as writer,
    ):
        step = max(_ROWS // unit, 1) * unit
        for start in range(0, len(open_), step):
            some = open_.take(slice(start, start + step))
            where = {
                f"{side}_{name}": column
                for side, numbers in (("a", some.i), ("b", some.j))
                for name, column in zip(PLACE, places(images, first[numbers]), strict=True)
            }
            ids = {"a": to_hex(pictures.ids[some.i]), "b": to_hex(pictures.ids[some.j])}
            kept = {name: getattr(some, name) for name in CANDIDATES.names if name != "answer"}
            columns = {**kept, **ids, **where}
            table = pa.table([columns[name] for name in LOOKS.names], schema=LOOKS)
            writer.write_table(table, unit)
    return len(open_)


@dataclass(frozen=True, slots=True)
class Verdicts:
    """The verdicts as rows of their table, any of them at a time."""

    pictures: Pictures
    listings: Listings
    claims: Claims
    edges: Edges
    similarity: npt.NDArray[np.float32]
    """Of the edges; NaN where their pixels were not looked at."""

    def rows(self, rows: Ints) -> pa.Table:
        """Return some *rows*."""
        ids, claims = self.pictures.ids, self.claims
        why, keeper = claims.reason[rows], claims.keeper[rows]
        genus = [claims.genus.get(row) or None for row in rows.tolist()]
        columns = {
            "image_id": to_hex(ids[claims.picture[rows]]),
            "species_id": _taken(self.listings.species_ids, claims.species[rows]),
            "verdict": _taken(pa.array([str(_VERDICTS[reason]) for reason in REASONS]), why),
            "reason": _taken(pa.array([str(reason) for reason in REASONS]), why),
            "cluster_id": to_hex(ids[claims.cluster[rows]]),
            "keeper_id": _blanked(to_hex(ids[np.maximum(keeper, 0)]), keeper < 0),
            **_evidence(self.edges, self.similarity, claims.edge[rows]),
            "genus": pa.array(genus, pa.string()),
        }
        return pa.table([columns[name] for name in VERDICTS.names], schema=VERDICTS)

    def write(self, path: Path) -> None:
        """Write all of them."""
        every = np.arange(len(self.claims.picture))
        with (
            publish(path) as draft,
            pq.ParquetWriter(draft, VERDICTS, compression="zstd") as writer,
        ):
            for start in range(0, max(len(every), 1), _ROWS):
                writer.write_table(self.rows(every[start : start + _ROWS]))


def _evidence(edges: Edges, similarity: npt.NDArray[np.float32], edge: Ints) -> dict[str, pa.Array]:
    """Return rule and distances of each *edge*; nulls for -1."""
    none = edge < 0
    if not len(edges):
        edges, edge = _NO_EDGE, np.zeros(len(edge), np.int64)
        similarity = np.zeros(1, np.float32)
    looked = edges.answer[edge] == Answer.LOOK
    unseen = np.isnan(similarity[edge])
    return {
        "rule": _blanked(_taken(pa.array(["pdq", "pixels"]), looked.astype(np.int64)), none),
        "distance": pa.array(edges.distance[edge].astype(np.int32), mask=none),
        "phash_distance": pa.array(edges.phash_distance[edge].astype(np.int32), mask=none),
        "similarity": pa.array(similarity[edge], mask=none | unseen),
    }


_NO_EDGE = Edges(
    i=np.zeros(1, np.int32), j=np.zeros(1, np.int32), distance=np.zeros(1, np.uint16),
    phash_distance=np.zeros(1, np.uint16), mirrored=np.zeros(1, np.bool_),
    answer=np.zeros(1, np.uint8),
)  # fmt: skip


def write_provenance(
    path: Path, images: Path, pictures: Pictures, listings: Listings, claims: Claims
) -> int:
    """Write every listing of what yields to a keeper; return how many there are."""
    copies = [REASONS.index(reason) for reason in (Reason.NEAR_DUPLICATE, Reason.MIRRORED)]
    gone = np.isin(claims.reason, copies)
    keeper = np.full(len(pictures), -1, np.int32)
    keeper[claims.picture[gone]] = claims.keeper[gone]
    some = np.flatnonzero(keeper[listings.picture] >= 0)
    with (
        publish(path) as draft,
        pq.ParquetWriter(draft, PROVENANCE, compression="zstd") as writer,
    ):
        writer.write_table(PROVENANCE.empty_table())  # there may be nothing else
        for table in _batches(images, listings.row[some], PROVENANCE.names[1:]):
            here = some[: table.num_rows]
            some = some[table.num_rows :]
            ids = to_hex(pictures.ids[keeper[listings.picture[here]]])
            writer.write_table(table.add_column(0, PROVENANCE.field(0), ids))
    return int((keeper[listings.picture] >= 0).sum())


def _batches(images: Path, rows: Ints, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Yield *columns* of *rows*, some files together: small row groups are slow to read."""
    parts: list[pa.Table] = []
    for _, table in scan(images, rows, columns):
        parts.append(table)
        if sum(part.num_rows for part in parts) >= _ROWS // 10:
            yield pa.concat_tables(parts)
            parts = []
    if parts:
        yield pa.concat_tables(parts)


def _taken(values: pa.Array, places: npt.NDArray[np.integer]) -> pa.Array:
    """Return *values* at *places*; null for -1."""
    return values.take(pa.array(places, pa.int32(), mask=places < 0))


def _blanked(values: pa.Array, none: npt.NDArray[np.bool_]) -> pa.Array:
    return pc.if_else(pa.array(none), pa.scalar(None, values.type), values)
