"""GBIF downloads: Darwin Core archives, a zip of tab-separated tables joined on gbifID.

The licence is the picture's own (multimedia.txt), not the record's (occurrence.txt).
"""

import contextlib
import csv
import io
import zipfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import IO

from crawler.candidates import Candidate, canonical, plain
from crawler.config import CrawlerSettings
from flora.errors import ContractError
from flora.records import Tier

NAME = "gbif"

csv.field_size_limit(2**24)


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
    try:
        with zipfile.ZipFile(path) as archive:
            records = _occurrences(archive, settings.gbif.herbarium_sheets, find)
            for row in _rows(archive, "multimedia.txt"):
                record = records.get(row["gbifID"].strip())
                url = canonical(row.get("identifier") or "")
                if record is None or url is None or row.get("type") not in ("StillImage", "", None):
                    continue
                species_id, name, observation = record
                yield Candidate(
                    url=url,
                    species_id=species_id,
                    query=name,
                    source=NAME,
                    tier=Tier.CITIZEN,
                    page_url=plain(row.get("references")),
                    title=plain(row.get("title")),
                    licence=plain(row.get("license")),
                    creator=plain(row.get("creator")),
                    rights_holder=plain(row.get("rightsHolder")),
                    observation_id=observation,
                )
    except (zipfile.BadZipFile, KeyError, csv.Error, UnicodeDecodeError, EOFError) as error:
        raise ContractError(
            f"{path}: not a Darwin Core archive as GBIF makes them ({error}). "
            "Download it again; its format must be DWC_ARCHIVE."
        ) from error


def _occurrences(
    archive: zipfile.ZipFile, herbarium_sheets: bool, find: Callable[[str], str | None]
) -> dict[str, tuple[str, str, str]]:
    """Return gbifID -> (species_id, name, observation) for the records we want."""
    found = {}
    for row in _rows(archive, "occurrence.txt"):
        if row["basisOfRecord"] == "PRESERVED_SPECIMEN" and not herbarium_sheets:
            continue
        name = row.get("scientificName") or row.get("species") or ""
        species_id = find(name)
        if species_id is not None:
            found[row["gbifID"].strip()] = (species_id, name, f"gbif:{row['gbifID'].strip()}")
    return found


def _rows(archive: zipfile.ZipFile, member: str) -> Iterator[dict[str, str]]:
    with contextlib.closing(archive.open(member)) as raw:
        stream: IO[bytes] = raw
        text = io.TextIOWrapper(stream, encoding="utf-8", newline="\n")
        yield from csv.DictReader(text, delimiter="\t", quoting=csv.QUOTE_NONE)
