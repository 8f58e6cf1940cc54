"""The checklist: which species there are, what else they are called, and their class index.

`build` reads a published list into two tables, and `Checklist` looks names up in them:

- species.parquet (records.SPECIES), one row an accepted species, in the order of its class index;
- names.parquet (NAMES), one row a name, sorted by key.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flora import classes, lists, names, records, synonymy
from flora.errors import ConfigError, ContractError

NAMES = pa.schema(
    {
        "key": pa.string(),
        "name": pa.string(),
        "authorship": pa.string(),
        "status": pa.string(),
        "species_id": pa.string(),
        "suggested_id": pa.string(),
    }
)
"""`species_id` is the species that a name stands for; null if `status` is unresolved or misapplied.
`suggested_id` is then the species that the list points to without deciding, if it does."""

SUGGESTIONS = 5


class How(StrEnum):
    """How a name led to its species, or why it led to none. The first five are names' `status`."""

    ACCEPTED = "accepted"
    SYNONYM = "synonym"
    INFRASPECIFIC = "infraspecific"
    UNRESOLVED = "unresolved"
    MISAPPLIED = "misapplied"
    AMBIGUOUS = "ambiguous"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """What came of reading a list."""

    names: int
    """Rows of names.parquet."""
    species: int
    """Rows of species.parquet: the accepted species, and those kept from lists read before."""
    accepted_species: int
    synonyms_linked: int
    infraspecific_folded: int
    unresolved: int
    """Names that the list has not decided on, or whose link leads nowhere."""
    misapplied: int
    dangling: int
    """Synonyms (counted as unresolved) whose accepted name is not in the list."""
    circular: int
    """Synonyms (counted as unresolved) that lead round in a circle."""
    appended: int
    """Species that got a new class index, after the ones that were there."""
    kept: int
    """Species that this list no longer accepts, and that keep their class index."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Species:
    """One row of species.parquet."""

    species_id: str
    class_index: int
    name: str
    authorship: str
    genus: str
    family: str
    major_group: str
    """A angiosperm, B bryophyte, G gymnosperm, P pteridophyte; empty where the list has none."""
    synonyms: tuple[str, ...]
    """Names, without author, that lead to this species and no other; species names first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """What the checklist says about a name."""

    query: str
    how: How
    species_id: str | None = None
    name: str = ""
    """The list's own spelling of what was found."""
    suggestions: tuple[str, ...] = ()
    """What could be meant, where no species was found. Offered, never taken."""


class Checklist:
    """Species and names as `build` left them in a folder.

    Names are found by bisection in the sorted arrow column: the whole of ThePlantList takes a
    few hundred MiB, where a dict of it would take gigabytes.
    """

    def __init__(self, species: pa.Table, entries: pa.Table) -> None:
        self.species = species
        """records.SPECIES; the row number is the class index."""
        self._entries = entries
        self._keys: Sequence[pa.StringScalar] = entries["key"].combine_chunks()

    @classmethod
    def load(cls, folder: Path) -> "Checklist":
        """Read the tables in *folder*. Raises ContractError if `build` has not written them."""
        species = records.read(folder / "species.parquet", records.SPECIES)
        entries = records.read(folder / "names.parquet", NAMES)
        return cls(species.combine_chunks(), entries.combine_chunks())

    def get(self, species_id: str) -> Species:
        """Return the species with this id. Raises ContractError if there is none."""
        order, ids = self._by_id
        at = bisect_left(ids, species_id, key=pa.StringScalar.as_py)
        if at == len(ids) or ids[at].as_py() != species_id:
            raise ContractError(
                f"{species_id}: is no species of the checklist. The tables of this data folder "
                "were made with another one: run the stages before this one again."
            )
        row = self.species.slice(order[at].as_py(), 1).to_pylist()[0]
        return Species(**{**row, "synonyms": tuple(row["synonyms"])})

    def lookup(self, queries: Iterable[str]) -> list[Match]:
        """Find each of *queries*."""
        return [self.find(query) for query in queries]

    def find(self, query: str, *, suggest: bool = True) -> Match:
        """Return what the list knows of *query*, written in whatever way (see flora.names).

        Names alike but for their author are told apart by it; without one, an accepted name
        goes before synonyms, and these are ambiguous if they lead to several species. An
        infraspecific name that the list lacks, or leaves open, is taken for its species. Without
        *suggest*, an unknown name costs no more than another: suggestions take some 0.1 s.
        """
        name = names.parse(query)
        undecided = None
        for key in name.readings():
            if not (rows := self._rows(key)):
                continue
            match = _settle(query, name, rows)
            if match.how is How.UNRESOLVED:
                undecided = undecided or self._hint(match, rows)
                continue
            if match.how is How.MISAPPLIED:
                return self._hint(match, rows)
            if match.species_id and name.rank and key.count(" ") == 1:
                return replace(match, how=How.INFRASPECIFIC)
            return match
        near = self._near(name) if suggest and undecided is None else ()
        return undecided or Match(query=query, how=How.UNKNOWN, suggestions=near)

    @cached_property
    def _by_id(self) -> tuple[pa.Array, pa.Array]:
        ids = self.species["species_id"].combine_chunks()
        order = pc.sort_indices(ids)
        return order, ids.take(order)

    @cached_property
    def _genera(self) -> list[str]:
        words = pc.split_pattern(self._keys, " ", max_splits=1)
        genera: list[str] = pc.unique(pc.list_element(words, 0)).to_pylist()
        return genera

    def _span(self, low: str, high: str) -> tuple[int, int]:
        """Return where the keys from *low* up to *high* begin and end."""
        start = bisect_left(self._keys, low, key=pa.StringScalar.as_py)
        return start, bisect_left(self._keys, high, lo=start, key=pa.StringScalar.as_py)

    def _rows(self, key: str) -> list[dict[str, Any]]:
        start, end = self._span(key, f"{key}\0")
        rows: list[dict[str, Any]] = self._entries.slice(start, end - start).to_pylist()
        return rows

    def _hint(self, match: Match, rows: Iterable[Mapping[str, Any]]) -> Match:
        """Add the species that the list points to without deciding."""
        hints = {self.get(row["suggested_id"]).name for row in rows if row["suggested_id"]}
        return replace(match, suggestions=tuple(sorted(hints)))

    def _near(self, name: names.Name) -> tuple[str, ...]:
        """Return names that are a few letters away: in the same genus, or one spelt like it."""
        if not name.epithet or " " in name.epithet:  # a genus alone, or a hybrid formula
            return ()
        keys: list[str] = []
        for _, genus in names.within(max(1, len(name.genus) // 5), name.genus, self._genera):
            start, end = self._span(f"{genus} ", f"{genus}!")
            keys += self._entries["key"].slice(start, end - start).unique().to_pylist()
        found = []
        for distance, key in names.within(min(3, max(1, len(name.key) // 6)), name.key, keys):
            rows = self._rows(key)
            row = next((row for row in rows if row["species_id"]), rows[0])
            found.append((distance, row["species_id"] is None, row["name"]))
        return tuple(dict.fromkeys(name for _, _, name in sorted(found)))[:SUGGESTIONS]


def build(source: Path, folder: Path, *, extend: bool = False) -> Built:
    """Read the list at *source* (see flora.lists) and write species.parquet and names.parquet.

    With *extend*, the species that *folder* has keep their id and class index, even those that
    the new list does not accept; all names lead where the new list says, and names that it does
    not have lead where they led. Raises ConfigError for a list that cannot be read, and without
    *extend* for one that would give a class index to another species.
    """
    rows = lists.read(source)
    keys = names.keys(rows["name"].combine_chunks())
    links = synonymy.resolve(rows, keys)
    fresh = classes.accepted_species(rows, links)
    if not fresh.num_rows:
        raise ConfigError(f"{source}: has no accepted species. Give the whole list.")
    before = classes.read_before(folder)
    species = classes.number(fresh, before, folder, extend=extend)
    entries = _entries(rows, keys, links, species)
    kept = species.filter(pc.less(species["row"], 0))
    if kept.num_rows:
        entries = _with_names_of(kept, entries, folder)
    entries = entries.sort_by([(name, "ascending") for name in NAMES.names[:-1]]).combine_chunks()
    synonyms = synonymy.synonyms(entries, species["species_id"].combine_chunks())
    table = species.append_column("synonyms", synonyms)
    records.write(folder / "names.parquet", entries)
    records.write(folder / "species.parquet", table.select(records.SPECIES.names))
    counts = records.counts(entries["status"])
    return Built(
        names=entries.num_rows,
        species=species.num_rows,
        accepted_species=fresh.num_rows,
        synonyms_linked=counts.get(How.SYNONYM, 0),
        infraspecific_folded=counts.get(How.INFRASPECIFIC, 0),
        unresolved=counts.get(How.UNRESOLVED, 0),
        misapplied=counts.get(How.MISAPPLIED, 0),
        dangling=links.dangling,
        circular=links.circular,
        appended=species.num_rows - (before.num_rows if before is not None else 0),
        kept=kept.num_rows,
    )


def _entries(rows: pa.Table, keys: pa.Array, links: synonymy.Links, species: pa.Table) -> pa.Table:
    """Return NAMES for the names of the list, unsorted."""
    at = np.asarray(species["row"])
    index = np.full(rows.num_rows + 1, -1)  # the last one is for links that are -1
    index[at[at >= 0]] = np.flatnonzero(at >= 0)
    ids = species["species_id"].combine_chunks()
    leads, hints = index[links.species], index[links.hint]
    status = rows["status"].combine_chunks()
    folded = pc.and_(rows["infraspecific"].combine_chunks(), pc.equal(status, How.ACCEPTED))
    resolved = pc.if_else(folded, How.INFRASPECIFIC, status)
    misapplied = pc.equal(status, How.MISAPPLIED)
    undecided = pc.if_else(misapplied, How.MISAPPLIED, How.UNRESOLVED)
    columns = {
        "key": keys,
        "name": rows["name"],
        "authorship": rows["authorship"],
        "status": pc.if_else(pa.array(leads >= 0), resolved, undecided),
        "species_id": ids.take(pa.array(leads, mask=leads < 0)),
        "suggested_id": ids.take(pa.array(hints, mask=hints < 0)),
    }
    return pa.table(columns, schema=NAMES)


def _with_names_of(kept: pa.Table, entries: pa.Table, folder: Path) -> pa.Table:
    """Add the old names of species that are only kept, save those that the new list has too."""
    old = records.read(folder / "names.parquet", NAMES)
    theirs = pc.is_in(old["species_id"], kept["species_id"].combine_chunks())
    known = pc.is_in(old["key"], entries["key"].combine_chunks())
    return pa.concat_tables([entries, old.filter(pc.and_(theirs, pc.invert(known)))])


def _settle(query: str, name: names.Name, rows: Sequence[Mapping[str, Any]]) -> Match:
    """Choose among names with one key: by rank, by author, then accepted before the rest."""
    if name.rank:
        rows = [r for r in rows if names.parse(r["name"]).rank == name.rank] or rows
    rows = _by_author(rows, name.author) or rows
    for tier in ((How.ACCEPTED,), (How.INFRASPECIFIC, How.SYNONYM)):
        found = [row for row in rows if row["status"] in tier]
        if len({row["species_id"] for row in found}) > 1:
            signed = sorted(f"{row['name']} {row['authorship']}".rstrip() for row in found)
            return Match(query=query, how=How.AMBIGUOUS, suggestions=tuple(dict.fromkeys(signed)))
        if found:
            first = found[0]
            return Match(
                query=query,
                how=How(first["status"]),
                species_id=first["species_id"],
                name=first["name"],
            )
    row = next((row for row in rows if row["status"] == How.UNRESOLVED), rows[0])
    return Match(query=query, how=How(row["status"]), name=row["name"])


def _by_author(rows: Sequence[Mapping[str, Any]], author: str) -> list[Mapping[str, Any]]:
    """Return the rows with this author; if none has it, those that end in it: `Mill.` for
    `(L.) Mill.`.
    """
    keys = [names.author_key(row["authorship"]) for row in rows] if author else []
    whole = [row for row, key in zip(rows, keys, strict=False) if key == author]
    return whole or [r for r, k in zip(rows, keys, strict=False) if k.endswith(f"){author}")]
