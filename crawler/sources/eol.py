"""Encyclopedia of Life: the media manifest, and the table that names its pages."""

import csv
import gzip
import io
import tarfile
import zlib
from collections.abc import Callable, Generator
from pathlib import Path

from crawler.candidates import Candidate, canonical, plain
from crawler.config import CrawlerSettings
from flora.errors import ContractError
from flora.records import Tier

NAME = "eol"


def files(settings: CrawlerSettings) -> dict[str, tuple[str, ...]]:
    """Return the units of this source: a name, and the addresses it reads."""
    return {"manifest": (settings.eol.manifest, settings.eol.names)}


def read(
    paths: tuple[Path, ...], settings: CrawlerSettings, find: Callable[[str], str | None]
) -> Generator[Candidate]:
    """Yield the media of pages whose names *find* gives a species_id.

    Raises ContractError for files that are not a manifest and its names.
    """
    manifest, names = paths
    try:
        pages = _pages(names, find)
        with tarfile.open(manifest, "r:*") as archive:
            for member in archive:
                stream = archive.extractfile(member)
                if stream is None or not member.name.endswith(".csv"):
                    continue
                for row in csv.DictReader(io.TextIOWrapper(stream, "utf-8", newline="")):
                    url = canonical(row["EOL Full-Size Copy URL"] or "")
                    species_id, name = pages.get(row["EOL page ID"], (None, ""))
                    if url is None or species_id is None:
                        continue
                    yield Candidate(
                        url=url,
                        species_id=species_id,
                        query=name,
                        source=NAME,
                        tier=Tier.EXPERT,
                        page_url=plain(row["Medium Source URL"]),
                        licence=plain(row["License Name"]),
                        rights_holder=plain(row["Copyright Owner"]),
                    )
    except (tarfile.TarError, KeyError, csv.Error, OSError, EOFError, zlib.error, ValueError) as e:
        raise ContractError(
            f"{manifest} with {names}: not EOL's media manifest and its table of names "
            f"({type(e).__name__}: {e}). Download them again."
        ) from e


def _pages(path: Path, find: Callable[[str], str | None]) -> dict[str, tuple[str, str]]:
    """Return page id -> (species_id, name)."""
    found: dict[str, tuple[str, str]] = {}
    with gzip.open(path, "rt", encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            page, name = row["page_id"], row["preferred_canonical_for_page"]
            if page in found or not name:
                continue
            species_id = find(name)
            if species_id is not None:
                found[page] = (species_id, name)
    return found
