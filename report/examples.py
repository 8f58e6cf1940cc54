"""Which pictures to show: a few of every kind, the same ones for the same tables."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from flora import records
from flora.records import KEPT, Reason, Verdict
from report.tables import PAIRS, Counts, files, read, where

SPECIES = 48
"""On the contact sheet."""
_RARE, _TILES = 6, 6
"""Of them, those with the fewest pictures; and pictures of each."""
_REFUSED = 3
"""Examples of a reason to refuse."""
_PAIRS = 8
"""Examples of a reason to remove, of misses, of confusions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of two pictures that are, or might be, the same."""

    image_id: str
    species: Sequence[str]
    kept: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two such pictures, or one that is held against none."""

    sides: Sequence[Side]
    distance: int | None = None
    """Bits (of 256) in which their PDQ hashes differ, if they were compared."""
    similarity: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistaken:
    """One of two species (by its label) that the model takes for each other."""

    label: int
    tested: int
    mistakes: int
    """How many of them were taken for the other."""
    image_id: str
    """A picture of it, a mistaken one if there is any."""


def sheet(data: Path, counts: Counts, limit: int) -> dict[str, list[str]]:
    """Return pictures of up to *limit* species: the best-supplied, and a few of the rarest."""
    chosen = list(counts.kept)
    if len(chosen) > limit:
        rare = min(_RARE, limit // 4)
        chosen = [*chosen[: limit - rare], *chosen[len(chosen) - rare :]]
    path, columns = data / "verdicts" / "verdicts.parquet", ["image_id", "species_id", "verdict"]
    rows = where(path, records.VERDICTS, columns, "species_id", chosen)
    rows = rows.filter(pc.equal(rows["verdict"], str(Verdict.KEEP))).sort_by("image_id")
    return {
        species_id: rows["image_id"]
        .filter(pc.equal(rows["species_id"], species_id))
        .slice(0, _TILES)
        .to_pylist()
        for species_id in chosen
    }


def refused(data: Path, counts: Counts) -> dict[str, list[dict[str, Any]]]:
    """Return a few rows (url, source, http_status) of each reason."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in counts.statuses if name != KEPT}
    if not found:
        return {}
    table = ds.dataset(files(data / "images" / "tables"), schema=records.IMAGES)
    columns = ["status", "url", "source", "http_status"]
    for batch in table.to_batches(columns=columns, filter=ds.field("status") != KEPT):
        for reason, rows in found.items():
            if len(rows) < min(_REFUSED, counts.statuses[reason]):
                fresh = batch.filter(pc.equal(batch["status"], reason))
                rows += fresh.slice(0, _REFUSED - len(rows)).to_pylist()
        if all(len(rows) >= min(_REFUSED, counts.statuses[name]) for name, rows in found.items()):
            break
    return found


def removed(data: Path, reason: Reason) -> list[Pair]:
    """Return pictures that were removed for *reason*, each with what it is held against.

    From the plainest cases to the hardest (by the distance of their hashes), a cluster once.
    """
    path, columns = data / "verdicts" / "verdicts.parquet", ["image_id", "cluster_id", "distance"]
    rows = where(path, records.VERDICTS, columns, "reason", [str(reason)])
    rows = rows.sort_by([(name, "ascending") for name in ("distance", "cluster_id", "image_id")])
    chosen: dict[str, str] = {}
    for row in _spread(rows, 4 * _PAIRS).to_pylist():
        chosen.setdefault(row["cluster_id"], row["image_id"])
    clusters = _spread(pa.table({"cluster_id": list(chosen)}), _PAIRS)["cluster_id"].to_pylist()
    members = where(path, records.VERDICTS, records.VERDICTS.names, "cluster_id", clusters)
    found = [
        _sides(
            chosen[name], reason, [row for row in members.to_pylist() if row["cluster_id"] == name]
        )
        for name in clusters
    ]
    told = {row["image_id"]: row for row in members.to_pylist() if row["reason"] == reason}
    return [
        Pair(
            sides=sides,
            distance=told[chosen[name]]["distance"],
            similarity=told[chosen[name]]["similarity"],
        )
        for name, sides in zip(clusters, found, strict=True)
    ]


def misses(data: Path) -> list[Pair]:
    """Return the pairs that look most alike of those in which both pictures were kept."""
    path, columns = data / "verdicts" / "verdicts.parquet", ["image_id", "species_id", "verdict"]
    near = read(data / "verdicts" / "pairs", PAIRS, PAIRS.names)
    ids = pa.concat_arrays([near[side].combine_chunks() for side in "ab"]).unique()
    rows = where(path, records.VERDICTS, columns, "image_id", ids)
    kept = rows.filter(pc.equal(rows["verdict"], str(Verdict.KEEP)))
    both = pc.and_(*(pc.is_in(near[side], kept["image_id"].combine_chunks()) for side in "ab"))
    order = [("similarity", "descending"), ("a", "ascending"), ("b", "ascending")]
    best = near.filter(both).sort_by(order).slice(0, _PAIRS).to_pylist()
    shown = pa.array({row[side] for row in best for side in "ab"}, pa.string())
    few = kept.filter(pc.is_in(kept["image_id"], shown)).to_pylist()
    under = {row["image_id"]: [row["species_id"]] for row in few}
    return [
        Pair(
            sides=[Side(image_id=row[side], species=under[row[side]], kept=True) for side in "ab"],
            distance=row["distance"],
            similarity=row["similarity"],
        )
        for row in best
    ]


def confusions(data: Path, run: Path, split: str) -> list[tuple[Mistaken, Mistaken]]:
    """Return the pairs of species that the model of *run* takes for each other most often."""
    path = run / f"predictions-{split}.parquet"
    table = read(path, records.PREDICTIONS, ["key", "label", "top_labels"])
    truth = table["label"].to_numpy()
    guess = pc.list_element(table["top_labels"], 0).to_numpy() if len(truth) else truth
    wrong = truth != guess
    mistakes = Counter(zip(truth[wrong].tolist(), guess[wrong].tolist(), strict=True))
    sums: Counter[tuple[int, int]] = Counter()
    for (a, b), count in mistakes.items():
        sums[min(a, b), max(a, b)] += count
    pairs = sorted(sums, key=lambda pair: (-sums[pair], pair))[:_PAIRS]
    at: dict[tuple[int, int], int] = {}  # (species, taken for) -> a row
    for row in np.flatnonzero(np.isin(truth, np.unique(pairs)))[::-1].tolist():
        at[int(truth[row]), int(guess[row])] = at[int(truth[row]), -1] = row
    packed = _packed(data, {label for pair in pairs for label in pair})

    def one(label: int, other: int) -> Mistaken:
        row = at.get((label, other), at.get((label, -1)))
        return Mistaken(
            label=label,
            tested=int((truth == label).sum()),
            mistakes=mistakes[label, other],
            image_id=packed.get(label, "") if row is None else table["key"][row].as_py(),
        )

    return [(one(a, b), one(b, a)) for a, b in pairs]


def _packed(data: Path, labels: set[int]) -> dict[int, str]:
    """Return a picture in the shards of each label, for species that were not tested."""
    path, columns = data / "shards" / "index.parquet", ["label", "image_id"]
    rows = where(path, records.INDEX, columns, "label", sorted(labels)).group_by("label")
    return {
        row["label"]: row["image_id_min"]
        for row in rows.aggregate([("image_id", "min")]).to_pylist()
    }


def _spread(table: pa.Table, count: int) -> pa.Table:
    """Return *count* rows from the first to the last of *table*, evenly far apart."""
    places = np.linspace(0, table.num_rows - 1, min(count, table.num_rows))
    return table.take(np.unique(places.round().astype(np.int64)))


def _sides(image_id: str, reason: Reason, rows: Sequence[Mapping[str, Any]]) -> list[Side]:
    """Return the removed picture of the cluster *rows*, after what it is held against."""
    gone = next(r for r in rows if r["image_id"] == image_id and r["reason"] == reason)
    if reason in (Reason.PLACEHOLDER, Reason.LOW_INFORMATION, Reason.HOLDOUT):
        species = sorted({row["species_id"] for row in rows})
        return [Side(image_id=image_id, species=species, kept=False)]
    if reason in (Reason.CONFLICT, Reason.QUARANTINE):
        others = [row for row in rows if row["species_id"] != gone["species_id"]]
    else:
        others = [row for row in rows if row["image_id"] == gone["keeper_id"]
                  and row["verdict"] == Verdict.KEEP]  # fmt: skip
    others.sort(key=lambda row: (row["image_id"] == image_id, row["image_id"], row["species_id"]))
    return [
        Side(
            image_id=row["image_id"],
            species=[row["species_id"]],
            kept=row["verdict"] == Verdict.KEEP,
        )
        for row in [*others[:1], gone]
    ]
