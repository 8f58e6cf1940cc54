"""Which pictures to show: a few of every kind, the same ones for the same tables."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from flora.records import Reason, Verdict
from report.database import Database, ask

SPECIES = 12
"""On a contact sheet."""
_TILES = 6
"""Pictures of each."""
_PAIRS = 8
"""Examples of a reason to remove, of misses, of confusions."""

SUSPECT = "Most suspect"
SHEETS = {
    SUSPECT: (
        "contested > 0 AND judged >= 10 AND pictures > 0",
        "contested / judged DESC, contested DESC, species_id",
    ),
    "With the fewest pictures": ("pictures > 0", "pictures, md5(species_id)"),
    "With the most pictures": ("pictures > 0", "pictures DESC, species_id"),
    "At random": ("pictures > 0", "md5(species_id)"),
}
"""Which species are on a contact sheet, and in what order. None is on two; the choice goes in this
order, the page in the other.
"""

_CHOSEN = """
SELECT species_id, name, family, pictures, judged, contested FROM species
WHERE {which} AND NOT list_contains($before::VARCHAR[], species_id) ORDER BY {order} LIMIT $limit"""

_TILED = f"""
SELECT species_id, image_id FROM stock WHERE species_id IN (SELECT unnest($chosen::VARCHAR[]))
QUALIFY row_number() OVER (PARTITION BY species_id ORDER BY image_id) <= {_TILES}
ORDER BY species_id, image_id"""

_REMOVED = f"""
WITH clusters AS (
  SELECT reason, cluster_id, count(*) AS claims,
    min({{'distance': distance, 'image_id': image_id}}) AS least
  FROM verdicts WHERE verdict <> 'keep' GROUP BY reason, cluster_id
), places AS (
  SELECT reason, cluster_id, least.image_id, count(*) OVER (PARTITION BY reason) - 1 AS last,
    row_number() OVER (
      PARTITION BY reason ORDER BY least.distance, claims DESC, cluster_id
    ) - 1 AS place
  FROM clusters
)
SELECT reason, cluster_id, image_id FROM places
WHERE place = 0 OR place * {_PAIRS - 1} // last > (place - 1) * {_PAIRS - 1} // last
ORDER BY reason, place"""
"""From the plainest cases to the hardest, by the distance of their hashes, evenly spread; where
there are no distances, from those that most listings claim."""

_MEMBERS = """
SELECT * FROM verdicts WHERE cluster_id IN (SELECT unnest($wanted::VARCHAR[])) ORDER BY ALL"""

_NAMED = """
SELECT species_id, name FROM species WHERE species_id IN (SELECT unnest($wanted::VARCHAR[]))"""

_MISSES = f"""
WITH near AS (
  SELECT image_id, species_id FROM stock
  SEMI JOIN (SELECT unnest([a, b]) AS image_id FROM pairs) USING (image_id)
)
SELECT a, b, distance, similarity, x.species_id AS species_a, y.species_id AS species_b
FROM pairs JOIN near AS x ON x.image_id = a JOIN near AS y ON y.image_id = b
ORDER BY similarity DESC NULLS LAST, a, b LIMIT {_PAIRS}"""

_GUESSED = """
CREATE TABLE guesses AS
SELECT key, label, top_labels[1] AS guess FROM read_parquet(getvariable('guesses'))
WHERE label >= 0 AND guess IS NOT NULL"""

_CONFUSED = f"""
CREATE TABLE confused AS
SELECT least(label, guess) AS a, greatest(label, guess) AS b, count(*) AS n FROM guesses
WHERE label <> guess GROUP BY ALL ORDER BY n DESC, a, b LIMIT {_PAIRS}"""

_MISTAKEN = """
WITH sides AS (
  SELECT n, a, b, a AS label, b AS other FROM confused
  UNION ALL SELECT n, a, b, b, a FROM confused
), packed AS (
  SELECT label, min(image_id) AS image_id FROM shelf SEMI JOIN sides USING (label) GROUP BY ALL
)
SELECT coalesce(any_value(species_id), 'label ' || label) AS species_id,
  count(key) AS tested, count(key) FILTER (guess = other) AS mistakes,
  [min(key) FILTER (guess = other), min(key), min(image_id)] AS image_ids
FROM sides LEFT JOIN guesses USING (label) LEFT JOIN packed USING (label)
  LEFT JOIN classes USING (label)
GROUP BY n, a, b, label, other ORDER BY n DESC, a, b, label"""
"""Two rows a pair."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Specimen:
    """A species on a contact sheet."""

    species_id: str
    name: str
    family: str | None
    pictures: int
    judged: int
    """Pictures listed under it that were judged..."""
    contested: int
    """...and those of them that went because another species claims them."""
    image_ids: Sequence[str]


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
    """One of two species that the model takes for each other."""

    species_id: str
    tested: int
    mistakes: int
    """How many of them were taken for the other."""
    image_ids: Sequence[str | None]
    """A mistaken picture of it, any that it was tested on, any at all; as far as there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """All pictures that are shown."""

    sheets: Mapping[str, Sequence[Specimen]]
    removed: Mapping[Reason, Sequence[Pair]]
    misses: Sequence[Pair]
    """Pairs that look most alike of those in which both pictures were kept."""
    confused: Sequence[tuple[Mistaken, Mistaken]]

    def image_ids(self) -> set[str]:
        """Return all pictures."""
        sheets = (one.image_ids for sheet in self.sheets.values() for one in sheet)
        mistaken = chain(*(side.image_ids for side in chain(*self.confused)))
        return {
            *chain(*sheets),
            *(side.image_id for side in self._sides()),
            *filter(None, mistaken),
        }

    def species_ids(self) -> set[str]:
        """Return the species that have to be named, but for those of the sheets."""
        named = chain(*(side.species for side in self._sides()))
        return {*named, *(side.species_id for side in chain(*self.confused))}

    def _sides(self) -> Iterator[Side]:
        return chain(*(pair.sides for pair in chain(*self.removed.values(), self.misses)))


def choose(db: Database, guesses: Path | None, limit: int = SPECIES) -> Examples:
    """Return what to show, *limit* species a sheet; confusions from the table *guesses*."""
    return Examples(
        sheets=_sheets(db, limit),
        removed=_removed(db),
        misses=_misses(db),
        confused=_confused(db, guesses) if guesses else [],
    )


def names(db: Database, species_ids: Iterable[str]) -> dict[str, str]:
    """Return the names of the species that have one."""
    return {row["species_id"]: row["name"] for row in ask(db, _NAMED, wanted=sorted(species_ids))}


def _sheets(db: Database, limit: int) -> dict[str, list[Specimen]]:
    chosen: dict[str, list[dict[str, Any]]] = {}
    before: list[str] = []
    for name, (which, order) in SHEETS.items():
        query = _CHOSEN.format(which=which, order=order)
        chosen[name] = ask(db, query, before=before, limit=limit)
        before += [row["species_id"] for row in chosen[name]]
    tiles: dict[str, list[str]] = {species_id: [] for species_id in before}
    for row in ask(db, _TILED, chosen=before):
        tiles[row["species_id"]].append(row["image_id"])
    return {
        name: [Specimen(**row, image_ids=tiles[row["species_id"]]) for row in rows]
        for name, rows in reversed(chosen.items())
        if rows
    }


def _removed(db: Database) -> dict[Reason, list[Pair]]:
    """Return for each reason pictures that went, each with what it is held against."""
    examples = ask(db, _REMOVED)
    wanted = [row["cluster_id"] for row in examples]
    members: dict[str, list[dict[str, Any]]] = {name: [] for name in wanted}
    for row in ask(db, _MEMBERS, wanted=wanted):
        members[row["cluster_id"]].append(row)
    found: dict[Reason, list[Pair]] = {}
    for row in examples:
        reason = Reason(row["reason"])
        pair = _pair(row["image_id"], reason, members[row["cluster_id"]])
        found.setdefault(reason, []).append(pair)
    return {reason: found[reason] for reason in Reason if reason in found}


def _pair(image_id: str, reason: Reason, rows: Sequence[Mapping[str, Any]]) -> Pair:
    """Return the removed picture of the cluster *rows*, after what it is held against."""
    gone = next(row for row in rows if row["image_id"] == image_id and row["reason"] == reason)
    if reason in (Reason.PLACEHOLDER, Reason.LOW_INFORMATION, Reason.HOLDOUT):
        species = sorted({row["species_id"] for row in rows if row["species_id"]})
        return Pair(sides=[Side(image_id=image_id, species=species, kept=False)])
    if reason in (Reason.CONFLICT, Reason.QUARANTINE):
        others = [row for row in rows if row["species_id"] != gone["species_id"]]
    else:
        others = [row for row in rows if row["image_id"] == gone["keeper_id"]
                  and row["verdict"] == Verdict.KEEP]  # fmt: skip
    others.sort(key=lambda row: row["image_id"] == image_id)
    sides = [
        Side(
            image_id=row["image_id"],
            species=[row["species_id"]] if row["species_id"] else [],
            kept=row["verdict"] == Verdict.KEEP,
        )
        for row in [*others[:1], gone]
    ]
    return Pair(sides=sides, distance=gone["distance"], similarity=gone["similarity"])


def _misses(db: Database) -> list[Pair]:
    return [
        Pair(
            sides=[
                Side(image_id=row[side], species=[row[f"species_{side}"]], kept=True)
                for side in "ab"
            ],
            distance=row["distance"],
            similarity=row["similarity"],
        )
        for row in ask(db, _MISSES)
    ]


def _confused(db: Database, guesses: Path) -> list[tuple[Mistaken, Mistaken]]:
    """Return the pairs of species that are most often taken for each other in *guesses*."""
    db.execute("SET VARIABLE guesses = $1", [str(guesses)])
    for query in (_GUESSED, _CONFUSED):
        db.execute(query)
    sides = [Mistaken(**row) for row in ask(db, _MISTAKEN)]
    return list(zip(sides[::2], sides[1::2], strict=True))
