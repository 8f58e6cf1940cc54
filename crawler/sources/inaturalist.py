"""iNaturalist's open data: names, observations, pictures and people, joined as they stream by.

https://github.com/inaturalist/inaturalist-open-data says what the tables hold. Of an observation
only 20 bytes stay in memory, until the table of pictures, sorted by nothing, has gone by. All 60
million of plants take 3 GiB at the most, and 1 with the default draw.
"""

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from crawler.candidates import Candidate, canonical, plain
from crawler.config import CrawlerSettings
from crawler.sources import tables
from crawler.sources.listing import count
from crawler.terms import Inaturalist
from flora.records import Tier

NAME = "inaturalist"

_PLANTAE = "47126"
_SPECIES = 10  # rank_level; what is below (subspecies, varieties) has less
_SIDES = {"original": 2048, "large": 1024, "medium": 500, "small": 240}
_LICENCES = {"PD": "Public domain", "CC0": "CC0 1.0", "C": None}
_MANY = 2**23  # observations to read before the draw is made anew
_PHOTOS = ("photo_id", "observation_uuid", "observer_id", "extension", "license")

Longs = npt.NDArray[np.int64]


def files(settings: CrawlerSettings) -> dict[str, tuple[str, ...]]:
    """Return the units of this source: a name, and the addresses it reads."""
    here = settings.inaturalist
    return {"tables": (here.taxa, here.observations, here.photos, here.observers)}


def read(
    paths: tuple[Path, ...], settings: CrawlerSettings, find: Callable[[str], str | None]
) -> Generator[Candidate]:
    """Yield the pictures of research-grade observations of species that *find* knows.

    A species with more than `per_species` observations gives those whose random ids come
    first: an even draw, and the same one every time. Raises ContractError for other tables.
    """
    taxa, observations, photos, observers = paths
    here = settings.inaturalist
    names = _Names(taxa, find)
    seen = _Observations(observations, names, here.per_species)
    people = _People(observers)
    for batch in tables.batches(photos, str(photos), ("width", "height"), needed=_PHOTOS):
        uuids = tables.texts(batch, "observation_uuid")
        numbers = seen.find(uuids)
        wanted = np.flatnonzero(numbers >= 0)
        if not len(wanted):
            continue
        rows = pa.RecordBatch.from_arrays(
            [tables.texts(batch, each).take(pa.array(wanted)) for each in batch.schema.names],
            names=batch.schema.names,
        )
        creators = people.names(_whole(rows["observer_id"]))
        for number, row, creator in zip(
            numbers[wanted].tolist(), rows.to_pylist(), creators, strict=True
        ):
            candidate = _candidate(row, creator, names.by_number[number], here)
            if candidate is not None:
                yield candidate


def _candidate(
    row: dict[str, str | None], creator: str | None, taxon: tuple[str, str], here: Inaturalist
) -> Candidate | None:
    photo, side = row["photo_id"], _SIDES[here.size]
    url = canonical(f"{here.pictures}{photo}/{here.size}.{row['extension']}")
    if url is None or not (photo or "").isdigit() or not (row["extension"] or "").isalnum():
        return None
    licence = row["license"] or ""
    width, height = count(row["width"]), count(row["height"])
    scale = min(1.0, side / max(width, height, 1))
    return Candidate(
        url=url,
        species_id=taxon[0],
        query=taxon[1],
        source=NAME,
        tier=Tier.CITIZEN,
        page_url=f"https://www.inaturalist.org/photos/{photo}",
        licence=_LICENCES.get(licence, f"CC {licence[3:]} 4.0" if licence[:3] == "CC-" else None),
        creator=plain(creator),
        observation_id=f"inat:{row['observation_uuid']}",
        width=round(width * scale) or None,
        height=round(height * scale) or None,
    )


class _Names:
    """The taxa we want."""

    def __init__(self, path: Path, find: Callable[[str], str | None]) -> None:
        self.by_number: list[tuple[str, str]] = []
        """Species_id and name."""
        ids: list[int] = []
        columns = ("taxon_id", "ancestry", "rank_level", "name")
        for batch in tables.batches(path, str(path), (), needed=columns):
            within = pc.match_substring(batch["ancestry"], f"/{_PLANTAE}/")  # homonyms of animals
            for row in batch.filter(within).to_pylist():
                if not row["taxon_id"].isdigit() or float(row["rank_level"] or 99) > _SPECIES:
                    continue
                species_id = find(row["name"])
                if species_id is not None:
                    ids.append(int(row["taxon_id"]))
                    self.by_number.append((species_id, row["name"]))
        taxa = np.array(ids, np.int64)
        self._order = np.argsort(taxa)
        self._taxa = taxa[self._order]
        species = {each: k for k, each in enumerate(sorted({s for s, _ in self.by_number}))}
        self.species = np.array([species[s] for s, _ in self.by_number], np.int32)
        """Which species each is of: several names may lead to one."""

    def find(self, taxa: Longs) -> npt.NDArray[np.int32]:
        """Return the number of each taxon; -1 for those we do not want."""
        at = tables.find(self._taxa, taxa)
        if not len(self._order):
            return at.astype(np.int32)
        return np.where(at < 0, -1, self._order[at]).astype(np.int32)


class _Observations:
    """The observations we want: the halves of their ids, sorted by the first, and their taxon.

    The second half makes sure. Two ids with one first half are not provided for: they are
    random, so not to be expected among hundreds of millions.
    """

    def __init__(self, path: Path, names: _Names, per_species: int) -> None:
        self._parts: list[tuple[Any, ...]] = [(*np.empty((2, 0), np.uint64), np.empty(0, np.int32))]
        fresh = 0
        columns = ("observation_uuid", "taxon_id", "quality_grade")
        for batch in tables.batches(path, str(path), (), needed=columns):
            rows = batch.filter(pc.equal(batch["quality_grade"], "research"))
            numbers = names.find(_whole(rows["taxon_id"]))
            wanted = np.flatnonzero(numbers >= 0)
            halves, good = _halves(tables.texts(rows, "observation_uuid").take(pa.array(wanted)))
            self._parts.append((*halves.T.copy(), numbers[wanted][good]))
            fresh += len(good)
            if fresh > _MANY and per_species:
                self._draw(names, per_species)
                fresh = 0
        self._draw(names, per_species)
        self._high, self._low, self._taxa = self._parts.pop()

    def _draw(self, names: _Names, per_species: int) -> None:
        """Join what was read, in order, and keep the first of each species."""
        whole = [np.concatenate(columns) for columns in zip(*self._parts, strict=True)]
        self._parts.clear()
        order = np.argsort(whole[0])
        if per_species:
            order = order[_first(names.species[whole[2][order]], per_species)]
        self._parts.append(tuple(column[order] for column in whole))

    def find(self, uuids: pa.Array) -> npt.NDArray[np.int32]:
        """Return the taxon's number of each observation; -1 for those we do not want."""
        halves, good = _halves(uuids)
        found = np.full(len(uuids), -1, np.int32)
        at = tables.find(self._high, halves[:, 0])
        hit = np.flatnonzero(at >= 0)
        hit = hit[self._low[at[hit]] == halves[hit, 1]]
        found[good[hit]] = self._taxa[at[hit]]
        return found


class _People:
    """What observers are called: a name if they give one, else their login."""

    def __init__(self, path: Path) -> None:
        ids, names = [np.empty(0, np.int64)], [pa.array([], pa.string())]
        for batch in tables.batches(path, str(path), (), needed=("observer_id", "login", "name")):
            ids.append(_whole(batch["observer_id"]))
            names.append(pc.coalesce(tables.texts(batch, "name"), tables.texts(batch, "login")))
        joined = np.concatenate(ids)
        self._order = np.argsort(joined)
        self._ids = joined[self._order]
        self._names = pa.chunked_array(names)

    def names(self, observers: Longs) -> list[str | None]:
        """Return the name of each of *observers*."""
        at = tables.find(self._ids, observers)
        known = np.append(self._order, -1)[at]  # -1 stays -1
        places = pa.array(known, mask=known < 0)
        found: list[str | None] = self._names.take(places).to_pylist()
        return found


def _halves(uuids: pa.Array) -> tuple[npt.NDArray[np.uint64], Longs]:
    """Return the ids that are such, as two numbers each, and which they are."""
    good = pc.fill_null(pc.match_substring_regex(uuids, _UUID), False)
    places = np.flatnonzero(good.to_numpy(zero_copy_only=False))
    text = pc.replace_substring(uuids.take(pa.array(places)), "-", "")
    digits = np.frombuffer(text.buffers()[2] or b"", np.uint8)
    start = text.offset * 32
    digits = _NIBBLE[digits[start : start + len(places) * 32]].reshape(-1, 16, 2)
    whole = (digits[:, :, 0] << 4 | digits[:, :, 1]).astype(np.uint8)
    return whole.reshape(-1, 16).view(">u8").astype(np.uint64), places


_UUID = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
_NIBBLE = np.zeros(256, np.uint8)
_NIBBLE[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16)


def _whole(texts: pa.Array) -> Longs:
    """Return a column of whole numbers; -1 for what is none."""
    good = pc.fill_null(pc.match_substring_regex(texts, "^[0-9]{1,18}$"), False)
    return np.asarray(pc.cast(pc.if_else(good, texts, "-1"), pa.int64()).to_numpy())


def _first(groups: npt.NDArray[np.int32], most: int) -> Longs:
    """Return where the first *most* of each of *groups* are, in order."""
    order = np.argsort(groups, kind="stable")
    grouped = groups[order]
    starts = np.flatnonzero(np.append(True, grouped[1:] != grouped[:-1]))
    lengths = np.diff(np.append(starts, len(grouped)))
    place = np.arange(len(grouped)) - np.repeat(starts, lengths)
    return np.sort(order[place < most])
