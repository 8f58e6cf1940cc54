"""The chapters of pictures: contact sheets, duplicates side by side, mistaken species."""

from collections.abc import Iterable, Mapping, Sequence

from flora.records import Reason
from report import figures
from report.album import Album, credit
from report.counts import Counts
from report.examples import SUSPECT, Mistaken, Pair, Specimen
from report.page import Chapter, Html, beside, chapter, figure, grid, join, link, table, tag

WHY = {
    Reason.NEAR_DUPLICATE: "The same picture as one that stays, by its hash or by its pixels.",
    Reason.MIRRORED: "The same picture as one that stays, left for right.",
    Reason.OUTVOTED: "Also listed under another species, on better authority or by more sites.",
    Reason.CONFLICT: "Listed under several species, none on better authority, so none keeps it.",
    Reason.QUARANTINE: "Trusted sources disagree on the species; set aside.",
    Reason.PLACEHOLDER: "Listed under so many species, or so often, that it shows none.",
    Reason.LOW_INFORMATION: "Blank, or nearly so; set aside.",
    Reason.HOLDOUT: "Also in the evaluation set, or of an observation that is.",
}
"""The reasons to remove a picture, in our own words."""
_SUSPECT = (
    "Species of whose pictures the greatest share went to another species, or to none, because "
    "others claim them, too. The pictures are those that stay."
)
_NAMED = 4


class Plates:
    """What all chapters of pictures draw on: the album, and the *names* of the species."""

    def __init__(self, names: Mapping[str, str], album: Album) -> None:
        self._names = names
        self._album = album

    def sheets(self, found: Mapping[str, Sequence[Specimen]], counts: Counts) -> Chapter:
        """Return the contact sheets: species with some of their pictures."""
        title = f"Pictures {counts.stock}, by species"
        if not found:
            return chapter("sheet", title, "There is no picture yet.")
        parts: list[object] = []
        for name, sheet in found.items():
            parts += [tag("h3", name), *([_SUSPECT] if name == SUSPECT else [])]
            parts.append(grid("sheet", map(self._specimen, sheet)))
        return chapter("sheet", title, *parts)

    def duplicates(
        self, found: Mapping[Reason, Sequence[Pair]], misses: Sequence[Pair], counts: Counts
    ) -> Chapter:
        """Return removed pictures beside those they were held against."""
        title = "Removed as duplicates"
        if not counts.reasons:
            return chapter("duplicates", title, "Duplicates have not been looked for yet.")
        parts: list[object] = [_clusters(counts)] if counts.clusters else []
        for reason, pairs in found.items():
            words = str(reason).replace("_", " ").capitalize()
            parts += [tag("h3", f"{words}: {counts.reasons[reason]:,}"), WHY[reason],
                      grid("pairs", map(self._pair, pairs))]  # fmt: skip
        if misses:
            parts += [tag("h3", "Nearest misses"),
                      "Both kept: their hashes are near, but their pixels are not alike enough.",
                      grid("pairs", map(self._pair, misses))]  # fmt: skip
        return chapter("duplicates", title, *(parts or ["Every picture is one of its kind."]))

    def confusions(self, found: Iterable[tuple[Mistaken, Mistaken]]) -> Html:
        """Return the species that are most often taken for each other."""
        cards = []
        for pair in found:
            sides = []
            for side in pair:
                name = self._name(side.species_id)
                told = tag("small", f"{side.mistakes} of {side.tested} taken for the other")
                image_id = next((each for each in side.image_ids if each in self._album), None)
                picture = self._album.show(image_id, f"Picture of {name}")
                sides.append(_side(picture, tag("i", name), tag("br"), told))
            cards.append(_card(sides))
        return grid("pairs", cards) if cards else Html("None: every first guess was right.")

    def credits(self) -> Chapter:
        """Return who made what is shown on the page. Call it when all of it is shown."""
        shown = self._album.shown
        if not shown:
            return chapter("credits", "Credits", "No pictures are shown.")
        rows = (
            (image_id[:12], row["title"], credit(row), link(row["page_url"] or row["url"]))
            for image_id, row in shown.items()
        )
        return chapter(
            "credits",
            "Credits",
            "The pictures are shown small. All rights stay with those who made them.",
            tag(
                "details",
                tag("summary", f"Creators and licences of the {len(shown)} pictures shown"),
                table(["picture", "title", "creator · licence", "page"], rows, words=4),
            ),
        )

    def _specimen(self, one: Specimen) -> Html:
        tiles = [
            self._album.show(image_id, f"{one.name}, picture {number} of {one.pictures}")
            for number, image_id in enumerate(one.image_ids, 1)
        ]
        told = f"{one.family or 'family not known'} · {one.pictures:,} picture"
        told += "s" * (one.pictures > 1)
        if one.contested:
            told += f" · {one.contested:,} of {one.judged:,} lost to others"
        words = tag("p", tag("i", one.name), tag("br"), tag("small", told))
        return tag("div", tag("div", *tiles, class_="tiles"), words, class_="card")

    def _pair(self, pair: Pair) -> Html:
        sides = []
        for side in pair.sides:
            fate = "kept" if side.kept else "removed"
            names = [self._name(each) for each in side.species]
            listed = ", ".join(names[:_NAMED]) or "no species"
            picture = self._album.show(side.image_id, f"{fate}, listed as {listed}")
            shown = join((tag("i", name) for name in names[:_NAMED]), ", ")
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            words = f"{fate}; listed for {len(names)} species" if len(names) > 1 else fate
            sides.append(_side(picture, tag("small", words), tag("br"), shown, Html(more)))
        if len(sides) > 1 and len({side.image_id for side in pair.sides}) == 1:
            return _card(sides, "the very same bytes")
        told = [] if pair.distance is None else [f"{pair.distance} of 256 bits apart"]
        if pair.similarity is not None:
            told.append(f"pixels {pair.similarity:.3f} alike")
        return _card(sides, " · ".join(told))

    def _name(self, species_id: str) -> str:
        """Return its name, or its id where the checklist does not have it."""
        return self._names.get(species_id, species_id)


def _clusters(counts: Counts) -> Html:
    """Return how large the clusters are, and which species claim the same pictures."""
    bars = {
        f"{least:,}" if least == most else f"{least:,} to {most:,}": [clusters]
        for _, least, most, clusters, _ in counts.clusters
    }
    alike = sum(row[4] for row in counts.clusters)
    drawn = figures.bars("Clusters of pictures that are one, by their size", bars)
    said = f"{alike:,} pictures are copies of each other, in clusters of so many."
    claims = [(tag("i", a), tag("i", b), n) for a, b, n in counts.claims]
    rest = [table(["claimed by", "and by", "pictures"], claims, words=2)] if claims else []
    return beside(figure(drawn, said), *rest)


def _side(picture: Html, *words: object) -> Html:
    return tag("div", picture, tag("p", *words), class_="side")


def _card(sides: Sequence[Html], told: str = "") -> Html:
    below = [tag("p", tag("small", told))] if told else []
    return tag("div", tag("div", *sides, class_="two"), *below, class_="card")
