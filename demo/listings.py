"""Who lists which picture where, and under which name: the plan of the web, before any byte.

Every picture is listed once by the source that has it. Then the web happens to it: mirrors,
thumbnails, watermarks, wrong names, dead links. What truly is behind each listing is its `kind`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import TypeVar

import numpy as np

from demo import pages
from demo.mishaps import ALTERED, Kind
from demo.pages import Page

T = TypeVar("T")

TIERS = {"openverse": "web", "commons": "web", "gbif": "citizen", "eol": "expert"}
_SOURCES = ("openverse", "commons", "gbif", "eol")
_SHARES = (0.34, 0.25, 0.24, 0.17)

DELIVERY = {Kind.FLAKY: 0.005, Kind.UNSTEADY: 0.003, Kind.SLOW: 0.005, Kind.REDIRECTED: 0.012}
"""How many of the pictures arrive with difficulty."""

COPIES = {
    Kind.EXACT_COPY: 0.03,
    Kind.REENCODED: 0.03,
    Kind.RESIZED: 0.03,
    Kind.CROPPED: 0.02,
    Kind.WATERMARKED: 0.02,
    Kind.TWO_SPECIES: 0.01,
    Kind.SPECIMEN: 0.008,
    Kind.UNRESOLVED: 0.002,
    Kind.OPTED_OUT: 0.002,
    Kind.FORBIDDEN: 0.006,
    Kind.TRUNCATED: 0.006,
}
"""Listings made from a picture that is listed elsewhere, as a share of all pictures."""

JUNK = {
    Kind.PLACEHOLDER: 0.012,
    Kind.HTML: 0.005,
    Kind.MISSING: 0.006,
    Kind.REDIRECT_LOOP: 0.002,
    Kind.BOMB: 0.001,
    Kind.TINY: 0.002,
}
"""Listings of something that shows no plant."""

TWICE = 0.02
"""Pictures that a second source lists at the same URL."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """An original, with what is known about it."""

    picture_id: str
    species: str
    form: str = "JPEG"
    licence: str | None = None
    """`by-sa-4.0`, `cc0-1.0`, `pdm-1.0`; None if nobody knows."""
    creator: str | None = None
    page_url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One row of truth.parquet: what a source says about a URL, and what is true."""

    url: str
    source: str
    tier: str
    listed_name: str
    """The name the source has it under: accepted, a synonym, a variety, an unresolved name."""
    listed_species: str | None
    """The accepted species that this name stands for."""
    kind: Kind
    picture_id: str | None
    """The original picture that is seen there."""
    true_species: str | None
    """The species that the picture shows."""
    copy_of: str | None
    """URL of the listing this one was made from."""
    body: int | None
    title: str
    creator: str | None
    licence: str | None
    page_url: str | None
    observation_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """Bytes to be made: those of a picture (kind `clean`), what became of them, or junk."""

    body: int
    picture: int | None
    kind: Kind
    seed: int


@dataclass(slots=True)
class Plan:
    """All listings, the pages behind them, and the bodies behind those."""

    listings: list[Listing] = field(default_factory=list)
    pages: dict[str, Page] = field(default_factory=dict)
    bodies: list[Body] = field(default_factory=list)


def plan(
    pictures: Sequence[Picture],
    names: Mapping[str, Sequence[str]],
    unresolved: str | None,
    *,
    wrong_labels: float,
    seed: int,
) -> Plan:
    """Return a web that lists *pictures*; *names* has the other names of some species."""
    planner = _Planner(pictures, names, unresolved, seed)
    planner.originals(wrong_labels)
    planner.observations()
    planner.copies()
    planner.junk()
    planner.twice()
    return planner.plan


class _Planner:
    def __init__(
        self,
        pictures: Sequence[Picture],
        names: Mapping[str, Sequence[str]],
        unresolved: str | None,
        seed: int,
    ) -> None:
        self.pictures = pictures
        self.names = names
        self.unresolved = unresolved
        self.species = sorted({picture.species for picture in pictures})
        self.rng = np.random.default_rng(seed)
        self.serial = count(10_000 + seed % 7919)
        self.plan = Plan()
        self.numbers = {picture.picture_id: k for k, picture in enumerate(pictures)}

    def originals(self, wrong_labels: float) -> None:
        """List every picture once."""
        sources = self.rng.choice(_SOURCES, len(self.pictures), p=_SHARES).tolist()
        order = self.rng.permutation(len(self.pictures)).tolist()
        kinds = [Kind.CLEAN] * len(self.pictures)
        several = len(self.species) > 1
        wrong = round(wrong_labels * len(self.pictures)) if several else 0
        for number in [k for k in order if sources[k] != "eol"][:wrong]:
            kinds[number] = Kind.WRONG_LABEL
        rest = iter([k for k in order if kinds[k] is Kind.CLEAN])
        for kind, share in DELIVERY.items():
            for number, _ in zip(rest, range(self.many(share)), strict=False):
                kinds[number] = kind
                sources[number] = ("openverse", "commons")[number % 2]
        quiet = self.many(0.002)
        for number, picture in enumerate(self.pictures):
            kind, source = kinds[number], sources[number]
            host = pages.host(kind, source)
            if kind is Kind.CLEAN and source == "openverse":
                host = pages.QUIET if quiet > 0 else self.pick(host, host, host, pages.BLOG)
                quiet -= 1
            listed = picture.species
            if kind is Kind.WRONG_LABEL:
                listed = self.other_than(listed)
            self.add(kind, source, host, listed, number, body=self.body(number, Kind.CLEAN))

    def observations(self) -> None:
        """Give GBIF's pictures their records: one to three of one species to a record."""
        groups: dict[tuple[str, str | None], list[int]] = {}
        for index, listing in enumerate(self.plan.listings):
            if listing.source == "gbif":
                groups.setdefault((listing.listed_name, listing.true_species), []).append(index)
        for indices in groups.values():
            left = list(indices)
            while left:
                size, record = int(self.pick(1, 1, 1, 1, 2, 2, 3)), str(4_000_000_000 + self.next())
                for index in left[:size]:
                    listing = self.plan.listings[index]
                    self.plan.listings[index] = replace(listing, observation_id=record)
                del left[:size]

    def copies(self) -> None:
        """List copies of clean pictures."""
        clean = [row for row in self.plan.listings if row.kind is Kind.CLEAN]
        for kind, share in COPIES.items():
            if (kind is Kind.TWO_SPECIES and len(self.species) < 2) or (
                kind is Kind.UNRESOLVED and self.unresolved is None
            ):
                continue
            many = min(self.many(share), len(clean))
            for rank, index in enumerate(self.rng.choice(len(clean), many, replace=False)):
                self.copy(kind, clean[int(index)], rank)

    def copy(self, kind: Kind, original: Listing, rank: int) -> None:
        number = self.numbers[original.picture_id or ""]
        source = str(self.rng.choice(_SOURCES, p=_SHARES))
        listed, body, url = self.pictures[number].species, original.body, None
        if kind in ALTERED:
            body = self.body(number, kind)
        if kind is Kind.TWO_SPECIES:  # the same URL, the same bytes elsewhere, or much the same
            source, listed = self.pick("openverse", "commons"), self.other_than(listed)
            url = original.url if rank % 3 == 2 else None
            body = self.body(number, Kind.REENCODED) if rank % 3 == 1 else body
        elif kind in (Kind.SPECIMEN, Kind.UNRESOLVED):
            source = "gbif"
        host = pages.host(kind, source)
        if kind is Kind.FORBIDDEN:
            host = (pages.CLOSED, f"{pages.BLOG}/private")[rank % 2]
        self.add(kind, source, host, listed, number, body=body, url=url, copy_of=original.url)

    def junk(self) -> None:
        """List what shows no plant."""
        for kind, share in JUNK.items():
            if kind is Kind.PLACEHOLDER:
                continue
            bare = kind in (Kind.MISSING, Kind.REDIRECT_LOOP)
            body = None if bare else self.body(None, kind, 0)
            for _ in range(self.many(share)):
                source = self.pick("openverse", "commons", "gbif")
                host = pages.host(kind, source)
                self.add(kind, source, host, self.pick(*self.species), None, body=body)
        designs = [self.body(None, Kind.PLACEHOLDER, design) for design in range(2)]
        host, shared = pages.host(Kind.PLACEHOLDER, "openverse"), None
        for rank in range(max(2, self.many(JUNK[Kind.PLACEHOLDER]))):
            again = rank % 3 == 1  # the same URL, for another species
            listing = self.add(
                Kind.PLACEHOLDER,
                "openverse",
                host,
                self.pick(*self.species),
                None,
                body=designs[0 if again else rank % 2],
                url=shared if again else None,
            )
            shared = shared or listing.url

    def twice(self) -> None:
        """Let Openverse list what Commons has, and EOL what GBIF has, at the same URL."""
        seconds = {"commons": "openverse", "gbif": "eol"}
        clean = [
            row for row in self.plan.listings if row.kind is Kind.CLEAN and row.source in seconds
        ]
        for index in self.rng.choice(len(clean), min(self.many(TWICE), len(clean)), replace=False):
            row = clean[int(index)]
            source = seconds[row.source]
            again = replace(
                row,
                source=source,
                tier=TIERS[source],
                title=row.listed_name,
                observation_id=None,
            )
            if source == "eol":
                again = replace(again, listed_name=str(row.listed_species))
            self.plan.listings.append(again)

    def add(
        self,
        kind: Kind,
        source: str,
        host: str,
        listed: str,
        number: int | None,
        *,
        body: int | None,
        url: str | None = None,
        copy_of: str | None = None,
    ) -> Listing:
        """Append one listing, and the pages behind it unless its *url* has them already."""
        picture = self.pictures[number] if number is not None else None
        name = self.called(listed, source)
        if kind is Kind.UNRESOLVED and self.unresolved:
            name = self.unresolved
        serial = self.next()
        if url is None:
            form = _form(kind, picture)
            url = pages.address(host, name, serial, form)
            for page in pages.behind(kind, url, body, form, serial):
                self.plan.pages[page.url] = page
        self.plan.listings.append(
            Listing(
                url=url,
                source=source,
                tier=TIERS[source],
                listed_name=name,
                listed_species=None if kind is Kind.UNRESOLVED else listed,
                kind=kind,
                picture_id=picture.picture_id if picture else None,
                true_species=picture.species if picture else None,
                copy_of=copy_of,
                body=body,
                title=_title(source, name, serial),
                creator=picture.creator if picture else "unknown",
                licence=picture.licence if picture else None,
                page_url=(picture and picture.page_url) or pages.landing(source, serial, name),
                observation_id=str(4_000_000_000 + serial) if source == "gbif" else None,
            )
        )
        return self.plan.listings[-1]

    def body(self, number: int | None, kind: Kind, seed: int | None = None) -> int:
        made = Body(
            body=len(self.plan.bodies),
            picture=number,
            kind=kind,
            seed=int(self.rng.integers(2**31)) if seed is None else seed,
        )
        self.plan.bodies.append(made)
        return made.body

    def called(self, species: str, source: str) -> str:
        """Return the name a source has *species* under; EOL keeps to accepted names."""
        others = self.names.get(species, ())
        if others and source != "eol" and self.rng.random() < 0.2:
            return self.pick(*others)
        return species

    def other_than(self, species: str) -> str:
        """Return another species: half of the time, a relative, if it has any."""
        genus = species.split()[0]
        others = [name for name in self.species if name != species]
        relatives = [name for name in others if name.split()[0] == genus]
        return self.pick(*(relatives if relatives and self.rng.random() < 0.5 else others))

    def pick(self, *options: T) -> T:
        return options[int(self.rng.integers(len(options)))]

    def many(self, share: float) -> int:
        return max(1, round(share * len(self.pictures)))

    def next(self) -> int:
        return next(self.serial)


def _form(kind: Kind, picture: Picture | None) -> str:
    if kind in (Kind.BOMB, Kind.TINY):
        return {Kind.BOMB: "PNG", Kind.TINY: "GIF"}[kind]
    return picture.form if picture and kind not in ALTERED else "JPEG"


def _title(source: str, name: str, serial: int) -> str:
    if source == "commons":
        return f"File:{name} {serial}.jpg"
    return (f"{name}", f"{name} in flower", f"DSC{serial} {name}")[serial % 3]
