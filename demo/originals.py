"""Where a world's pictures come from: drawn plants, or a folder of labelled photographs."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from demo import mishaps, names, plants
from demo.listings import Picture
from demo.species import FLORA
from flora.config import digest
from flora.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where the bytes of an original come from: a species and a seed, or a file."""

    form: str = "JPEG"
    quality: int = 88
    drawn: tuple[str, int] | None = None
    file: Path | None = None

    def read(self) -> bytes:
        """Return the bytes, drawn now or read now."""
        if self.drawn is None:
            assert self.file is not None
            return self.file.read_bytes()
        name, seed = self.drawn
        species = next(one for one in FLORA if one.name == name)
        return mishaps.encode(plants.draw(species, seed), self.form, self.quality)


@dataclass(frozen=True, slots=True, kw_only=True)
class Originals:
    """The pictures a world is made of, and the names they go by."""

    pictures: Sequence[Picture]
    sources: Sequence[Source]
    taxa: Sequence[names.Taxon]
    mark: str
    """Changes when they do."""


_PEOPLE = ("Ada Lindqvist", "Bruno Oyelaran", "Chiara Weiss", "Dae Park", "Elif Sato", "Femi Novak")
_PEOPLE_ALSO = ("Greta Almeida", "Hana Kowalski", "Ivo Maddox", "Jun Ferreira", "greenfinger77")
_LICENCES = ("by-4.0", "by-sa-4.0", "by-nc-4.0", "cc0-1.0", "by-2.0", "by-sa-3.0", "by-nc-sa-2.0")


def drawn(species: int, pictures: int, seed: int) -> Originals:
    """Plan *pictures* of *species* invented species. Raises ConfigError for too many or few."""
    if not 2 <= species <= len(FLORA):
        raise ConfigError(f"The demo can draw 2 to {len(FLORA)} species, not {species}.")
    if pictures < 4 * species:
        raise ConfigError(f"{species} species need at least {4 * species} pictures.")
    rng = np.random.default_rng([seed, 1])
    shown = FLORA[:species]
    originals: list[Picture] = []
    sources: list[Source] = []
    for one, many in zip(shown, _long_tail(species, pictures, rng), strict=True):
        for number in range(many):
            form = str(rng.choice(["JPEG", "PNG", "WEBP"], p=[0.96, 0.02, 0.02]))
            originals.append(
                Picture(
                    picture_id=f"P{len(originals):05}",
                    species=one.name,
                    form=form,
                    licence=str(rng.choice(_LICENCES)),
                    creator=str(rng.choice(_PEOPLE + _PEOPLE_ALSO)),
                )
            )
            quality = int(rng.integers(80, 94))
            drawn = (one.name, seed * 1000 + number)
            sources.append(Source(form=form, quality=quality, drawn=drawn))
    return Originals(
        pictures=originals,
        sources=sources,
        taxa=names.taxa(shown),
        mark=f"drawn {species} {pictures} {seed}",
    )


def _long_tail(species: int, pictures: int, rng: np.random.Generator) -> list[int]:
    """Return how many pictures each species has: from a quarter of the mean to twice of it."""
    rank = rng.permutation(species) / max(1, species - 1)
    share = 0.27 + 1.7 * rank**1.33
    edges = np.round(np.cumsum(share / share.sum()) * pictures).astype(int)
    return [int(many) for many in np.diff(edges, prepend=0)]


def photographs(folder: Path) -> Originals:
    """Find the photographs in *folder*. Raises ConfigError if there are none."""
    credits = _credits(folder)
    originals: list[Picture] = []
    sources: list[Source] = []
    families: dict[str, str] = {}
    mark: list[list[object]] = []
    try:
        for shelf in sorted(path for path in folder.iterdir() if path.is_dir()):
            for file in sorted(shelf.iterdir()):
                if file.suffix.lower() not in (".jpg", ".jpeg") or not _is_picture(file):
                    continue
                row = credits.get(f"{shelf.name}/{file.name}", {})
                families[shelf.name] = row.get("family", families.get(shelf.name, ""))
                originals.append(
                    Picture(
                        picture_id=f"P{len(originals):05}",
                        species=shelf.name,
                        licence=_licence(row.get("licence", "")),
                        creator=row.get("author") or None,
                        page_url=row.get("source_url") or None,
                    )
                )
                sources.append(Source(file=file))
                facts = file.stat()
                mark.append([shelf.name, file.name, facts.st_size, facts.st_mtime_ns])
    except OSError as error:
        raise ConfigError(f"PHOTOS={folder}: cannot be read ({error.strerror}).") from error
    if not originals:
        raise ConfigError(
            f"PHOTOS={folder}: there are no pictures here. They must lie in folders named after "
            "their species, like `Bellis perennis/one.jpg`."
        )
    return Originals(
        pictures=originals, sources=sources, taxa=names.labels(families), mark=digest(mark)
    )


def _credits(folder: Path) -> dict[str, dict[str, str]]:
    """Return the rows of attribution.csv by file, or nothing where there is none."""
    try:
        text = (folder / "attribution.csv").read_text(encoding="utf-8-sig")
    except OSError:
        return {}
    return {row["file"]: row for row in csv.DictReader(io.StringIO(text)) if row.get("file")}


def _licence(text: str) -> str | None:
    """Return `CC-BY-SA-3.0` as `by-sa-3.0`; None for what is no open licence we know."""
    plain = text.strip().lower().replace(" ", "-")
    if plain == "public-domain":
        return "pdm-1.0"
    return plain.removeprefix("cc-") if plain.startswith(("cc-by", "cc0-")) else None


def _is_picture(file: Path) -> bool:
    """Tell whether *file* begins like a picture; what does not is left out."""
    try:
        with Image.open(file) as image:
            return bool(image.size)
    except (UnidentifiedImageError, Image.DecompressionBombError):
        return False
