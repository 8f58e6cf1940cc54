"""Where a run stands: written now and then, read when it goes on, on any number of ranks.

    checkpoints/000001200/
      shared.pt                         what all ranks hold alike, once
      rows-0000000-0073500.safetensors  of each rank, the rows of its classes
      manifest.json                     the recipe, and each file's SHA-256

Rows are rows: weights and moments of a class. Another number of ranks cuts them otherwise, and
finds the same bits. Files are written beside the training, into a folder with a hidden name;
when all ranks have written theirs, the first adds the manifest and gives it its name.
"""

import hashlib
import json
import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors import safe_open
from safetensors.torch import save_file

from flora.console import say
from flora.ledger import publish
from train.world import World

KEPT = 2
_MANIFEST, _SHARED = "manifest.json", "shared.pt"
State = dict[str, torch.Tensor]


class Checkpoints:
    """The checkpoints of one run, the newest of them kept. All ranks call each method together."""

    def __init__(self, folder: Path, recipe: str, world: World | None = None) -> None:
        self.folder, self.recipe, self.world = folder, recipe, world or World()
        self._writer = ThreadPoolExecutor(1)
        self._number = 0
        self._written: Future[dict[str, str]] | None = None
        """The files that this rank writes, with their digests."""
        self._whole: Path | None = None
        """The newest that is known to be whole."""

    @property
    def is_written(self) -> bool:
        """Tell whether a checkpoint waits for `finish`, and this rank's part is on the disk."""
        return self._written is not None and self._written.done()

    def begin(self, number: int, shared: dict[str, Any], rows: State, classes: range) -> None:
        """Start writing checkpoint *number*; what is given may change as soon as this returns.

        *rows* have a row for each of this rank's *classes*; *shared* is written by the first.
        """
        self.finish()
        copies = {name: tensor.detach().cpu().clone() for name, tensor in rows.items()}
        common = _copy(shared) if self.world.rank == 0 else None
        self._number = number
        self._written = self._writer.submit(self._write, common, copies, classes)

    def finish(self) -> None:
        """Wait for what was begun, make it a checkpoint, and remove what is too old."""
        if self._written is None:
            return
        mine, self._written = self._written.result(), None
        files = self._all(mine)
        if self.world.rank == 0:
            content = {"recipe": self.recipe, "files": files}
            with publish(self._draft / _MANIFEST) as draft:
                draft.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
            whole = self.folder / f"{self._number:09}"
            shutil.rmtree(whole, ignore_errors=True)  # one that was found spoiled
            self._draft.replace(whole)
            self._whole = whole
            old = [path for path in self._newest_first() if path.name <= whole.name]
            for path in old[KEPT:]:
                shutil.rmtree(path)

    def newest(self) -> dict[str, Any] | None:
        """Return what is shared of the newest that is whole and of this recipe; drafts go."""
        self._whole = next(filter(self._is_whole, self._newest_first()), None)
        if self.world.rank == 0:
            for draft in self.folder.glob(".0*"):
                shutil.rmtree(draft)
        self.world.wait()
        if self._whole is None:
            return None
        shared: dict[str, Any] = torch.load(
            self._whole / _SHARED, map_location="cpu", weights_only=True
        )
        return shared

    def rows(self, classes: range) -> State:
        """Return the rows of *classes* in the newest, whichever ranks wrote them.

        Any rank may ask after `newest`, and the first after `finish`.
        """
        assert self._whole is not None
        parts: dict[str, list[torch.Tensor]] = {}
        for path in sorted(self._whole.glob("rows-*")):
            start, stop = (int(number) for number in path.stem.split("-")[1:])
            first, last = max(start, classes.start), min(stop, classes.stop)
            with safe_open(path, "pt") as file:
                for name in file.keys():  # noqa: SIM118 (it is no dict)
                    rows = file.get_slice(name)[first - start : max(first, last) - start]
                    parts.setdefault(name, []).append(rows)
        return {name: torch.cat(rows) for name, rows in parts.items()}

    @property
    def _draft(self) -> Path:
        return self.folder / f".{self._number:09}"

    def _write(self, shared: dict[str, Any] | None, rows: State, classes: range) -> dict[str, str]:
        self._draft.mkdir(parents=True, exist_ok=True)
        names = [f"rows-{classes.start:07}-{classes.stop:07}.safetensors"]
        with publish(self._draft / names[0]) as draft:
            save_file(rows, draft)
        if shared is not None:
            names.append(_SHARED)
            with publish(self._draft / _SHARED) as draft:
                torch.save(shared, draft)
        return {name: _digest(self._draft / name) for name in names}

    def _all(self, mine: dict[str, str]) -> dict[str, str]:
        """Return the files of all ranks, of which *mine* are this rank's."""
        parts: list[Any] = [mine]
        if self.world.size > 1:
            parts = [None] * self.world.size
            dist.all_gather_object(parts, mine)
        return {name: digest for part in parts for name, digest in part.items()}

    def _is_whole(self, folder: Path) -> bool:
        """Tell whether *folder* can be gone on from; each rank reads a part of the files."""
        try:
            manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
            recipe, files = manifest["recipe"], sorted(manifest["files"].items())
            mine = files[self.world.rank :: self.world.size]
            spoiled = any(_digest(folder / name) != digest for name, digest in mine)
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            recipe, spoiled = None, True
        if self.world.total(torch.tensor(float(spoiled), device=self.world.device)):
            if self.world.rank == 0:
                say(f"checkpoint {folder.name}: is spoiled; going back to the one before.")
            return False
        if recipe != self.recipe and self.world.rank == 0:
            say(f"checkpoint {folder.name}: is of other settings or shards; left aside.")
        return bool(recipe == self.recipe)

    def _newest_first(self) -> list[Path]:
        return sorted(self.folder.glob("[0-9]*"), reverse=True)


def _copy(state: Any) -> Any:
    """Return *state* with tensors of its own, on the CPU."""
    if isinstance(state, torch.Tensor):
        return state.detach().cpu().clone()
    if isinstance(state, dict):
        return {key: _copy(value) for key, value in state.items()}
    if isinstance(state, list):
        return [_copy(value) for value in state]
    return state


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
