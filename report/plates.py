"""The chapters of pictures: the contact sheet, duplicates side by side, mistaken species."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from flora import records
from flora.records import Reason
from report import tables
from report.album import Album, credit
from report.examples import Mistaken, Pair
from report.page import Chapter, Html, chapter, grid, join, link, table, tag
from report.tables import Counts

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
_NAMED = 4


class Plates:
    """What all chapters of pictures draw on: the album, and the names of the species."""

    def __init__(self, checklist: Path, species_ids: Collection[str], album: Album) -> None:
        path, columns = checklist / "species.parquet", ["species_id", "name", "family"]
        rows = tables.where(path, records.SPECIES, columns, "species_id", sorted(species_ids))
        self._known = {row["species_id"]: row for row in rows.to_pylist()}
        self._album = album

    def sheet(self, found: Mapping[str, Sequence[str]], counts: Counts) -> Chapter:
        """Return the contact sheet: species with some of their pictures."""
        title = "Pictures kept, by species"
        if not found:
            return chapter("sheet", title, "No picture has been judged yet, so none is kept.")
        cards = []
        for species_id, image_ids in found.items():
            total, name = counts.kept[species_id], self._name(species_id)
            tiles = [
                self._album.show(image_id, f"{name}, picture {number} of {total}")
                for number, image_id in enumerate(image_ids, 1)
            ]
            family = self._known.get(species_id, {}).get("family") or "family not known"
            about = tag("small", f"{family} · {total:,} picture{'s' * (total > 1)}")
            words = tag("p", tag("i", name), tag("br"), about)
            cards.append(tag("div", tag("div", *tiles, class_="tiles"), words, class_="card"))
        return chapter("sheet", title, grid("sheet", cards))

    def duplicates(
        self, found: Mapping[Reason, Sequence[Pair]], misses: Sequence[Pair], counts: Counts
    ) -> Chapter:
        """Return removed pictures beside those they were held against."""
        title = "Removed as duplicates"
        if not counts.reasons:
            return chapter("duplicates", title, "Duplicates have not been looked for yet.")
        parts: list[object] = []
        for reason, pairs in found.items():
            if pairs:
                words = str(reason).replace("_", " ").capitalize()
                parts += [tag("h3", f"{words}: {counts.reasons[reason]:,}"), WHY[reason],
                          grid("pairs", map(self._pair, pairs))]  # fmt: skip
        if misses:
            parts += [tag("h3", "Nearest misses"),
                      "Both kept: their hashes are near, but their pixels are not alike enough.",
                      grid("pairs", map(self._pair, misses))]  # fmt: skip
        return chapter("duplicates", title, *(parts or ["Every picture is one of its kind."]))

    def confusions(
        self, found: Iterable[tuple[Mistaken, Mistaken]], classes: Mapping[int, str]
    ) -> Html:
        """Return the species that are most often taken for each other."""
        cards = []
        for pair in found:
            sides = []
            for side in pair:
                name = self._name(classes.get(side.label, f"label {side.label}"))
                told = tag("small", f"{side.mistakes} of {side.tested} taken for the other")
                picture = self._album.show(side.image_id, f"Picture of {name}")
                sides.append(_side(picture, tag("i", name), tag("br"), told))
            cards.append(_card(sides))
        return grid("pairs", cards)

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

    def _pair(self, pair: Pair) -> Html:
        sides = []
        for side in pair.sides:
            fate = "kept" if side.kept else "removed"
            names = [self._name(each) for each in side.species]
            picture = self._album.show(
                side.image_id, f"{fate}, listed as {', '.join(names[:_NAMED])}"
            )
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
        return str(self._known.get(species_id, {}).get("name") or species_id)


def _side(picture: Html, *words: object) -> Html:
    return tag("div", picture, tag("p", *words), class_="side")


def _card(sides: Sequence[Html], told: str = "") -> Html:
    below = [tag("p", tag("small", told))] if told else []
    return tag("div", tag("div", *sides, class_="two"), *below, class_="card")
