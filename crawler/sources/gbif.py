"""GBIF downloads: Darwin Core archives, a zip of tab-separated tables joined on the record's id.

The licence is the picture's own (multimedia.txt), not the record's (occurrence.txt). A wanted
record takes 12 bytes of memory (thrice that while they are sorted), whatever its text.
"""

import hashlib
import zipfile
import zlib
from collections.abc import Callable, Generator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from crawler.candidates import Candidate, canonical, plain
from crawler.config import CrawlerSettings
from crawler.sources import tables
from flora.errors import ContractError
from flora.records import Tier

NAME = "gbif"

_SHEETS = ("preservedspecimen", "fossilspecimen")
_MEDIA = ("type", "identifier", "references", "title", "license", "creator", "rightsHolder")
_NUMBER = r"^[0-9]{1,18}$"


def files(settings: CrawlerSettings) -> dict[str, tuple[str, ...]]:
    """Return the units of this source: a name, and the addresses it reads."""
    return {f"archive-{i:03}": (url,) for i, url in enumerate(settings.gbif.archives)}


def read(
    paths: tuple[Path, ...], settings: CrawlerSettings, find: Callable[[str], str | None]
) -> Generator[Candidate]:
    """Yield the still images of an archive whose names *find* gives a species_id.

    Raises ContractError for a file that is no such archive.
    """
    (path,) = paths
    yield from pictures(path, NAME, find, herbarium_sheets=settings.gbif.herbarium_sheets)


def pictures(
    path: Path, source: str, find: Callable[[str], str | None], *, herbarium_sheets: bool = False
) -> Generator[Candidate]:
    """Yield the still images of the archive at *path* as candidates of *source*."""
    try:
        with zipfile.ZipFile(path) as archive:
            records = _Records(archive, herbarium_sheets, find)
            yield from _pictures(archive, source, records)
    except (zipfile.BadZipFile, KeyError, EOFError, zlib.error, ContractError) as error:
        raise ContractError(
            f"{path}: not a Darwin Core archive as GBIF makes them ({error}). "
            "Download it again; its format must be DWC_ARCHIVE."
        ) from error


class _Records:
    """The records we want: their ids, sorted, and the name that each is of."""

    def __init__(
        self, archive: zipfile.ZipFile, herbarium_sheets: bool, find: Callable[[str], str | None]
    ) -> None:
        self.names: list[tuple[str, str]] = []
        """Species_id and name, by number."""
        self._numbers: dict[str, int] = {}
        ids, numbers = [np.empty(0, np.int64)], [np.empty(0, np.int32)]
        with archive.open("occurrence.txt") as stream:
            key = _first_column(stream.readline())
        columns = ("scientificName", "species")
        with archive.open("occurrence.txt") as stream:
            for batch in tables.batches(
                stream, "occurrence.txt", columns, needed=(key, "basisOfRecord")
            ):
                names = pc.coalesce(*(tables.texts(batch, column) for column in columns))
                found = self._find(pc.fill_null(names, ""), find)
                if not herbarium_sheets:
                    basis = pc.utf8_lower(pc.replace_substring(batch["basisOfRecord"], "_", ""))
                    found[pc.is_in(basis, pa.array(_SHEETS)).to_numpy(zero_copy_only=False)] = -1
                wanted = np.flatnonzero(found >= 0)
                ids.append(_ids(tables.texts(batch, key).take(pa.array(wanted))))
                numbers.append(found[wanted])
        joined = np.concatenate(ids)
        order = np.argsort(joined)
        self.ids, self.numbers = joined[order], np.concatenate(numbers)[order]

    def _find(self, names: pa.Array, find: Callable[[str], str | None]) -> npt.NDArray[np.int32]:
        """Return the number of each name; -1 for those we do not want."""
        distinct = names.dictionary_encode()
        numbers = np.empty(len(distinct.dictionary), np.int32)
        for i, name in enumerate(distinct.dictionary.to_pylist()):
            number = self._numbers.get(name, -1)
            species_id = find(name) if number < 0 and name else None
            if species_id is not None:
                number = self._numbers[name] = len(self.names)
                self.names.append((species_id, name))
            numbers[i] = number
        return np.asarray(numbers[distinct.indices.to_numpy()])


def _pictures(archive: zipfile.ZipFile, source: str, records: _Records) -> Generator[Candidate]:
    with archive.open("multimedia.txt") as stream:
        key = _first_column(stream.readline())
    with archive.open("multimedia.txt") as stream:
        for batch in tables.batches(stream, "multimedia.txt", _MEDIA, needed=(key, "identifier")):
            ids = tables.texts(batch, key)
            places = tables.find(records.ids, _ids(ids))
            kind = pc.fill_null(tables.texts(batch, "type"), "StillImage")
            places[~pc.equal(kind, "StillImage").to_numpy(zero_copy_only=False)] = -1
            wanted = pa.array(np.flatnonzero(places >= 0))
            numbers = records.numbers[places[wanted.to_numpy()]]
            rows = pa.RecordBatch.from_arrays(
                [ids.take(wanted), *(tables.texts(batch, each).take(wanted) for each in _MEDIA)],
                names=["id", *_MEDIA],
            )
            for number, row in zip(numbers.tolist(), rows.to_pylist(), strict=True):
                url = canonical(row["identifier"] or "")
                if url is None:
                    continue
                species_id, name = records.names[number]
                yield Candidate(
                    url=url,
                    species_id=species_id,
                    query=name,
                    source=source,
                    tier=Tier.CITIZEN,
                    page_url=plain(row["references"]),
                    title=plain(row["title"]),
                    licence=plain(row["license"]),
                    creator=plain(row["creator"]),
                    rights_holder=plain(row["rightsHolder"]),
                    observation_id=f"{source}:{row['id']}",
                )


def _first_column(header: bytes) -> str:
    """Return the name of the id: gbifID in GBIF's archives, id and coreid in others."""
    return header.decode("utf-8-sig", "replace").rstrip("\r\n").partition("\t")[0]


def _ids(texts: pa.Array) -> npt.NDArray[np.int64]:
    """Return ids as numbers; those that are none by a digest, negative."""
    texts = pc.fill_null(texts, "")
    if pc.all(pc.match_substring_regex(texts, _NUMBER)).as_py() is not False:
        return np.asarray(pc.cast(texts, pa.int64()).to_numpy(zero_copy_only=False))
    return np.fromiter((_id(text) for text in texts.to_pylist()), np.int64, len(texts))


def _id(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 18:
        return int(text)
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return -1 - (int.from_bytes(digest) >> 1)
