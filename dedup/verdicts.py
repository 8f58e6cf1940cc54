"""Who stays, who goes, and why: a species for each star of pictures, a verdict for each claim.

A *claim* is a picture under a species that lists it. Most stars have one picture or one
species, and are judged by whole columns; only those whose claims differ are looked at one by
one, with the sites that list them.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt

from dedup.candidates import Edges
from dedup.config import DedupSettings
from dedup.listings import Bools, Ints, Listings, Numbers, distinct, scan
from dedup.stars import Neighbours, stars
from flora.records import Reason, Tier

_MAJORITY = 2
"""On the web, a species wins with this many times the domains of the next."""
_WEB = list(Tier).index(Tier.WEB)

REASONS = list(Reason)
_CODE = {reason: code for code, reason in enumerate(REASONS)}

Codes = npt.NDArray[np.uint8]
Votes = Sequence[tuple[int, int, str]]
"""species, tier, address of each listing of a star"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """One row a picture and species it is listed under, in order of both."""

    picture: Numbers
    species: Numbers
    star: Numbers
    """The picture at the centre of its star."""
    cluster: Numbers
    """The first picture of its star."""
    reason: Codes
    """Place in `REASONS`."""
    keeper: Numbers
    """What stays in its place; -1 for nothing."""
    edge: Ints
    """How it is known to be the same picture as its keeper; -1 where it is held against none."""
    of_listing: Ints
    """The claim that each listing makes."""
    genus: dict[int, str] = field(default_factory=dict)
    """Of claims in quarantine, by row."""

    def counts(self) -> dict[str, int]:
        """Return how many there are of each reason, the most frequent first."""
        counts = np.bincount(self.reason, minlength=len(REASONS)).tolist()
        pairs = [(str(reason), n) for reason, n in zip(REASONS, counts, strict=True) if n]
        return dict(sorted(pairs, key=lambda pair: (-pair[1], pair[0])))

    def clusters(self) -> int:
        """Return how many pictures have copies."""
        return len(distinct(self.star[self.star != self.picture]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Court:
    """All that judging takes."""

    images: Path
    """Its tables are read for the sites that list a picture."""
    listings: Listings
    place: Numbers
    """Of each picture, in the order of keepers."""
    edges: Edges
    """Pairs that are the same picture."""
    removed: Mapping[Reason, Bools]
    """Pictures that go for reasons of their own. They have no edges."""
    genera: Mapping[str, str]
    """species_id -> genus"""
    settings: DedupSettings

    def judge(self) -> Claims:
        """Return the verdict on each claim."""
        neighbours = Neighbours.of(self.edges, len(self.place))
        star, via = stars(self.place, neighbours)
        picture, species, claim = _claims(self.listings)
        centre = star[picture]
        members = np.bincount(star, minlength=len(star))[centre]
        alone = np.where(members > 1, _CODE[Reason.KEEPER], _CODE[Reason.UNIQUE]).astype(np.uint8)
        edge = via[picture]
        first = np.arange(len(star), dtype=np.int32)
        np.minimum.at(first, star, first.copy())
        claims = Claims(
            picture=picture, species=species, star=centre, cluster=first[centre],
            keeper=centre.copy(), edge=edge, of_listing=claim,
            reason=np.where(edge < 0, alone, self._copy(edge)),
        )  # fmt: skip
        named, differing = species_of(claims)
        addresses = np.bincount(star[self.listings.picture], minlength=len(star))[centre]
        nothing = named >= self.settings.placeholder_species
        nothing |= addresses >= self.settings.placeholder_copies
        _drop(claims, nothing, Reason.PLACEHOLDER)
        for why, which in self.removed.items():
            _drop(claims, which[picture], why)
            nothing |= which[picture]
        contested = np.flatnonzero((differing > 1) & ~nothing)
        votes = self._votes(star, distinct(centre[contested]))
        for rows in _runs(centre, contested):
            self._settle(claims, rows, votes[int(centre[rows[0]])], neighbours)
        return claims

    def _copy(self, edge: Ints) -> Codes:
        """Return as what a picture goes that is its keeper's copy by *edge*."""
        plain, mirrored = _CODE[Reason.NEAR_DUPLICATE], _CODE[Reason.MIRRORED]
        if not len(self.edges):
            return np.full(len(edge), plain, np.uint8)
        return np.where(self.edges.mirrored[edge], mirrored, plain).astype(np.uint8)

    def _votes(self, star: Numbers, contested: Numbers) -> Mapping[int, Votes]:
        """Return who lists the pictures of the *contested* stars, and as what."""
        listings, found = self.listings, defaultdict[int, list[tuple[int, int, str]]](list)
        centre = star[listings.picture]
        some = np.flatnonzero(np.isin(centre, contested))
        for here, table in scan(self.images, listings.row[some], ["url"]):
            for k, url in zip(some[here].tolist(), table["url"].to_pylist(), strict=True):
                vote = int(listings.species[k]), int(listings.tier[k]), url or ""
                found[int(centre[k])].append(vote)
        return found

    def _settle(self, claims: Claims, rows: Ints, votes: Votes, neighbours: Neighbours) -> None:
        """Settle the species of one star, whose claims are *rows*."""
        winner, why = _winner(votes)
        if winner is None:
            claims.reason[rows] = _CODE[why]
            if why is Reason.QUARANTINE:
                claims.genus.update(dict.fromkeys(rows.tolist(), self._genus(votes)))
            else:
                claims.keeper[rows], claims.edge[rows] = -1, -1
            return
        holding = claims.picture[rows[claims.species[rows] == winner]]
        holder = int(holding[np.argmin(self.place[holding])])
        for row in rows.tolist():
            picture = int(claims.picture[row])
            edge = -1 if picture == holder else neighbours.between(holder, picture)
            known = edge >= 0 or picture == holder
            claims.edge[row] = edge
            if claims.species[row] != winner:
                claims.reason[row] = _CODE[Reason.OUTVOTED]
                claims.keeper[row] = holder if known else -1
            elif edge >= 0:
                claims.reason[row] = self._copy(np.array([edge]))[0]
                claims.keeper[row] = holder
            else:  # the best, or without a direct edge to it: no removal
                claims.reason[row] = _CODE[Reason.KEEPER if len(rows) > 1 else Reason.UNIQUE]
                claims.keeper[row] = picture

    def _genus(self, votes: Votes) -> str:
        """Return the one genus that trusted sources name, or nothing."""
        names = {
            self.genera.get(self.listings.species_ids[species].as_py(), "")
            for species in _trusted(votes)
        }
        return names.pop() if len(names) == 1 else ""


def noise(listings: Listings, claims: Claims) -> list[dict[str, float | str]]:
    """Return for each source how many of its labels are estimated to be wrong, worst first.

    Reckoned from pictures that are listed more than once: an outvoted label is wrong; of k
    labels among which nothing decides, k - 1 are. Placeholders count for nobody.
    """
    row = claims.of_listing
    named, differing = species_of(claims)
    undecided = np.isin(claims.reason, [_CODE[Reason.CONFLICT], _CODE[Reason.QUARANTINE]])
    wrong = np.where(claims.reason == _CODE[Reason.OUTVOTED], 1.0, 0.0)
    wrong[undecided] = 1 - 1 / np.maximum(named[undecided], 1)
    judged = ~np.isin(claims.reason, [_CODE[Reason.PLACEHOLDER], _CODE[Reason.LOW_INFORMATION]])
    star = claims.star[row]
    shared = (np.bincount(star)[star] > 1 if len(star) else np.zeros(0, np.bool_)) & judged[row]
    found: list[dict[str, float | str]] = []
    for code, source in enumerate(listings.sources):
        mine = listings.source == code
        checked = int((mine & shared).sum())
        found.append({
            "source": source,
            "listings": int(mine.sum()),
            "checked": checked,
            "conflicts": int((mine & shared & (differing[row] > 1)).sum()),
            "noise": round(float(wrong[row][mine & shared].sum()) / max(checked, 1), 4),
        })  # fmt: skip
    return sorted(found, key=lambda each: (-float(each["noise"]), str(each["source"])))


def species_of(claims: Claims) -> tuple[Ints, Ints]:
    """Return for each claim how many species its star has; and how many with none as one."""
    span = int(claims.species.max(initial=0)) + 2
    keys = distinct(claims.star.astype(np.int64) * span + claims.species + 1)
    every = np.bincount(keys // span)
    none = np.bincount(keys[keys % span == 0] // span, minlength=len(every))
    return (every - none)[claims.star], every[claims.star]


def _claims(listings: Listings) -> tuple[Numbers, Numbers, Ints]:
    """Return picture and species of the claims, in order (species -1 is none); and the claim of
    each listing.
    """
    span = len(listings.species_ids) + 1
    keys = listings.picture.astype(np.int64) * span + listings.species + 1
    order = np.argsort(keys)
    keys = keys[order]
    new = np.ones(len(keys), np.bool_)
    new[1:] = keys[1:] != keys[:-1]
    claim = np.empty(len(keys), np.int64)
    claim[order] = np.cumsum(new) - 1
    keys = keys[new]
    return (keys // span).astype(np.int32), (keys % span - 1).astype(np.int32), claim


def _drop(claims: Claims, rows: Bools, why: Reason) -> None:
    claims.reason[rows], claims.keeper[rows], claims.edge[rows] = _CODE[why], -1, -1


def _runs(centre: Numbers, rows: Ints) -> Iterator[Ints]:
    """Yield the *rows* of each star."""
    rows = rows[np.argsort(centre[rows], kind="stable")]
    ends = np.flatnonzero(np.diff(centre[rows])) + 1
    yield from (run for run in np.split(rows, ends) if len(run))


def _domain(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _trusted(votes: Votes) -> set[int]:
    """Return the species that trusted sources name."""
    return {species for species, tier, _ in votes if tier < _WEB and species >= 0}


def _winner(votes: Votes) -> tuple[int | None, Reason]:
    """Return the species a star stays under; or None, and why.

    The only one that trusted sources name; else the one that clearly more domains of the web
    do. Trusted sources that disagree decide nothing.
    """
    trusted = _trusted(votes)
    if trusted:
        return (trusted.pop() if len(trusted) == 1 else None), Reason.QUARANTINE
    sites = {(species, _domain(url)) for species, _, url in votes if species >= 0}
    (first, most), *others = Counter(species for species, _ in sites).most_common(2)
    clear = not others or most >= _MAJORITY * others[0][1]
    return (first if clear else None), Reason.CONFLICT
