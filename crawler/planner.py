"""Who is searched for next, at which engine, and by which name.

A species below its target takes one step a round: it is asked for by its next name at an
engine that was not asked for it by that name. The accepted name comes first, at every engine,
then names the user has for it, then synonyms. Where there is not enough quota for all, the
species with the fewest photographs come first; each takes an engine that is free, and of
these the one that brings most of what it needs, or that can be asked most where several do.
Of engines that take money it takes the one that brings most for it.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from crawler import quota, sources
from crawler.config import CrawlerSettings
from crawler.holdings import Counts
from crawler.terms import Commons, Engine
from crawler.wanted import Wanted

Flags = npt.NDArray[np.bool_]

_ROUNDING = 1e-6
_ROUND_SECONDS = 3600
"""An engine's part of a round takes no longer, so that a new day's quota is soon put to use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Supply:
    """What a source that is asked by name, an engine, gives, and what may still be asked of it."""

    name: str
    most: int
    """Requests that a query takes at most."""
    a_second: float
    """Requests, by its terms."""
    a_day: int
    """Requests, by its terms; 0 is no limit."""
    left: int | None
    """Requests that may be sent today; None where there is no limit."""
    price: float
    """Dollars a request."""
    gain: float
    """New photographs a query brings: as measured, or else the most it can."""
    per_query: float
    """Requests a query takes: as measured, or else the most."""
    measured: bool

    @property
    def cost(self) -> float:
        """Dollars a query takes at most."""
        return self.price * self.most

    def worth(self, need: float = math.inf) -> float:
        """Return what a query brings of what is needed, for a dollar where it takes money."""
        return min(need, self.gain) / (self.cost or 1.0)

    @property
    def room(self) -> int:
        """Queries that a round may have for it."""
        in_time = max(int(self.a_second * _ROUND_SECONDS / self.most), 1)
        return in_time if self.left is None else min(in_time, self.left // self.most)


def supplies(
    folder: Path,
    settings: CrawlerSettings,
    queries: Mapping[str, int] | None = None,
    photographs: Mapping[str, int] | None = None,
) -> list[Supply]:
    """Return the settings' engines, with what their answered *queries* brought."""
    found = []
    for name in settings.sources:
        if name not in sources.BY_NAME:
            continue
        terms: Engine = getattr(settings, name)
        most, asked = _requests(terms), (queries or {}).get(name, 0)
        own = quota.of(name, folder, settings)
        brought = (photographs or {}).get(name, 0)
        found.append(
            Supply(
                name=name,
                most=most,
                a_second=terms.requests_per_second,
                a_day=terms.requests_per_day,
                left=own.left(),
                price=terms.dollars_per_1000 / 1000,
                gain=brought / asked if asked else terms.pages * terms.page_size,
                per_query=own.spent().ever / asked if asked else most,
                measured=asked > 0,
            )
        )
    return sorted(found, key=lambda each: (each.price > 0, -each.worth(), each.name))


class Steps:
    """All names of all species wanted, in order, and where each was asked: a row a name."""

    def __init__(self, wanted: Sequence[Wanted], asked: pa.Table) -> None:
        """*asked*: engine, species_id, query and answered (a bool) of the rounds so far."""
        self.wanted = wanted
        self.names = [name for each in wanted for name in each.names]
        lengths = np.array([len(each.names) for each in wanted], np.int64)
        self.species = np.repeat(np.arange(len(wanted)), lengths)
        """row -> number of its species"""
        self.starts = np.cumsum(lengths) - lengths
        """number of a species -> row of its accepted name"""
        self._planned: dict[str, Flags] = {}
        self._answered: dict[str, Flags] = {}
        self._mark(asked)

    def planned(self, engine: str) -> Flags:
        """Tell of each row whether *engine* was asked, or is to be by a round that is open."""
        return self._planned.get(engine, np.zeros(len(self.names), bool))

    def answered(self, engine: str) -> Flags:
        """Tell of each row whether *engine* answered it."""
        return self._answered.get(engine, np.zeros(len(self.names), bool))

    def next(self, below: Flags, names: Sequence[str]) -> Counts:
        """Return the next row of each species *below* target: not all engines answered it."""
        waits = np.zeros(len(self.names), bool)
        for name in names:
            waits |= ~self.answered(name)
        rows = np.flatnonzero(waits & below[self.species])
        _, first = np.unique(self.species[rows], return_index=True)
        return rows[first]

    def _mark(self, asked: pa.Table) -> None:
        ids = [each.species_id for each in self.wanted for _ in each.names]
        rows = pc.index_in(_pairs(asked["species_id"], asked["query"]),
                           value_set=_pairs(pa.array(ids, pa.string()),
                                            pa.array(self.names, pa.string())))  # fmt: skip
        at = pc.fill_null(rows, -1).to_numpy()
        answered = asked["answered"].to_numpy()
        for engine in asked["engine"].unique().to_pylist():
            here = pc.equal(asked["engine"], engine).to_numpy() & (at >= 0)
            for flags, which in ((self._planned, here), (self._answered, here & answered)):
                flags[engine] = np.zeros(len(self.names), bool)
                flags[engine][at[which]] = True


def choose(
    steps: Steps,
    photographs: Counts,
    engines: Sequence[Supply],
    settings: CrawlerSettings,
    *,
    dollars: float = math.inf,
    closed: Collection[str] = (),
) -> dict[str, list[int]]:
    """Return the rows of *steps* that each engine is asked next, the neediest species first.

    *photographs*: of each species; *dollars*: what may be spent; *closed*: engines that are
    not to be asked now.
    """
    dollars += _ROUNDING
    usable = [engine for engine in engines if engine.cost <= dollars]
    rows = steps.next(below(photographs, settings.target), [engine.name for engine in usable])
    room = {engine.name: 0 if engine.name in closed else engine.room for engine in usable}
    planned = {engine.name: steps.planned(engine.name) for engine in usable}
    chosen: dict[str, list[int]] = {}
    have = photographs[steps.species[rows]]
    for row, count in zip(rows[np.argsort(have, kind="stable")], np.sort(have), strict=True):
        need = settings.target - count if settings.target else math.inf
        open_to_it = [
            engine
            for engine in usable
            if room[engine.name] and engine.cost <= dollars and not planned[engine.name][row]
        ]
        if open_to_it:
            best = min(
                open_to_it,
                key=lambda each: (each.price > 0, -each.worth(need), -room[each.name]),
            )
            chosen.setdefault(best.name, []).append(int(row))
            room[best.name] -= 1
            dollars -= best.cost
        elif not any(room.values()):
            break
    return chosen


def below(photographs: Counts, target: int) -> Flags:
    """Tell which species are below *target*; with 0, all are."""
    return photographs < target if target else np.ones(len(photographs), bool)


def _requests(terms: Engine) -> int:
    """Return how many requests a query takes at most."""
    if isinstance(terms, Commons):  # a category and a search, with details by fifties
        return 2 * terms.pages * math.ceil(terms.page_size / 50)
    return terms.pages


def _pairs(ids: pa.Array, names: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise(ids, names, "\t")
