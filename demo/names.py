"""The checklist of the invented plants, in the columns of ThePlantList 1.1."""

import csv
import dataclasses
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from demo.species import FLORA, Species

COLUMNS = (
    "ID",
    "Major group",
    "Family",
    "Genus hybrid marker",
    "Genus",
    "Species hybrid marker",
    "Species",
    "Infraspecific rank",
    "Infraspecific epithet",
    "Authorship",
    "Taxonomic status in TPL",
    "Nomenclatural status from original data source",
    "Confidence level",
    "Source",
    "Source id",
    "IPNI id",
    "Publication",
    "Collation",
    "Page",
    "Date",
    "Accepted ID",
)

UNPICTURED = 5
"""Accepted species of the list that nobody ever took a picture of (and two hybrids more)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taxon:
    """One name of the list."""

    genus: str
    epithet: str
    authorship: str = ""
    family: str = ""
    status: str = "Accepted"
    accepted: str | None = None
    """The accepted species that a synonym, or a name below species, stands for."""
    marks: tuple[str, str] = ("", "")
    """Hybrid markers, of the genus and of the species."""
    below: tuple[str, str] = ("", "")
    """Rank and epithet below the species."""

    @property
    def name(self) -> str:
        """The name without its author."""
        words = (self.marks[0], self.genus, self.marks[1], self.epithet, *self.below)
        return " ".join(filter(None, words))


def taxa(pictured: Sequence[Species]) -> list[Taxon]:
    """Return the whole list for a web that shows *pictured*: accepted names first."""
    unpictured = [species for species in FLORA if species not in pictured][:UNPICTURED]
    return [
        *(_accepted(species) for species in (*pictured, *unpictured)),
        *_hybrids(),
        *_others(pictured),
    ]


def labels(families: Mapping[str, str]) -> list[Taxon]:
    """Return a list of the names that photographs are filed under, each with its family."""
    listed = []
    for name, family in families.items():
        words = name.replace(" x ", " × ").split()
        marks = ("×" if words[0] == "×" else "", "×" if "×" in words[1:] else "")
        genus, *epithet = (word for word in words if word != "×")
        if epithet:
            listed.append(Taxon(genus=genus, epithet=" ".join(epithet), family=family, marks=marks))
    return listed


def _accepted(species: Species) -> Taxon:
    return Taxon(
        genus=species.genus,
        epithet=species.epithet,
        authorship=species.authorship,
        family=species.family,
    )


def _hybrids() -> Iterator[Taxon]:
    first = _accepted(FLORA[0])
    yield dataclasses.replace(first, epithet="intermedia", marks=("", "×"))
    yield dataclasses.replace(first, genus="Heliastella", epithet="mira", marks=("×", ""))


def _others(pictured: Sequence[Species]) -> Iterator[Taxon]:
    """Yield what is no accepted species: synonyms, varieties, a doubtful and a misused name."""
    for k, species in enumerate(pictured):
        known = dataclasses.replace(_accepted(species), accepted=species.name)
        synonym = dataclasses.replace(known, status="Synonym", authorship="Hale")
        if k % 3 == 0:
            author = f"({species.authorship}) Lund"
            genus = f"{species.genus[:-1]}opsis"
            yield dataclasses.replace(synonym, genus=genus, authorship=author)
        if k % 6 == 1:
            yield dataclasses.replace(synonym, epithet=f"pseudo{species.epithet}")
        if k % 6 == 2:
            yield dataclasses.replace(known, below=("var.", "minor"), authorship="Lund")
        if k % 6 == 5:
            yield dataclasses.replace(synonym, below=("subsp.", "borealis"))
    first = _accepted(pictured[0])
    yield dataclasses.replace(first, epithet="dubia", authorship="Hale", status="Unresolved")
    yield dataclasses.replace(
        first,
        epithet="vulgaris",
        authorship="auct.",
        status="Misapplied",
        accepted=pictured[0].name,
    )


def csv_text(listed: Sequence[Taxon]) -> str:
    """Return *listed* as ThePlantList would have it."""
    ids = {taxon.name: f"demo-{number}" for number, taxon in enumerate(listed, 1)}
    sheet = io.StringIO()
    writer = csv.writer(sheet, lineterminator="\n")
    writer.writerow(COLUMNS)
    for taxon in listed:
        pointer = ids[taxon.accepted] if taxon.accepted and taxon.status != "Accepted" else ""
        number = ids[taxon.name]
        writer.writerow(
            (
                *(number, "A", taxon.family),
                *(taxon.marks[0], taxon.genus, taxon.marks[1], taxon.epithet, *taxon.below),
                *(taxon.authorship, taxon.status, "", "H", "DEMO", number, ""),
                *("Fl. Imag.", "1", "", "1821", pointer),
            )
        )
    return sheet.getvalue()


def authors(checklist: Path) -> dict[str, str]:
    """Return name -> author for the names of *checklist*."""
    with checklist.open(encoding="utf-8", newline="") as file:
        return {
            " ".join(filter(None, (row[column] for column in COLUMNS[3:9]))): row["Authorship"]
            for row in csv.DictReader(file)
        }
