"""Room for what is to be written, asked for before the first byte is."""

import os
from pathlib import Path

from flora.console import size
from flora.errors import StageError

_SPARE = 0.01
"""Of the need: file systems have their own tables, and others write too."""


def check(folder: Path, *, bytes: int, files: int) -> None:
    """Raise StageError where the file system of *folder* has no room for so much more.

    Quotas are not seen here (statvfs does not know them): a full one ends the run as a full
    disk does, with nothing half-written.
    """
    free, inodes = _free(folder)
    wanting = []
    if bytes * (1 + _SPARE) > free:
        wanting.append(f"{size(bytes)} of disk, but only {size(free)} are free")
    if inodes is not None and files * (1 + _SPARE) > inodes:
        wanting.append(f"{files:,} files, but there is only room for {inodes:,}")
    if wanting:
        raise StageError(
            f"{folder}: the shards need {', and '.join(wanting)}. Make room, or put the folder on "
            "another disk (DATA=...); nothing was written."
        )


def text(folder: Path, *, bytes: int, files: int) -> str:
    """Return what is needed and what is there, as a sentence."""
    free, inodes = _free(folder)
    room = f"{size(free)} free" + ("" if inodes is None else f", room for {inodes:,} files")
    return f"{folder} needs {size(bytes)} and {files:,} files ({room})."


def _free(folder: Path) -> tuple[int, int | None]:
    """Return the free bytes of the disk *folder* is to be on, and its inodes if it has a limit."""
    folder = folder.absolute()
    while not folder.exists():
        folder = folder.parent
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize, found.f_favail if found.f_files else None
