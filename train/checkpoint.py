"""Where a run stands: written now and then, read when it goes on.

A file's name has the digest of its bytes, so one that the disk spoiled is told from a whole
one; plain `torch.load` reads it.
"""

import hashlib
import io
import re
from pathlib import Path
from typing import Any

import torch

from flora.console import say
from flora.ledger import publish

KEPT = 2
_NAME = re.compile(r"(?P<step>\d{9})-(?P<digest>[0-9a-f]{12})\.pt")


class Checkpoints:
    """The checkpoints of one run, the newest of them kept."""

    def __init__(self, folder: Path, recipe: str) -> None:
        self.folder, self.recipe = folder, recipe

    def save(self, number: int, state: dict[str, Any]) -> None:
        """Write *state* as checkpoint *number*, then remove what is too old."""
        buffer = io.BytesIO()
        torch.save({"recipe": self.recipe, **state}, buffer)
        digest = hashlib.sha256(buffer.getbuffer()).hexdigest()[:12]
        with publish(self.folder / f"{number:09}-{digest}.pt") as draft:
            draft.write_bytes(buffer.getbuffer())
        for path in self._newest_first()[KEPT:]:
            path.unlink()

    def newest(self) -> dict[str, Any] | None:
        """Return the newest state that is whole and of this recipe."""
        for path in self._newest_first():
            data = path.read_bytes()
            if hashlib.sha256(data).hexdigest().startswith(path.stem.split("-")[1]):
                state: dict[str, Any] = torch.load(
                    io.BytesIO(data), map_location="cpu", weights_only=True
                )
                if state["recipe"] == self.recipe:
                    return state
                say(f"{path.name}: is of other settings or shards; left aside.")
            else:
                say(f"{path.name}: is spoiled; going back to the one before.")
        return None

    def _newest_first(self) -> list[Path]:
        paths = [path for path in self.folder.glob("*.pt") if _NAME.fullmatch(path.name)]
        return sorted(paths, reverse=True)
