"""The numbers: what the tables and receipts of all stages add up to."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from flora.ledger import Ledger, Receipt
from flora.records import KEPT
from report.database import Database

Rows = Sequence[tuple[Any, ...]]
Ints = npt.NDArray[np.int64]

SPLITS = ("train", "val", "test")
LEVELS = (1, 10, 50)
"""Pictures that a species may have reached."""
SIDES = (128, 256, 512, 1024, 2048, 4096)
LENGTHS = (16, 64, 256, 1024, 4096)
"""Bounds of the classes of sizes: pixels of the shorter side, KiB."""
_CLUSTERS = (2, 3, 6, 11, 101)
_MANY = 5
"""Species that claim a picture: with more, it shows none of them in particular."""
_CLAIMS = 12
"""Pairs of species that are told."""

_STAGES = ("checklist", "candidates", "images", "verdicts", "shards")
_CREATIVE_COMMONS = re.compile(r"\b(by(?:[- ]nc)?(?:[- ](?:sa|nd))?)\b[-/ ]*(?:(\d)[.-](\d))?")


def _class(value: str, bounds: Iterable[int]) -> str:
    """Return how many of *bounds* the *value* reaches."""
    return " + ".join(f"({value} >= {bound})::INT" for bound in bounds)


_ANSWERS = {
    "names": """
SELECT CASE WHEN species_id IS NULL THEN how END AS why, count(*) AS n
FROM names GROUP BY why ORDER BY why IS NOT NULL, n DESC, why""",
    "listed": "SELECT count(*) FROM candidates",
    "planned": "SELECT count(*) FROM plans",
    "statuses": "SELECT status, count(*) AS n FROM images GROUP BY ALL ORDER BY n DESC, status",
    # the first 64 bits of a sha256 tell 12 million pictures apart, but for one chance in 250,000
    "differing": "SELECT count(DISTINCT ('0x' || left(image_id, 16))::UBIGINT) FROM images",
    "reasons": "SELECT reason, count(*) AS n FROM verdicts GROUP BY ALL ORDER BY n DESC, reason",
    "gone": """
WITH gone AS (
  SELECT image_id, min(reason) AS reason FROM verdicts WHERE verdict <> 'keep' GROUP BY ALL
), stays AS (
  SELECT image_id FROM verdicts SEMI JOIN gone USING (image_id) WHERE verdict = 'keep'
)
SELECT reason, count(*) AS n FROM gone ANTI JOIN stays USING (image_id)
GROUP BY ALL ORDER BY n DESC, reason""",
    "kept": "SELECT count(*) FROM verdicts WHERE verdict = 'keep'",
    "packed": """
SELECT sum(train)::BIGINT, sum(val)::BIGINT, sum(test)::BIGINT FROM classes""",
    "scope": """
SELECT count(*) FILTER (wanted), count(*) FILTER (accepted), count(*) FILTER (pictures > 0)
FROM species""",
    "reached": f"""
SELECT least, count(*) FILTER (wanted AND pictures >= least),
  count(*) FILTER (accepted AND pictures >= least)
FROM species, (SELECT unnest({list(LEVELS)}) AS least) GROUP BY least ORDER BY least""",
    "families": """
SELECT coalesce(family, 'family not known') AS family, count(*) AS n,
  count(*) FILTER (pictures >= 1), count(*) FILTER (pictures >= 10),
  count(*) FILTER (pictures >= 50), sum(pictures)::BIGINT
FROM species WHERE wanted GROUP BY ALL ORDER BY n DESC, family""",
    "sources": """
SELECT source, tier, sum(listed)::BIGINT AS n, sum(whole)::BIGINT, sum(packed)::BIGINT FROM (
  SELECT source, tier, count(*) AS listed, count(*) FILTER (status = 'kept') AS whole, 0 AS packed
  FROM images GROUP BY ALL
  UNION ALL SELECT source, tier, 0, 0, count(*) FROM shelf GROUP BY ALL
) GROUP BY ALL ORDER BY n DESC, source, tier""",
    "licences": """
SELECT licence, sum(whole)::BIGINT, sum(packed)::BIGINT FROM (
  SELECT licence, count(*) AS whole, 0 AS packed FROM images WHERE status = 'kept' GROUP BY ALL
  UNION ALL SELECT licence, 0, count(*) FROM shelf GROUP BY ALL
) GROUP BY ALL""",
    "formats": """
SELECT format, count(*) AS n, quantile_disc(least(width, height), 0.5), quantile_disc(length, 0.5)
FROM images WHERE status = 'kept' GROUP BY ALL ORDER BY n DESC, format""",
    "sides": f"""
SELECT {_class("least(width, height)", SIDES)} AS size, count(*)
FROM images WHERE status = 'kept' GROUP BY ALL ORDER BY size""",
    "lengths": f"""
SELECT {_class("length", (bound << 10 for bound in LENGTHS))} AS size, count(*)
FROM images WHERE status = 'kept' GROUP BY ALL ORDER BY size""",
    "clusters": f"""
SELECT {_class("size", _CLUSTERS)} AS class, min(size), max(size), count(*), sum(size)::BIGINT
FROM (
  SELECT 1 + count(DISTINCT image_id) AS size FROM verdicts
  WHERE image_id <> cluster_id GROUP BY cluster_id
) GROUP BY class ORDER BY class""",
    "claims": f"""
WITH contested AS (
  SELECT DISTINCT cluster_id FROM verdicts
  WHERE list_contains(getvariable('contested'), reason) AND reason <> 'placeholder'
), claims AS (
  SELECT DISTINCT cluster_id, species_id FROM verdicts SEMI JOIN contested USING (cluster_id)
), few AS (
  SELECT * FROM claims QUALIFY count(*) OVER (PARTITION BY cluster_id) <= {_MANY}
)
SELECT a.name, b.name, count(*) AS n
FROM few AS x JOIN few AS y USING (cluster_id)
  JOIN species AS a ON a.species_id = x.species_id JOIN species AS b ON b.species_id = y.species_id
WHERE x.species_id < y.species_id GROUP BY ALL ORDER BY n DESC, a.name, b.name LIMIT {_CLAIMS}""",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many there are of everything; the most frequent first where nothing else is said."""

    names: Rows
    """Why a name leads to no species, or None for those that do; names. These come first."""
    listed: int
    """Listings that the sources gave."""
    planned: int
    """Of them, those to fetch."""
    statuses: Mapping[str, int]
    """What became of them: kept, or a reason to refuse."""
    differing: int
    """Pictures that differ in a byte at least."""
    reasons: Mapping[str, int]
    """Verdicts by reason."""
    gone: Mapping[str, int]
    """Pictures that stay under no species at all, by reason."""
    kept: int
    """Pictures that stay under a species."""
    packed: tuple[int, ...]
    """Pictures in train, val and test."""
    scope: tuple[int, int, int]
    """Species that are wanted; of the checklist; that have a picture."""
    reached: Rows
    """Pictures; species wanted that have so many at least, species of the checklist."""
    families: Rows
    """Family; its species that are wanted, those that reach LEVELS, their pictures."""
    sources: Rows
    """Source, tier; listings, those that came whole, pictures in shards."""
    licences: Rows
    """Licence; listings that came whole, pictures in shards."""
    formats: Rows
    """Format; listings that came whole, medians of their shorter sides and of their bytes."""
    sides: Mapping[int, int]
    """Place among SIDES -> pictures, in order."""
    lengths: Mapping[int, int]
    """The same of LENGTHS."""
    clusters: Rows
    """Class; the smallest and the largest cluster of it, clusters, pictures. In order."""
    claims: Rows
    """Two species; pictures that both claim."""
    curves: Mapping[str, Ints]
    """What is counted -> how many of it each species has that has any, most first."""

    @property
    def whole(self) -> int:
        """Listings that brought a picture."""
        return self.statuses.get(KEPT, 0)

    @property
    def stock(self) -> str:
        """Say what has become of the pictures that species are counted by."""
        return "kept" if self.reasons else "fetched"


def count(db: Database) -> Counts:
    """Return how many there are of everything."""
    found: dict[str, Any] = {name: db.execute(sql).fetchall() for name, sql in _ANSWERS.items()}
    for name in ("listed", "planned", "differing", "kept"):
        found[name] = found[name][0][0]
    for name in ("statuses", "reasons", "gone", "sides", "lengths"):
        found[name] = dict(found[name])
    stock = "kept" if found["reasons"] else "fetched"
    found |= {
        "packed": tuple(each or 0 for each in found["packed"][0]),
        "scope": found["scope"][0],
        "licences": _by_licence(found["licences"]),
        "curves": {
            words: _curve(db, name) for name, words in (("listed", "listed"), ("pictures", stock))
        },
    }
    return Counts(**found)


def receipts(data: Path) -> dict[str, list[Receipt]]:
    """Return the receipts of every stage and run that has any."""
    runs = sorted(path for path in (data / "runs").glob("*") if path.is_dir())
    folders = [*(data / stage for stage in _STAGES), *runs]
    found = {str(f.relative_to(data)): list(Ledger(f).receipts().values()) for f in folders}
    return {stage: receipts for stage, receipts in found.items() if receipts}


def licence(text: str) -> str:
    """Return a licence as people write it: sources give names and addresses, in many spellings."""
    plain = text.lower().replace("_", "-")
    if "cc0" in plain or "publicdomain/zero" in plain:
        return "CC0"
    if plain in ("pd", "pdm") or "publicdomain" in plain or "public domain" in plain:
        return "public domain"
    found = _CREATIVE_COMMONS.search(plain)
    if found is None or not ("cc" in plain or "creativecommons" in plain):
        return text
    version = f" {found[2]}.{found[3]}" if found[2] else ""
    return f"CC {found[1].upper().replace(' ', '-')}{version}"


def _by_licence(rows: Rows) -> Rows:
    """Add up *rows* whose licence is the same in other words."""
    whole, packed = Counter[str](), Counter[str]()
    for text, arrived, shelved in rows:
        name = "not stated" if text is None else licence(text)
        whole[name] += arrived
        packed[name] += shelved
    return [
        (name, whole[name], packed[name]) for name in sorted(whole, key=lambda n: (-whole[n], n))
    ]


def _curve(db: Database, column: str) -> Ints:
    rows = db.execute(f"SELECT {column} AS n FROM species WHERE n > 0 ORDER BY n DESC").fetchnumpy()
    return np.asarray(rows["n"], np.int64)
