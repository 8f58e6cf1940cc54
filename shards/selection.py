"""What may enter the training set, as columns of numbers: what the verdicts keep.

A picture takes about 100 bytes here. Tables are read one at a time, and of each only the
columns that are needed, so that 12 million rows fit into a few gigabytes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flora import ids, records
from flora.errors import ContractError, StageError
from flora.ids import Ints, Words
from flora.records import IMAGES, KEPT, PROVENANCE, VERDICTS, Tier, Verdict
from shards import lots
from shards.split import groups

Column = npt.NDArray[Any]

_TIERS = pa.array([str(tier) for tier in Tier])
_LISTED = ["image_id", "species_id", "status", "tier", "observation_id", "pack", "offset", "length"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The pictures, in order of id, and for each its best listing under its species.

    The best has the best tier, then the smallest address.
    """

    ids: Words
    """n x 4"""
    species: Ints
    """Place in the species that `load` was given."""
    tier: npt.NDArray[np.int8]
    """0 is the best."""
    table: npt.NDArray[np.int32]
    """Place in `tables`."""
    row: npt.NDArray[np.int32]
    """In that table."""
    pack: npt.NDArray[np.int32]
    """Place in `packs`."""
    offset: Ints
    length: npt.NDArray[np.int32]
    group: Ints
    """The first of the pictures that it shares an observation or a cluster with, by any chain."""
    tables: Sequence[str]
    """Stems of images/tables."""
    packs: Sequence[str]

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, some: Ints) -> "Selection":
        """Return *some* of the pictures (in order), still in the same groups."""
        first = np.full(len(self), len(some))
        np.minimum.at(first, self.group[some], np.arange(len(some)))
        columns = {
            each.name: getattr(self, each.name)[some]
            for each in fields(self)
            if each.name not in ("group", "tables", "packs")
        }
        group = first[self.group[some]]
        return Selection(**columns, group=group, tables=self.tables, packs=self.packs)


def load(data: Path, species_ids: Sequence[str]) -> Selection:
    """Return what the verdicts keep, under one of *species_ids* each.

    Raises StageError if that is nothing, ContractError for tables that do not fit together.
    """
    codes = {species_id: code for code, species_id in enumerate(species_ids)}
    known, species, clusters = _kept(data / "verdicts" / "verdicts.parquet", codes)
    if not len(known):
        raise StageError(f"{data / 'verdicts'}: no picture is kept, so there is nothing to pack.")
    listings = _Listings(data / "images" / "tables", known, species)
    listings.read(codes)
    best = listings.best()
    linked, keys = listings.links()
    more, theirs = _provenance(data / "verdicts" / "provenance.parquet", known)
    group = groups(
        len(known),
        np.concatenate([np.arange(len(known)), linked, more]),
        np.concatenate([clusters, keys, theirs]),
    )
    columns = {name: listings.column(name)[best] for name in _Listings.COLUMNS}
    return Selection(
        ids=known, species=species, group=group, tables=listings.tables,
        packs=list(listings.packs), **columns,
    )  # fmt: skip


def _kept(path: Path, codes: Mapping[str, int]) -> tuple[Words, Ints, Words]:
    """Return id, species and the cluster's key of each picture that is kept, in order of id."""
    columns = ["image_id", "species_id", "cluster_id", "verdict"]
    parts: list[tuple[Words, Ints, Words]] = []
    for table in records.batches(path, VERDICTS, columns):
        table = table.filter(pc.equal(table["verdict"], str(Verdict.KEEP)))
        species = _coded(table["species_id"], codes)
        if len(unknown := np.flatnonzero(species < 0)):
            raise ContractError(
                f"{path}: keeps pictures of {table['species_id'][unknown[0]].as_py()}, which the "
                "checklist does not have. Read the list that was crawled for, with EXTEND=1."
            )
        clusters = lots.draw(ids.from_hex(table["cluster_id"], path), 0)
        parts.append((ids.from_hex(table["image_id"], path), species, clusters))
    if not parts:
        return np.empty((0, 4), np.uint64), np.empty(0, np.int64), np.empty(0, np.uint64)
    known, species, clusters = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = ids.sort([*known.T])
    known, species, clusters = known[order], species[order], clusters[order]
    if (known[1:] == known[:-1]).all(axis=1).any():
        raise ContractError(f"{path}: keeps a picture under two species. Run dedup again.")
    return known, species, clusters


class _Listings:
    """The listings of the kept pictures: a row each, in the order of the images tables."""

    COLUMNS = ("tier", "table", "row", "pack", "offset", "length")

    def __init__(self, folder: Path, known: Words, species: Ints) -> None:
        self.folder, self.known, self.species = folder, known, species
        self.files = sorted(folder.glob("[!.]*.parquet"))
        if not self.files:
            raise ContractError(f"{folder}: there is no table here. Crawl first.")
        self.tables = [file.stem for file in self.files]
        self.packs: dict[str, int] = {}
        self._parts: list[dict[str, Column]] = []
        self._linked: list[tuple[Ints, Words]] = []

    def read(self, codes: Mapping[str, int]) -> None:
        """Go through the tables once."""
        for number, file in enumerate(self.files):
            table = records.read(file, IMAGES, _LISTED)
            rows = np.flatnonzero(pc.equal(table["status"], KEPT).to_numpy())
            table = table.take(rows)
            picture = ids.find(self.known, ids.from_hex(table["image_id"], file))
            self._linked.append(_keyed(picture, table["observation_id"]))
            own = _coded(table["species_id"], codes) == self.species[picture]
            here = np.flatnonzero(own & (picture >= 0))
            table = table.take(here)
            packs = table["pack"].combine_chunks().dictionary_encode()
            names = packs.dictionary.to_pylist()
            numbers = [self.packs.setdefault(name, len(self.packs)) for name in names]
            tiers = pc.index_in(table["tier"], _TIERS).fill_null(len(_TIERS) - 1)
            self._parts.append(
                {
                    "picture": picture[here],
                    "tier": tiers.to_numpy().astype(np.int8),
                    "table": np.full(len(here), number, np.int32),
                    "row": rows[here].astype(np.int32),
                    "pack": np.array(numbers, np.int32)[packs.indices.to_numpy()],
                    "offset": table["offset"].to_numpy(),
                    "length": table["length"].to_numpy().astype(np.int32),
                }
            )

    def column(self, name: str) -> Column:
        """Return a column of all listings."""
        return np.concatenate([part[name] for part in self._parts])

    def links(self) -> tuple[Ints, Words]:
        """Return pictures, and keys of the observations that they are of."""
        pictures, keys = zip(*self._linked, strict=True)
        return np.concatenate(pictures), np.concatenate(keys)

    def best(self) -> Ints:
        """Return the listing of each picture that is the best."""
        picture, tier = self.column("picture"), self.column("tier")
        least = np.full(len(self.known), len(_TIERS), np.int8)
        np.minimum.at(least, picture, tier)
        if lost := int((least == len(_TIERS)).sum()):
            raise ContractError(
                f"{self.folder}: does not list {lost:,} pictures that the verdicts keep. "
                "Fetch what is left to fetch, then run dedup again."
            )
        top = np.flatnonzero(tier == least[picture])
        best = np.empty(len(self.known), np.int64)
        best[picture[top]] = top
        rivals = top[np.bincount(picture[top], minlength=len(best))[picture[top]] > 1]
        urls = pa.chunked_array(list(self._urls(rivals)), pa.string())
        order = pc.sort_indices(
            pa.table({"url": urls, "listing": rivals}),
            sort_keys=[("url", "descending"), ("listing", "descending")],
        )
        rivals = rivals[order.to_numpy()]
        best[picture[rivals]] = rivals  # of several the last stays, which is the smallest address
        return best

    def _urls(self, listings: Ints) -> Iterator[pa.Array]:
        """Yield the addresses of *listings* (in order), table by table."""
        table, row = self.column("table")[listings], self.column("row")[listings]
        starts = np.flatnonzero(np.diff(table, prepend=-1))
        for number, rows in zip(table[starts], np.split(row, starts)[1:], strict=True):
            urls = records.read(self.files[number], IMAGES, ["url"])["url"]
            yield urls.take(rows).combine_chunks()


def _provenance(path: Path, known: Words) -> tuple[Ints, Words]:
    """Return pictures, and keys of the observations of what yielded to them."""
    found = [(np.empty(0, np.int64), np.empty(0, np.uint64))]
    if path.is_file():
        for table in records.batches(path, PROVENANCE, ["keeper_id", "observation_id"]):
            keeper = ids.find(known, ids.from_hex(table["keeper_id"], path))
            found.append(_keyed(keeper, table["observation_id"]))
    pictures, keys = zip(*found, strict=True)
    return np.concatenate(pictures), np.concatenate(keys)


def _keyed(pictures: Ints, observations: pa.ChunkedArray) -> tuple[Ints, Words]:
    """Return those of *pictures* (not -1) that have an observation, and the keys of these."""
    named = pc.fill_null(pc.not_equal(observations, ""), False).to_numpy()
    some = np.flatnonzero(named & (pictures >= 0))
    return pictures[some], lots.keys(observations.take(some))


def _coded(column: pa.ChunkedArray, codes: Mapping[str, int]) -> Ints:
    """Return the code of each value of *column*; -1 for one that has none."""
    encoded = column.combine_chunks().dictionary_encode()
    found = [codes.get(value, -1) for value in encoded.dictionary.to_pylist()]
    places: Ints = encoded.indices.fill_null(len(found)).to_numpy()
    return np.array([*found, -1], np.int64)[places]
