"""Which species to look for, and the names to look for them by."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from flora import records
from flora.console import say
from flora.errors import ConfigError
from flora.taxa import Checklist, How, Match


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A species to look for."""

    species_id: str
    family: str
    names: tuple[str, ...]
    """To ask for, in this order: the accepted one, those it was wanted by, synonyms."""


def matches(checklist: Checklist, species: str, limit: int | None) -> list[Match]:
    """Return the names to crawl, looked up: all of the checklist, or those in *species*.

    Raises ConfigError if none leads to a species.
    """
    if not species:
        table = checklist.species.select(["species_id", "name"]).slice(0, limit)
        return [Match(query=row["name"], how=How.ACCEPTED, **row) for row in table.to_pylist()]
    names = _lines(species) or [name.strip() for name in species.split(",") if name.strip()]
    names = [each for name in names for each in _members(checklist, name)][:limit]
    found: list[Match] = checklist.lookup(names)
    lost = [match for match in found if match.species_id is None]
    for match in lost[:20]:
        hint = f"; did you mean {' or '.join(match.suggestions)}?" if match.suggestions else ""
        say(f"{match.query}: {match.how}, left out{hint}")
    if len(lost) > 20:
        say(f"and {len(lost) - 20} more; all of them stand in candidates/names.parquet")
    if len(lost) == len(found):
        raise ConfigError(
            f"--species {species}: no name in it leads to an accepted species of the checklist "
            "(and there is no such file)."
        )
    return found


def wanted(checklist: Checklist, found: Sequence[Match], synonyms: int) -> list[Wanted]:
    """Return the species that names led to, with so many *synonyms* each at most."""
    asked: dict[str, list[str]] = {}
    for match in found:
        if match.species_id is not None:
            asked.setdefault(match.species_id, []).append(match.query.replace("_", " "))
    rows = pc.is_in(checklist.species["species_id"], pa.array(list(asked), pa.string()))
    columns = ["species_id", "name", "family", "synonyms"]
    by_id = {}
    for batch in checklist.species.select(columns).filter(rows).to_batches(max_chunksize=10_000):
        for row in batch.to_pylist():
            species_id = row["species_id"]
            names = [row["name"], *asked[species_id], *row["synonyms"][:synonyms]]
            by_id[species_id] = Wanted(
                species_id=species_id, family=row["family"], names=tuple(dict.fromkeys(names))
            )
    return [by_id[species_id] for species_id in asked]


def table(found: Sequence[Match]) -> pa.Table:
    """Return records.NAMES: what became of the names asked for."""
    return records.table(
        records.NAMES,
        (
            {
                "query": match.query,
                "species_id": match.species_id,
                "how": str(match.how),
                "suggestions": list(match.suggestions),
            }
            for match in found
        ),
    )


def _lines(species: str) -> list[str]:
    """Return the names in the file *species*, a name a line; none if there is no such file."""
    try:
        lines = Path(species).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError):  # a list of names may be no path at all, or too long for one
        return []
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def _members(checklist: Checklist, name: str) -> list[str]:
    """Return the species of *name* if it is a genus or a family of the checklist, or itself."""
    if " " in name or "_" in name:
        return [name]
    rows = checklist.species
    word = name.capitalize()
    for column in ("genus", "family"):
        found = rows.filter(pc.equal(rows[column], word))
        if found.num_rows:
            return [str(each) for each in found["name"].to_pylist()]
    return [name]
