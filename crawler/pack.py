"""The image pack a unit is writing: a tar that grows, and a journal of what it holds.

    open/<unit>.jsonl       a line for every URL that is settled, kept or refused
    open/<unit>-000.tar     the pictures so far; moved to packs/ when the unit is done

A picture's bytes are written before its line, so after a crash the journal is the truth: the
pack is cut behind the last picture that has a line, and the unit goes on from there. At most
the pictures in flight are fetched again.
"""

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from crawler.fetch import Fetched
from flora import tar
from flora.errors import StageError
from flora.hashes import PIPELINE
from flora.ledger import slug


class Pack(contextlib.AbstractContextManager["Pack"]):
    """The packs and the journal of one unit, open for more."""

    def __init__(self, folder: Path, unit: str, max_bytes: int) -> None:
        self._folder, self._slug, self._max = folder, slug(unit), max_bytes
        for name in ("open", "packs"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        self._journal = (folder / "open" / f"{self._slug}.jsonl").open("a+b", buffering=0)
        try:
            fcntl.flock(self._journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._journal.close()
            raise StageError(f"{unit}: another process is fetching this unit.") from error
        self.settled: set[str] = set()
        """The URLs that have a line in the journal."""
        self._places: dict[str, tuple[str, int]] = {}  # image_id -> pack, offset
        self._ends: dict[str, int] = {}  # pack -> end of its last picture
        self._recover()
        self._number = max(len(self._ends) - 1, 0)
        self._tar = self._open_tar()

    def __exit__(self, *_error: object) -> None:
        self._tar.close()
        self._journal.close()

    def add(self, fetched: Fetched, at: str) -> None:
        """Settle one URL: its picture goes to the pack (once), its line to the journal."""
        line: dict[str, Any] = {
            "url": fetched.url,
            "final_url": fetched.final_url,
            "status": str(fetched.status),
            "http_status": fetched.http_status,
            "fetched_at": at,
        }
        if fetched.picture is not None:
            image_id = hashlib.sha256(fetched.data).hexdigest()
            if image_id not in self._places:
                self._append(image_id, fetched.picture.format, fetched.data)
            pack, offset = self._places[image_id]
            line |= {
                "image_id": image_id,
                "pack": pack,
                "offset": offset,
                "length": len(fetched.data),
                "width": fetched.picture.width,
                "height": fetched.picture.height,
                "format": fetched.picture.format,
                "phash": fetched.picture.phash,
                "pdq": fetched.picture.pdq.hex(),
                "quality": fetched.picture.quality,
                "hashes": PIPELINE,
            }
        _write_all(self._journal.fileno(), json.dumps(line).encode() + b"\n")
        self.settled.add(fetched.url)

    def lines(self) -> Iterator[dict[str, Any]]:
        """Yield the lines of the journal. They are not kept in memory: units are many."""
        self._journal.seek(0)
        for raw in self._journal.readall().splitlines():
            yield json.loads(raw)

    def finish(self) -> None:
        """Close the packs and move them to packs/. The journal stays until `sweep`."""
        self._tar.close()
        for pack, end in self._ends.items():
            path = self._folder / "open" / pack
            with path.open("r+b") as file:
                file.seek(end)
                file.write(tar.END)
                file.flush()
                os.fsync(file.fileno())
            path.replace(self._folder / "packs" / pack)
        for path in (self._folder / "open").glob(f"{self._slug}-*.tar"):
            path.unlink()  # a pack that was begun but never got a picture

    def _append(self, image_id: str, suffix: str, data: bytes) -> None:
        if self._ends.get(self._name(), 0) >= self._max:
            self._tar.close()
            self._number += 1
            self._tar = self._open_tar()
        name = self._name()
        start = self._ends.get(name, 0)
        member = tar.member(f"{image_id}.{suffix}", data)
        _write_all(self._tar.fileno(), member)
        self._places[image_id] = (name, start + tar.BLOCK)
        self._ends[name] = start + len(member)

    def _name(self) -> str:
        return f"{self._slug}-{self._number:03}.tar"

    def _open_tar(self) -> Any:
        file = (self._folder / "open" / self._name()).open("ab", buffering=0)
        file.truncate(self._ends.get(self._name(), 0))
        return file

    def _recover(self) -> None:
        """Read the journal to its last whole line whose picture is really there."""
        for path in (self._folder / "packs").glob(f"{self._slug}-*.tar"):
            path.replace(self._folder / "open" / path.name)  # stopped while finishing
        self._journal.seek(0)
        good = 0
        for raw in self._journal.readall().splitlines(keepends=True):
            line = _parse(raw)
            if line is None or not self._holds(line):
                break
            good += len(raw)
            self.settled.add(line["url"])
            if "image_id" in line:
                pack, offset, length = line["pack"], line["offset"], line["length"]
                self._places[line["image_id"]] = (pack, offset)
                end = offset + tar.padded(length)
                self._ends[pack] = max(end, self._ends.get(pack, 0))
        self._journal.truncate(good)

    def _holds(self, line: dict[str, Any]) -> bool:
        """Tell whether the picture of *line* is on the disk (after a power cut it may not be).

        One with hashes of another version of ours is as good as lost.
        """
        if "image_id" not in line:
            return True
        if line.get("hashes") != PIPELINE:
            return False
        path: Path = self._folder / "open" / line["pack"]
        end = int(line["offset"]) + int(line["length"])
        return path.is_file() and path.stat().st_size >= end


def sweep(folder: Path, done: Iterable[str]) -> None:
    """Remove the journals of units that are *done*. Call it only under the folder's lock."""
    for unit in done:
        (folder / "open" / f"{slug(unit)}.jsonl").unlink(missing_ok=True)


def _parse(raw: bytes) -> dict[str, Any] | None:
    if not raw.endswith(b"\n"):
        return None
    try:
        line = json.loads(raw)
    except ValueError:
        return None
    return dict(line) if isinstance(line, dict) and "url" in line else None


def _write_all(descriptor: int, data: bytes) -> None:
    """Write all of *data*: a plain write may stop early, at a full disk for one."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
