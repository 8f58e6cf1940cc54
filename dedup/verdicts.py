"""Who stays, who goes, and why.

Pictures that are one form stars: a keeper, and those that were themselves found to be the
same picture as it. Nothing is removed for being like something that is like the keeper. Then
each star's species are settled: a picture stays under one of them at most.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from flora.records import Reason, Tier, Verdict

_TIERS = {str(tier): place for place, tier in enumerate(Tier)}
_MAJORITY = 2
"""Among sources of one tier, a species wins with this many times the domains of the other."""


@dataclass(slots=True, kw_only=True)
class Image:
    """A picture (by its bytes), and every place that lists it."""

    image_id: str
    pixels: int
    bytes: int
    claims: list[tuple[str, str, str]] = field(default_factory=list)
    """(species_id, tier, domain)"""
    licensed: bool = False

    def priority(self) -> tuple[object, ...]:
        """Return what makes a better keeper; less is better."""
        tier = min(_TIERS[tier] for _, tier, _ in self.claims)
        return (tier, not self.licensed, -self.pixels, -self.bytes, self.image_id)

    def species(self) -> set[str]:
        """Return the species it is listed under."""
        return {species for species, _, _ in self.claims}


def images(rows: Iterable[Mapping[str, Any]]) -> dict[str, Image]:
    """Return the pictures of *rows* (kept rows of the images table) by image_id."""
    found: dict[str, Image] = {}
    for row in rows:
        image = found.get(row["image_id"])
        if image is None:
            image = found[row["image_id"]] = Image(
                image_id=row["image_id"],
                pixels=row["width"] * row["height"],
                bytes=row["length"],
            )
        domain = urlsplit(row["url"]).hostname or ""
        image.claims.append((row["species_id"], row["tier"], domain))
        image.licensed = image.licensed or bool(row["licence"])
    return found


def judge(
    found: Mapping[str, Image],
    edges: Mapping[tuple[str, str], int],
    placeholder_species: int,
) -> list[dict[str, Any]]:
    """Return the verdict rows of *found*, in order of image_id and species_id.

    *edges* maps pairs of image_ids (smaller first) that are the same picture to the distance
    of their hashes.
    """
    neighbours: dict[str, dict[str, int]] = defaultdict(dict)
    for (a, b), apart in edges.items():
        neighbours[a][b] = neighbours[b][a] = apart
    rows = []
    taken: set[str] = set()
    for image in sorted(found.values(), key=Image.priority):
        if image.image_id in taken:
            continue
        near = neighbours[image.image_id]
        star = [image, *(found[other] for other in sorted(near) if other not in taken)]
        taken.update(member.image_id for member in star)
        rows += _settle(star, neighbours, placeholder_species)
    return sorted(rows, key=lambda row: (row["image_id"], row["species_id"]))


def _settle(
    star: Sequence[Image], neighbours: Mapping[str, Mapping[str, int]], placeholder_species: int
) -> list[dict[str, Any]]:
    """Return the verdicts on one star; its first member is the keeper."""
    species = {each for image in star for each in image.species()}
    cluster = min(image.image_id for image in star)
    winner = _winner(star)
    if len(species) >= placeholder_species:
        winner, lost = None, Reason.PLACEHOLDER
    else:
        lost = Reason.CONFLICT if winner is None else Reason.OUTVOTED
    holders = [image for image in star if winner in image.species()]
    keeper = holders[0] if holders else None
    rows = []
    for image in star:
        for name in sorted(image.species()):
            row: dict[str, Any] = {
                "image_id": image.image_id,
                "species_id": name,
                "verdict": str(Verdict.DROP),
                "reason": str(lost),
                "cluster_id": cluster,
                "keeper_id": keeper.image_id if keeper else None,
                "distance": None,
            }
            if name == winner and keeper is not None:
                apart = neighbours.get(keeper.image_id, {}).get(image.image_id)
                if image is keeper or apart is None:  # no direct edge, no removal
                    alone = len(star) == 1
                    row["verdict"] = str(Verdict.KEEP)
                    row["reason"] = str(Reason.UNIQUE if alone else Reason.KEEPER)
                    row["keeper_id"] = image.image_id
                    row["distance"] = 0
                else:
                    row["reason"] = str(Reason.NEAR_DUPLICATE)
                    row["distance"] = apart
            rows.append(row)
    return rows


def _winner(star: Sequence[Image]) -> str | None:
    """Return the species a star stays under: the only one, else the one of the best tier alone,
    else the one that clearly more domains list; None if that does not decide.
    """
    best: dict[str, int] = {}
    domains: dict[str, set[str]] = defaultdict(set)
    for image in star:
        for species, tier, _ in image.claims:
            best[species] = min(_TIERS[tier], best.get(species, len(_TIERS)))
    top = [species for species, tier in best.items() if tier == min(best.values())]
    if len(top) == 1:
        return top[0]
    for image in star:
        for species, tier, domain in image.claims:
            if species in top and _TIERS[tier] == best[species]:
                domains[species].add(domain)
    votes = Counter({species: len(names) for species, names in domains.items()}).most_common(2)
    (first, most), (_, second) = votes
    return first if most >= _MAJORITY * second else None
