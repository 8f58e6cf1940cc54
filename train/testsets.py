"""Sets of pictures to test on, from wherever they lie, each with its species and its observation.

- a split of the shards;
- a folder with a folder for each species; a folder within that is an observation;
- a list (CSV, TSV, parquet) with the columns `path` or `url`, `species`, and perhaps
  `observation_id` and `key`. Paths count from the list; what has a `url` is looked for where
  `make fetch URLS=list DATA=folder-of-the-list` puts it;
- WebDataset tars, one or a folder of them: the species from the sample's JSON, else from its
  `cls`.

A species may be named by its id, its name, or any synonym that the checklist knows. One that the
model has no class for is tested all the same, and missed.
"""

import csv
import json
import tarfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from flora import records
from flora.errors import ConfigError
from train.naming import Names
from train.trial import Source

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif")
_LISTS = (".csv", ".tsv", ".parquet")
_ABSENT = ""

Whole = npt.NDArray[np.int64]


class Item(NamedTuple):
    """One picture, before its species is looked up."""

    key: str
    species: str
    """By whatever name; empty where nobody says."""
    observation: str | None
    file: str
    """Empty where the picture is not there."""
    offset: int = 0
    length: int = -1
    """-1 for the whole file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureSet:
    """The n pictures of a set. Those of one observation follow one another."""

    keys: list[str]
    observations: list[str]
    """n names; one of its own where none is known."""
    labels: Whole
    """n classes of the model; -1 where it has none."""
    places: list[tuple[str, int, int]]
    """n files, offsets and lengths."""
    unknown: Mapping[str, int] = field(default_factory=dict)
    """Species that the model has no class for, with their pictures."""

    def __len__(self) -> int:
        return len(self.keys)

    def read(self, place: int) -> bytes:
        """Return the bytes of a picture. Raises OSError where they are not there."""
        file, offset, length = self.places[place]
        if file == _ABSENT:
            raise FileNotFoundError(self.keys[place])
        with open(file, "rb") as data:  # noqa: PTH123 (half the time, a million times)
            data.seek(offset)
            return data.read(length)


def load(source: Source, data: Path, names: Names, limit: int | None = None) -> PictureSet:
    """Return the set that *source* names, its first *limit* pictures. *data* has the shards.

    Raises ConfigError for a path that is no set of pictures.
    """
    path = Path(source.where)
    if source.where in ("train", "val", "test"):
        items = _split(data / "shards", source.where)
    elif path.suffix.lower() in _LISTS:
        items = _list(path)
    elif path.suffix == ".tar" or any(path.glob("*.tar")):
        items = _tars(path)
    elif path.is_dir():
        items = _folder(path)
    else:
        raise ConfigError(f"{path}: is no folder, list ({', '.join(_LISTS)}) or tar.")
    found = list(items)[:limit]
    if not found and path.is_absolute():
        raise ConfigError(f"{path}: there are no pictures in it. docs/evaluation.md has the forms.")
    return _set(found, names)


def _set(items: list[Item], names: Names) -> PictureSet:
    """Look up the species, and put the pictures of one observation together."""
    labels = [names.label(item.species) for item in items]
    seen = [item.observation or item.key for item in items]
    first: dict[str, int] = {}
    species: dict[str, set[int]] = {}
    for row, (name, label) in enumerate(zip(seen, labels, strict=True)):
        first.setdefault(name, row)
        species.setdefault(name, set()).add(label)
    # Where people differ on what a plant is, there is a plant for each opinion.
    plants = [
        name if len(species[name]) == 1 else f"{name}/{label}"
        for name, label in zip(seen, labels, strict=True)
    ]
    order = sorted(range(len(items)), key=lambda row: (first[seen[row]], plants[row], row))
    unknown = Counter(items[row].species for row in order if labels[row] < 0 and items[row].species)
    return PictureSet(
        keys=[items[row].key for row in order],
        observations=[plants[row] for row in order],
        labels=np.array([labels[row] for row in order], np.int64),
        places=[items[row][3:] for row in order],
        unknown=unknown,
    )


def _split(shards: Path, split: str) -> Iterator[Item]:
    columns = ["key", "species_id", "observation_id", "split", "shard", "offset", "length"]
    index = records.read(shards / "index.parquet", records.INDEX, columns)
    rows = index.filter(pc.equal(index["split"], split)).to_pylist()
    for row in rows:
        yield Item(
            row["key"], row["species_id"], row["observation_id"],
            str(shards / row["shard"]), row["offset"], row["length"],
        )  # fmt: skip


def _folder(path: Path) -> Iterator[Item]:
    for file in sorted(path.rglob("*")):
        parts = file.relative_to(path).parts
        hidden = any(part.startswith(".") for part in parts)
        if hidden or len(parts) < 2 or file.suffix.lower() not in SUFFIXES:
            continue
        plant = "/".join(parts[:-1]) if len(parts) > 2 else None
        yield Item("/".join(parts), parts[0], plant, str(file))


def _list(path: Path) -> Iterator[Item]:
    rows = _rows(path)
    if not rows:
        return
    have = rows[0].keys()
    where = next((name for name in ("path", "url") if name in have), None)
    species = next((name for name in ("species_id", "species", "name") if name in have), None)
    if where is None or species is None:
        raise ConfigError(
            f"{path}: a list of pictures has the columns path or url, and species; this one has "
            f"{', '.join(have)}."
        )
    fetched = _fetched(path.parent / "images", rows) if where == "url" else {}
    for row in rows:
        place = fetched.get(row["url"], (_ABSENT,)) if where == "url" else (
            str(path.parent / str(row["path"])),
        )  # fmt: skip
        key = row.get("key") or row[where]
        yield Item(str(key), str(row[species] or ""), row.get("observation_id"), *place)


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        if path.suffix.lower() == ".parquet":
            rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
            return rows
        with path.open(encoding="utf-8-sig", newline="") as file:
            return list(csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ","))
    except (OSError, UnicodeDecodeError, csv.Error, pa.ArrowException) as error:
        raise ConfigError(f"{path}: cannot be read as a list ({error}).") from error


def _fetched(images: Path, rows: list[dict[str, Any]]) -> dict[str, tuple[str, int, int]]:
    """Return where the pictures lie that were fetched for a list."""
    if not (images / "tables").is_dir():
        raise ConfigError(
            f"{images.parent}: the pictures of the list are not there. Fetch them first: "
            f"make fetch URLS=<the list> DATA={images.parent}"
        )
    columns = ["url", "status", "pack", "offset", "length"]
    table = records.read(images / "tables", records.IMAGES, columns)
    table = table.filter(pc.equal(table["status"], records.KEPT))
    table = table.filter(pc.is_in(table["url"], pa.array([row["url"] for row in rows])))
    return {
        row["url"]: (str(images / "packs" / row["pack"]), row["offset"], row["length"])
        for row in table.to_pylist()
    }


def _tars(path: Path) -> Iterator[Item]:
    for file in sorted(path.glob("*.tar")) if path.is_dir() else [path]:
        known = file.parent / "classes.parquet"
        theirs = _ids(known) if known.is_file() else {}
        try:
            yield from _samples(file, theirs)
        except (OSError, ValueError, AttributeError, tarfile.TarError) as error:
            raise ConfigError(f"{file}: cannot be read as a tar ({error}).") from error


def _ids(classes: Path) -> dict[str, str]:
    table = records.read(classes, records.CLASSES, ["label", "species_id"])
    return dict(zip(map(str, table["label"].to_pylist()), table["species_id"].to_pylist(),
                    strict=True))  # fmt: skip


def _samples(file: Path, theirs: Mapping[str, str]) -> Iterator[Item]:
    """Yield the samples of a tar, whose labels are *theirs*, or else ours."""
    with tarfile.open(file) as tar:
        for key, members in _groups(tar):
            picture = next((members[each] for each in SUFFIXES if each in members), None)
            if picture is None:
                continue
            about: dict[str, Any] = json.loads(_text(tar, members.get(".json")) or "{}")
            label = _text(tar, members.get(".cls"))
            species = next(filter(None, map(about.get, ("species_id", "species", "name"))), None)
            if species is None and label:
                species = theirs.get(label, f"#{label}" if label.isdecimal() else label)
            yield Item(
                key, str(species or ""), about.get("observation_id"),
                str(file), picture.offset_data, picture.size,
            )  # fmt: skip


def _groups(tar: tarfile.TarFile) -> Iterator[tuple[str, dict[str, tarfile.TarInfo]]]:
    """Yield the members of each sample: neighbours with one name up to its first dot."""
    key, members = "", dict[str, tarfile.TarInfo]()
    for member in tar:
        folder, slash, base = member.name.rpartition("/")
        stem, dot, suffix = base.partition(".")
        if not member.isfile() or not stem:
            continue
        name = folder + slash + stem
        if name != key:
            if members:
                yield key, members
            key, members = name, {}
        members[dot + suffix.lower()] = member
    if members:
        yield key, members


def _text(tar: tarfile.TarFile, member: tarfile.TarInfo | None) -> str:
    file = tar.extractfile(member) if member else None
    return file.read().decode("utf-8", "replace").strip() if file else ""
