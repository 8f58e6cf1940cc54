"""Who lists which picture where, and under which name: the plan of the web, before any byte.

Every picture is listed once by the source that has it. Then the web happens to it: mirrors,
thumbnails, watermarks, wrong names, dead links. What truly is behind each listing is its `kind`.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import TypeVar
from urllib.parse import quote

import numpy as np

from demo.mishaps import ALTERED, Kind

T = TypeVar("T")

TIERS = {"openverse": "web", "commons": "web", "gbif": "citizen", "eol": "expert"}
_SOURCES = ("openverse", "commons", "gbif", "eol")
_SHARES = (0.34, 0.25, 0.24, 0.17)

IMAGE_HOSTS = {
    "openverse": "live.flickr.test",
    "commons": "upload.wikimedia.test",
    "gbif": "static.inaturalist.test",
    "eol": "content.eol.test",
}
BLOG = "botany.example.test"
OLD = "old.botany.test"
QUIET = "quiet.arboretum.test"
CLOSED = "closed.herbarium.test"
_HOSTS = {
    Kind.FLAKY: "busy.gallery.test",
    Kind.UNSTEADY: "wobbly.museum.test",
    Kind.SLOW: "slow.garden.test",
    Kind.REDIRECTED: OLD,
    Kind.REDIRECT_LOOP: OLD,
    Kind.OPTED_OUT: "studio.example.test",
    Kind.HTML: BLOG,
    Kind.BOMB: BLOG,
    Kind.TINY: "pixel.counter.test",
}

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
class Page:
    """What a URL answers."""

    url: str
    body: int | None = None
    status: int = 200
    content_type: str = "image/jpeg"
    location: str | None = None
    stumbles: int = 0
    """How many times it answers `stumble` before it answers."""
    stumble: int = 429
    drips: bool = False
    robots_tag: str | None = None


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
            host = _HOSTS.get(kind, IMAGE_HOSTS[source])
            if kind is Kind.CLEAN and source == "openverse":
                host = QUIET if quiet > 0 else self.pick(host, host, host, BLOG)
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
        host = _HOSTS.get(kind, IMAGE_HOSTS[source])
        if kind is Kind.FORBIDDEN:
            host = (CLOSED, f"{BLOG}/private")[rank % 2]
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
                host = _HOSTS.get(kind, IMAGE_HOSTS[source])
                self.add(kind, source, host, self.pick(*self.species), None, body=body)
        designs = [self.body(None, Kind.PLACEHOLDER, design) for design in range(2)]
        shared = None
        for rank in range(max(2, self.many(JUNK[Kind.PLACEHOLDER]))):
            listing = self.add(
                Kind.PLACEHOLDER,
                "openverse",
                IMAGE_HOSTS["openverse"],
                self.pick(*self.species),
                None,
                body=designs[rank % 2],
                url=shared if rank % 3 == 1 else None,
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
            url = _url(host, name, serial, _suffix(kind, picture))
            self.serve(kind, url, body, picture)
        landing = _landing(source, serial, name)
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
                page_url=(picture.page_url if picture else None) or landing,
                observation_id=str(4_000_000_000 + serial) if source == "gbif" else None,
            )
        )
        return self.plan.listings[-1]

    def serve(self, kind: Kind, url: str, body: int | None, picture: Picture | None) -> None:
        """Put up the page, or pages, behind a new URL."""
        form = picture.form if picture and kind not in ALTERED else "JPEG"
        page = Page(url=url, body=body, content_type=f"image/{form.lower()}")
        serial = self.next()
        if kind is Kind.FLAKY:
            page = replace(page, stumbles=1 + serial % 2)
        elif kind is Kind.UNSTEADY:
            page = replace(page, stumbles=1, stumble=503)
        elif kind is Kind.SLOW:
            page = replace(page, drips=True)
        elif kind is Kind.OPTED_OUT:
            page = replace(page, robots_tag="noai, noimageai")
        elif kind is Kind.MISSING:
            page = replace(page, status=404, body=None, content_type="text/html")
        elif kind is Kind.HTML and serial % 2:
            page = replace(page, content_type="text/html; charset=utf-8")
        elif kind is Kind.BOMB:
            page = replace(page, content_type="image/png")
        elif kind is Kind.TINY:
            page = replace(page, content_type="image/gif")
        elif kind is Kind.REDIRECT_LOOP:
            path = "/" + url.split("/", 3)[3]
            self.put(Page(url=f"{url}?again=1", status=302, location=path))
            page = replace(page, status=302, body=None, location=f"{path}?again=1")
        elif kind is Kind.REDIRECTED:
            self.put(page := self.moved(page, serial))
        elif kind is Kind.CLEAN and self.rng.random() < 0.02:
            page = replace(page, content_type=self.pick("application/octet-stream", "image/gif"))
        self.put(page)

    def moved(self, page: Page, serial: int) -> Page:
        """Put the picture elsewhere, one or two steps away; return the page that points there."""
        suffix = page.url.rpartition(".")[2]
        target = _url(IMAGE_HOSTS["openverse"], "moved", serial, suffix)
        self.put(replace(page, url=target))
        if serial % 3 == 0:  # through a page on the same host, named without it
            path = f"/moved/{serial}"
            self.put(Page(url=f"http://{OLD}{path}", status=302, location=target))
            target = path
        return replace(page, body=None, status=(301, 302)[serial % 2], location=target)

    def put(self, page: Page) -> None:
        self.plan.pages[page.url] = page

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


def _suffix(kind: Kind, picture: Picture | None) -> str:
    if kind in (Kind.BOMB, Kind.TINY):
        return {Kind.BOMB: "png", Kind.TINY: "gif"}[kind]
    form = picture.form if picture and kind not in ALTERED else "JPEG"
    return {"JPEG": "jpg"}.get(form, form.lower())


def _url(place: str, name: str, serial: int, suffix: str) -> str:
    """Return an address as *place* (a host, or a folder of one) would give it."""
    mark = hashlib.md5(f"{place} {serial}".encode()).hexdigest()
    words = quote(name.replace(" ", "_"))
    path = {
        "live.flickr.test": f"65535/{serial}_{mark[:10]}_b.{suffix}",
        "upload.wikimedia.test": (
            f"wikipedia/commons/{mark[0]}/{mark[:2]}/{words}_{serial}.{suffix}"
        ),
        "static.inaturalist.test": f"photos/{serial}/original.{suffix}?{1_500_000_000 + serial}",
        "content.eol.test": f"data/media/{mark[:2]}/{mark[2:4]}/{mark[4:6]}/{serial}.{suffix}",
        BLOG: f"wp-content/uploads/2019/05/{words.lower()}-{serial}.{suffix}",
    }.get(place, f"photos/{serial}.{suffix}")
    return f"http://{place}/{path}"


def _landing(source: str, serial: int, name: str) -> str:
    words = quote(name.replace(" ", "_"))
    return {
        "openverse": f"https://www.flickr.test/photos/someone/{serial}",
        "commons": f"https://commons.wikimedia.test/wiki/File:{words}_{serial}.jpg",
        "gbif": f"https://www.inaturalist.test/photos/{serial}",
        "eol": f"https://www.flickr.test/photos/somebody/{serial}",
    }[source]


def _title(source: str, name: str, serial: int) -> str:
    if source == "commons":
        return f"File:{name} {serial}.jpg"
    return (f"{name}", f"{name} in flower", f"DSC{serial} {name}")[serial % 3]
