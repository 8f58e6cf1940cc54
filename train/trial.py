"""What a model is asked: on which sets of pictures, in which testing configurations.

The configurations are those of the experiments on PlantCLEF (Joly and others, 2018): several looks
at a picture, all pictures of a plant together, only what grows where it was seen, and only
pictures that training had no copy of. Each switch that is on is also tried off, in every
combination.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from flora.config import digest
from flora.errors import ConfigError, ContractError

Fusion = Literal["logs", "mean", "max"]
FUSIONS: tuple[Fusion, ...] = ("logs", "mean", "max")
VIEWS = 10
"""The most looks at a picture: see `train.views`."""
_SPLITS = ("train", "val", "test")


class Source(NamedTuple):
    """A set of pictures, by its name; `where` is a split of the shards, a folder or a file."""

    name: str
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """All that one evaluation does."""

    sets: tuple[Source, ...] = (Source("val", "val"), Source("test", "test"))
    views: int = 1
    """Looks at each picture, from 1 to VIEWS."""
    fusions: tuple[Fusion, ...] = ()
    """Ways to make one guess of all pictures of an observation."""
    checklist: str | None = None
    """What may be the answer: see `flora.regions.allowed`."""
    unseen: bool = False
    """Whether to leave out pictures with a near-duplicate in training."""

    def __post_init__(self) -> None:
        if not 1 <= self.views <= VIEWS:
            raise ConfigError(f"--views {self.views}: must be from 1 to {VIEWS}.")

    def flags(self) -> list[str]:
        """Return the flags of `python -m train evaluate` that ask for this."""
        flags = ["--sets", ",".join(f"{name}={where}" for name, where in self.sets)]
        flags += ["--views", str(self.views)] if self.views > 1 else []
        flags += ["--fuse", ",".join(self.fusions)] if self.fusions else []
        flags += ["--checklist", self.checklist] if self.checklist else []
        return flags + (["--unseen"] if self.unseen else [])

    def recipe(self, source: Source) -> str:
        """Return a digest of what is asked about *source*, its files' times and sizes among it."""
        checklist = Path(self.checklist) if self.checklist else None
        named = checklist.read_text("utf-8") if checklist and checklist.is_file() else ""
        return digest(
            source.where, _stamp(source), self.views, self.fusions, self.checklist, named,
            self.unseen,
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """One way to test: what is done with the scores before the best is taken."""

    views: bool = False
    """Mean over all views of a picture (test-time augmentation), else the first view."""
    apart: bool = False
    """Each view for itself, as if it were a picture."""
    fusion: Fusion | None = None
    """How rows of one observation become one; None leaves them apart."""
    allowed: npt.NDArray[np.bool_] | None = None
    """The classes that may be the answer, of all; None allows every one."""
    without: Collection[str] | None = None
    """Keys of pictures to leave out: those with a near-duplicate in training."""

    @property
    def name(self) -> str:
        """What tells it from the others, for the name of a file; empty for the plain one."""
        parts = [
            "unseen" if self.without is not None else "",
            "views" if self.views else "",
            "apart" if self.apart else "",
            "checklist" if self.allowed is not None else "",
            str(self.fusion or ""),
        ]
        return "-".join(filter(None, parts))

    def __post_init__(self) -> None:
        if self.allowed is not None and not self.allowed.any():
            raise ContractError("no class of the model is on the list of what may be the answer.")


def configurations(
    trial: Trial, allowed: npt.NDArray[np.bool_] | None, copies: Collection[str] | None
) -> list[Configuration]:
    """Return every combination of what *trial* switches on.

    And, where there are several views, each of them for itself.
    """
    several = trial.views > 1
    found = [
        Configuration(views=views, fusion=fusion, allowed=mask, without=without)
        for without, views, mask, fusion in product(
            (None,) if copies is None else (None, copies),
            (False, True) if several else (False,),
            (None,) if allowed is None else (None, allowed),
            (None, *trial.fusions),
        )
    ]
    return found + ([Configuration(apart=True)] if several else [])


def sources(text: str) -> tuple[Source, ...]:
    """Return the sets that `a,b=path,...` names. Raises ConfigError for what names none.

    A split of the shards goes by its own name; a path, if it is given none, by its last part.
    """
    found = []
    for part in filter(None, text.split(",")):
        name, equals, where = part.partition("=")
        if not equals:
            where = part
            name = part if part in _SPLITS else re.sub(r"\W+", "_", Path(part).stem)
        if not re.fullmatch(r"\w{1,64}", name):
            raise ConfigError(f"--sets {part}: a set's name is letters, digits and _ only.")
        if where not in _SPLITS:
            if not Path(where).exists():
                raise ConfigError(
                    f"--sets {part}: there is no {where}. A set is one of {', '.join(_SPLITS)}, a "
                    "folder, a CSV or parquet list, or a tar."
                )
            where = str(Path(where).absolute())
        found.append(Source(name, where))
    names = [each.name for each in found]
    if not found or len(set(names)) < len(names):
        raise ConfigError(f"--sets {text}: name each set once, as in test,garden=photos/garden.")
    return tuple(found)


def fusions(words: Sequence[str]) -> tuple[Fusion, ...]:
    """Return the fusions that *words* name. Raises ConfigError for a word that is none."""
    for word in words:
        if word not in FUSIONS:
            raise ConfigError(f"--fuse {word}: must be of {', '.join(FUSIONS)}.")
    return tuple(each for each in FUSIONS if each in words)


def _stamp(source: Source) -> list[list[object]]:
    """Return what tells whether the files of *source* are as they were, without reading them."""
    if source.where in _SPLITS:
        return []  # what the shards hold is part of the run's own recipe
    path = Path(source.where)
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return [[str(f), f.stat().st_size, f.stat().st_mtime_ns] for f in files if f.is_file()]
