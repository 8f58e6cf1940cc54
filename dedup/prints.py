"""Pictures in a folder, as hashes: for `python -m dedup folder`, and for a hold-out set."""

import hashlib
import os
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dedup.listings import Pictures
from flora.errors import ConfigError
from flora.pictures import FlawedPictureError, Picture, inspect

_MAX_PIXELS = 200_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """What lies in a folder."""

    paths: list[Path]
    """Of the pictures, in order of name; of files with the same bytes, the first."""
    twins: dict[Path, list[Path]]
    """The other files with the bytes of one of *paths*."""
    pictures: Pictures
    refused: dict[Path, str]
    """Files that are no whole pictures, and why."""


def read(folder: Path) -> Folder:
    """Hash all pictures below *folder*, hidden files apart, on all cores.

    Raises ConfigError if *folder* is none.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder}: there is no such folder.")
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not any(part[0] == "." for part in path.relative_to(folder).parts)
    )
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        seen = list(pool.map(_look, files))
    first: dict[bytes, Path] = {}
    found, twins, refused = [], defaultdict[Path, list[Path]](list), {}
    for path, each in zip(files, seen, strict=True):
        if isinstance(each, str):
            refused[path] = each
        elif each[0] in first:
            twins[first[each[0]]].append(path)
        else:
            first[each[0]] = path
            found.append(each)
    return Folder(paths=[*first.values()], twins=twins, pictures=_columns(found), refused=refused)


def _look(path: Path) -> tuple[bytes, int, Picture] | str:
    """Return digest, size and looks of the picture at *path*, or why it is none."""
    try:
        data = path.read_bytes()
        found = inspect(data, max_pixels=_MAX_PIXELS, min_side=1)
    except FlawedPictureError as error:
        return str(error.flaw)
    except OSError as error:
        return error.strerror or "unreadable"
    return hashlib.sha256(data).digest(), len(data), found


def _columns(found: list[tuple[bytes, int, Picture]]) -> Pictures:
    looks = [picture for _, _, picture in found]
    digests = b"".join(digest for digest, _, _ in found)
    pdq = b"".join(picture.pdq for picture in looks)
    return Pictures(
        ids=np.frombuffer(digests, ">u8").astype(np.uint64).reshape(-1, 4),
        phash=np.array([picture.phash for picture in looks], np.uint64),
        pdq=np.frombuffer(pdq, np.uint64).reshape(-1, 4),
        quality=np.array([picture.quality for picture in looks], np.uint8),
        tier=np.zeros(len(looks), np.int8),
        licensed=np.ones(len(looks), np.bool_),
        pixels=np.array([picture.width * picture.height for picture in looks], np.int64),
        bytes=np.array([size for _, size, _ in found], np.int64),
    )
