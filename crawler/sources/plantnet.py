"""Pl@ntNet's observations (https://identify.plantnet.org), as a Darwin Core archive."""

from collections.abc import Callable, Generator
from pathlib import Path

from crawler.candidates import Candidate
from crawler.config import CrawlerSettings
from crawler.sources import gbif

NAME = "plantnet"


def files(settings: CrawlerSettings) -> dict[str, tuple[str, ...]]:
    """Return the units of this source: a name, and the addresses it reads."""
    return {f"archive-{i:03}": (url,) for i, url in enumerate(settings.plantnet.archives)}


def read(
    paths: tuple[Path, ...], settings: CrawlerSettings, find: Callable[[str], str | None]
) -> Generator[Candidate]:
    """Yield the pictures of an archive whose names *find* gives a species_id.

    Raises ContractError for a file that is no such archive.
    """
    (path,) = paths
    yield from gbif.pictures(path, NAME, find)
