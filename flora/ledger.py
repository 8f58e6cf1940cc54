"""What is done: one receipt per unit of work.

A receipt is written last, so a unit that has one has all of its files.
Delete a receipt to have its unit done again.
"""

import contextlib
import dataclasses
import fcntl
import json
import os
import re
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import IO, Any

from flora.errors import ContractError, StageError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=-]*(/[A-Za-z0-9._=-]+)*")
LOCK_PATIENCE = 10.0
"""Seconds to wait for a folder's lock: a run that was just killed needs a moment to let go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A finished unit: what it was made from, what came out, how long it took."""

    unit: str
    recipe: str
    """Digest of the settings and receipts it was made from; a changed one reopens the unit."""
    rows: int = 0
    bytes: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)
    """Rows that were turned away, counted by reason."""
    seconds: float = 0.0
    finished_at: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)
    """Whatever else the stage wants to remember (names of files, figures for the report)."""


class Ledger:
    """The receipts of one stage, in `<folder>/receipts/`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, unit: str) -> Path:
        """Return where the receipt of *unit* lies, or will."""
        return self.folder / "receipts" / f"{slug(unit)}.json"

    def receipts(self) -> dict[str, Receipt]:
        """Return all receipts by unit. Raises ContractError for one that cannot be read."""
        found = {}
        for path in sorted((self.folder / "receipts").glob("[!.]*.json")):
            try:
                receipt = Receipt(**json.loads(path.read_text(encoding="utf-8")))
            except (OSError, ValueError, TypeError) as error:
                raise ContractError(
                    f"{path}: not a receipt ({error}). Delete it to have its unit done again."
                ) from error
            found[receipt.unit] = receipt
        return found

    def write(self, receipt: Receipt) -> None:
        """Publish *receipt*; from now on its unit is done."""
        text = json.dumps(dataclasses.asdict(receipt), ensure_ascii=False, indent=1)
        with publish(self.path(receipt.unit)) as draft:
            draft.write_text(text + "\n", encoding="utf-8")

    def planned(self) -> dict[str, int]:
        """Return how many units each plan of this folder has (none before the first run)."""
        path = self.folder / "units.json"
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}

    def plan(self, name: str, units: int) -> None:
        """Write down that plan *name* has so many units, for `status` to count against."""
        plans = {**self.planned(), name: units}
        with publish(self.folder / "units.json") as draft:
            draft.write_text(json.dumps(plans) + "\n", encoding="utf-8")

    def forget(self, unit: str) -> None:
        """Remove the receipt of *unit*, so that it is open again."""
        self.path(unit).unlink(missing_ok=True)

    @contextlib.contextmanager
    def lock(self) -> Generator[None]:
        """Hold the folder for this process. Raises StageError if another one does."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".lock").open("a+") as file:
            if not _try_lock(file, patience=LOCK_PATIENCE):
                file.seek(0)
                raise StageError(
                    f"{self.folder}: another run (process {file.read().strip() or 'unknown'}) is "
                    "working here. Wait for it, or stop it; nothing was changed."
                )
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield


@contextlib.contextmanager
def publish(path: Path) -> Generator[Path]:
    """Yield a hidden sibling of *path*; give it that name only if the block succeeds.

    Readers never meet a half-written file: pyarrow skips names that begin with a dot.
    The bytes are on the disk before the name is.
    """
    draft = path.with_name(f".{path.name}.{token_hex(4)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield draft
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Remove the drafts that killed runs left in *folder*. Call it only under the lock."""
    for path in folder.glob(".*.????????"):
        if re.fullmatch(r"\..+\.[0-9a-f]{8}", path.name):
            path.unlink(missing_ok=True)


def slug(unit: str) -> str:
    """Return *unit* as one file name. Raises ValueError for a name that is not a unit's."""
    if len(unit) > 200 or not _NAME.fullmatch(unit):
        raise ValueError(f"{unit!r} is not a unit name: words of letters, digits . _ = - and /")
    return unit.replace("/", "~")


def _try_lock(file: IO[str], *, patience: float) -> bool:
    """Take an exclusive lock; the kernel drops it when this process ends, however it ends."""
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
