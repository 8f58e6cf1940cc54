"""The units of the stage, as workers do them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from dedup import candidates, closeup, evaluation, holdout, listings, page, tables, verdicts
from dedup.candidates import Edges
from dedup.config import DedupSettings
from dedup.listings import Pictures
from dedup.rule import Answer
from dedup.tables import LOOKS
from dedup.verdicts import Court
from flora import records
from flora.ledger import slug
from flora.packs import Packs
from flora.records import HOLDOUT, Reason
from flora.stage import Outcome
from flora.tally import Meter

BLANK_QUALITY = 10
"""A picture of less PDQ quality has nothing to see on it. Sharp photographs have 100, and 20 or
more when they are blurred beyond recognition; paper and sensor noise have 0, a line of text 6."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What a worker needs for a unit of this stage."""

    data: Path
    settings: DedupSettings
    unit: str
    row_group: int = 0
    tested: Path | None = None
    """The evaluation set, if there is one."""

    @property
    def images(self) -> Path:
        """The folder of the images stage."""
        return self.data / "images"

    @property
    def folder(self) -> Path:
        """The folder of this stage."""
        return self.data / "verdicts"


def find(task: Task) -> Outcome:
    """Write all pairs of pictures whose hashes are near."""
    pictures, listed = listings.load(task.images)
    place = listings.priority(pictures)
    edges = candidates.find(pictures, ~_blank(pictures), place, task.settings)
    tables.write_candidates(task.folder / "candidates.parquet", edges)
    path, unit = task.folder / "looks.parquet", task.settings.unit_pairs
    looks = tables.write_looks(path, task.images, edges, pictures, listed, unit)
    return Outcome(rows=len(edges), detail={"looks": looks})


def compare(task: Task) -> Outcome:
    """Write how alike the pixels of some pairs are."""
    with pq.ParquetFile(task.folder / "looks.parquet") as file:
        table = file.read_row_group(task.row_group).cast(LOOKS)
    places = {
        number: place
        for end, side in (("i", "a"), ("j", "b"))
        for number, *place in zip(
            *(table[name].to_pylist() for name in (end, *(f"{side}_{n}" for n in listings.PLACE))),
            strict=True,
        )
    }
    meter, found = Meter("pixels"), []
    asked = zip(*(table[name].to_pylist() for name in ("i", "j", "mirrored")), strict=True)
    with Packs(task.images) as packs:
        for seen in closeup.look(asked, lambda number: packs.read(*places[number])):
            found.append(seen)
            meter.count(rows=1)
    meter.flush()
    columns = dict(
        zip(("similarity", "inside_a", "inside_b"), zip(*found, strict=True), strict=True)
    )
    done = pa.table(
        [columns.get(field.name) or table[field.name] for field in records.PAIRS],
        schema=records.PAIRS,
    )
    records.write(task.folder / "pairs" / f"{slug(task.unit)}.parquet", done)
    return Outcome(rows=done.num_rows)


def hold_out(task: Task) -> Outcome:
    """Write which pictures are also in the evaluation set."""
    assert task.tested is not None
    tested = evaluation.load(task.tested)
    pictures, listed = listings.load(task.images)
    found = holdout.find(tested, task.images, pictures, listed, task.settings)
    records.write(task.folder / "evaluation.parquet", found)
    return Outcome(rows=found.num_rows)


def decide(task: Task) -> Outcome:
    """Write the verdicts, what they are made from, and a page of examples."""
    pictures, listed = listings.load(task.images)
    edges, similarity, inside = _verified(task, len(pictures))
    removed = {Reason.LOW_INFORMATION: _blank(pictures)}
    if task.tested is not None:
        direct = records.read(task.folder / "evaluation.parquet", HOLDOUT)
        report, gone = holdout.spread(direct, pictures, edges)
        records.write(task.folder / "holdout.parquet", report)
        removed[Reason.HOLDOUT] = gone
        free = ~(gone[edges.i] | gone[edges.j])
        edges, similarity = edges.take(free), similarity[free]
    else:
        (task.folder / "holdout.parquet").unlink(missing_ok=True)
    court = Court(
        images=task.images, listings=listed, place=listings.priority(pictures, inside),
        edges=edges, removed=removed, genera=_genera(task.data), settings=task.settings,
    )  # fmt: skip
    claims = court.judge()
    found = tables.Verdicts(pictures, listed, claims, edges, similarity)
    found.write(task.folder / "verdicts.parquet")
    path = task.folder / "provenance.parquet"
    tables.write_provenance(path, task.images, pictures, listed, claims)
    sources = verdicts.noise(listed, claims)
    page.write(task.data, task.settings.similarity, found, sources)
    detail = {"pictures": len(pictures), "clusters": claims.clusters(),
              "reasons": claims.counts(), "sources": sources}  # fmt: skip
    return Outcome(rows=len(claims.picture), detail=detail)


def _verified(
    task: Task, pictures: int
) -> tuple[Edges, npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return the pairs that are the same picture, their similarity, and each picture's inside."""
    edges = tables.read_candidates(task.folder / "candidates.parquet")
    similarity = np.full(len(edges), np.nan, np.float32)
    inside = np.ones(pictures, np.float32)
    open_ = np.flatnonzero(edges.answer == Answer.LOOK)
    if len(open_):
        columns = ["similarity", "inside_a", "inside_b"]
        told = records.read(task.folder / "pairs", records.PAIRS, columns)
        similarity[open_] = told["similarity"].to_numpy()
        inside[edges.i[open_]] = told["inside_a"].to_numpy()
        inside[edges.j[open_]] = told["inside_b"].to_numpy()
    same = (edges.answer == Answer.SAME) | (similarity >= task.settings.similarity)
    return edges.take(same), similarity[same], inside


def _blank(pictures: Pictures) -> npt.NDArray[np.bool_]:
    return np.asarray(pictures.quality < BLANK_QUALITY)


def _genera(data: Path) -> Mapping[str, str]:
    path = data / "checklist" / "species.parquet"
    if not path.is_file():
        return {}
    table = records.read(path, records.SPECIES, ["species_id", "genus"])
    return dict(zip(table["species_id"].to_pylist(), table["genus"].to_pylist(), strict=True))
