"""The chapters of what there is: by species, family, source, licence, size and format."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from flora.console import size
from report import figures
from report.counts import LENGTHS, LEVELS, SIDES, Counts
from report.page import Chapter, Html, beside, chapter, figure, share, table, tag
from report.treemap import Part, treemap

_LICENCES = 12


def per_species(counts: Counts) -> Chapter:
    """Return how unevenly the pictures fall on the species."""
    title = "Pictures per species"
    if not any(len(curve) for curve in counts.curves.values()):
        return chapter("species", title, "No picture has been listed yet.")
    wanted, accepted, _ = counts.scope
    rows: list[tuple[object, ...]] = []
    for least, here, everywhere in counts.reached:
        if not rows:
            rows.append(_reached("none", wanted - here, wanted, accepted - everywhere, accepted))
        rows.append(_reached(f"{least} or more", here, wanted, everywhere, accepted))
    head = [f"pictures {counts.stock}", "species wanted", "share", "of the checklist", "share"]
    drawn = figures.rank_frequency("Pictures per species, most first", counts.curves, wanted)
    said = (
        "Species in the order of their pictures, on logarithmic scales. Where a curve ends "
        "before the dashed line, the species wanted, the rest has none."
    )
    return chapter("species", title, beside(figure(drawn, said), table(head, rows)))


def by_family(counts: Counts) -> Chapter:
    """Return which families the pictures cover, and how well."""
    title = "Coverage by family"
    if not counts.scope[2]:
        return chapter("families", title, "No species has a picture yet.")
    parts = [
        Part(str(family), n, ten / n, f"{ten:,} of {n:,}")
        for family, n, _, ten, _, _ in counts.families
    ]
    rows = [
        (family, n, *reached, share(reached[1], n), pictures)
        for family, n, *reached, pictures in counts.families
    ]
    head = ["family", "species", *(f"with {least}+" for least in LEVELS),
            f"share {LEVELS[1]}+", "pictures"]  # fmt: skip
    words = f"Families by their number of species wanted, and the share with {LEVELS[1]} pictures"
    drawn = treemap(words, parts, f"of the species have {LEVELS[1]} pictures or more")
    return chapter(
        "families",
        title,
        figure(drawn, f"{words} or more {counts.stock}. The table has the same in numbers."),
        tag("details", tag("summary", f"All {len(rows):,} families"), table(head, rows)),
    )


def sources(counts: Counts) -> Chapter:
    """Return where the pictures come from, and how they may be used."""
    title = "Sources and licences"
    if not counts.sources:
        return chapter("sources", title, "Nothing has been fetched yet.")
    rows = [(*each[:4], share(each[3], each[2]), each[4]) for each in counts.sources]
    tiers: dict[str, list[int]] = {}
    for _, tier, listed, whole, packed in counts.sources:
        sums = tiers.setdefault(str(tier), [0, 0, 0])
        tiers[str(tier)] = [a + b for a, b in zip(sums, (listed, whole, packed), strict=True)]
    return chapter(
        "sources",
        title,
        table(["source", "tier", "listings", "whole", "share", "in shards"], rows, words=2),
        "The tier says how far a label can be trusted: by experts, by citizen scientists, or by "
        "whoever wrote a page.",
        beside(
            table(["tier", "listings", "whole", "in shards"], ((t, *n) for t, n in tiers.items())),
            _licences(counts),
        ),
    )


def forms(counts: Counts) -> Chapter:
    """Return how large the pictures are that came, and in what formats."""
    title = "Sizes and formats"
    if not counts.whole:
        return chapter("forms", title, "Nothing has been fetched yet.")
    rows = [
        (form, n, share(n, counts.whole), f"{side:,} px", size(length))
        for form, n, side, length in counts.formats
    ]
    sides = figures.bars("Pictures by their shorter side", _classes(counts.sides, SIDES, "px"))
    lengths = figures.bars("Pictures by their bytes", _classes(counts.lengths, LENGTHS, "KiB"))
    return chapter(
        "forms",
        title,
        beside(
            figure(sides, "Listings that came whole, by the shorter side of the picture."),
            figure(lengths, "The same by its bytes."),
        ),
        table(["format", "whole", "share", "shorter side, median", "bytes, median"], rows),
    )


def _reached(
    words: str, wanted: int, all_wanted: int, accepted: int, all_accepted: int
) -> tuple[object, ...]:
    return words, wanted, share(wanted, all_wanted), accepted, share(accepted, all_accepted)


def _licences(counts: Counts) -> Html:
    top, whole = list(counts.licences), sum(row[1] for row in counts.licences)
    if len(top) > _LICENCES:
        rest = top[_LICENCES - 1 :]
        top[_LICENCES - 1 :] = [
            (f"{len(rest):,} others", sum(row[1] for row in rest), sum(row[2] for row in rest))
        ]
    rows = [(name, n, share(n, whole), packed) for name, n, packed in top]
    return table(["licence", "whole", "share", "in shards"], rows)


def _classes(found: Mapping[int, int], bounds: Sequence[int], unit: str) -> dict[str, list[int]]:
    """Return the pictures of each class of sizes, from the smallest there is to the largest."""
    names = [f"under {bounds[0]:,} {unit}"]
    names += [f"{low:,} to {high:,}" for low, high in pairwise(bounds)]
    names.append(f"{bounds[-1]:,} {unit} or more")
    return {names[k]: [found.get(k, 0)] for k in range(min(found), max(found) + 1)}
