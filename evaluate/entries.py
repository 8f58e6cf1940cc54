"""What stands in a table: a run of ours, a system's run file, or a person's.

An entry is a file of guesses about one test set. What can be done to it besides (a checklist,
fusion, pictures left out) makes further entries.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from evaluate import guesses, runfiles
from evaluate.guesses import Fusion
from evaluate.mapping import Mapping
from evaluate.taxa import Taxa, bare
from flora import predictions
from flora.errors import ConfigError
from flora.predictions import Predictions
from flora.regions import Mask


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the table."""

    name: str
    rows: Predictions
    how: tuple[str, ...] = ()
    """The testing configuration: what was done beyond one guess a picture."""
    subset: str = ""
    depth: int | None = None
    """The most guesses that were named; None where every class has its place."""
    people: bool = False
    """Whether people guessed, not machines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Switches:
    """What is done to every entry, each switch making a second one beside it."""

    allowed: Mask | None = None
    """By label: the classes that may be the answer."""
    gone: Collection[str] = ()
    """Keys of pictures that have a near-duplicate in training."""
    fusions: Sequence[Fusion] = ()


def of_run(folder: Path, name: str) -> list[Entry]:
    """Return what a run of ours guessed of the set *name*: an entry a configuration, plain first.

    Raises ConfigError where there is none.
    """
    plain = folder / f"guesses-{name}.parquet"
    if not plain.is_file():
        raise ConfigError(
            f"{folder}: there is no run with guesses for {name}. "
            "Evaluate it first (make evaluate), or give a file."
        )
    found = [Entry(name=folder.name, rows=predictions.read(plain))]
    files = folder.glob(f"guesses-{name}-*.parquet")
    for file in sorted(files, key=lambda file: (file.stem.count("-"), file.stem)):
        how = tuple(file.stem.removeprefix(f"guesses-{name}-").split("-"))
        found.append(Entry(name=folder.name, rows=predictions.read(file), how=how))
    return found


def of_files(
    files: Sequence[tuple[str, Path, bool]],
    truth: Path,
    taxa: Taxa | None,
    candidates: int | None,
    mapping: Mapping | None = None,
) -> tuple[list[Entry], Taxa]:
    """Return an entry for each run file (name, path, whether of people), and the taxa of all.

    Without *candidates*, a guess is taken to be one of all classes that are named anywhere. With a
    *mapping*, what it knows of their classes is ours.
    """
    right = runfiles.read_truth(truth)
    runs = [runfiles.read_run(path) for _, path, _ in files]
    if mapping:
        right, runs = mapping.truth(right), [mapping.run(run) for run in runs]
    known = (taxa or bare([])).extended(runfiles.named(runs, right))
    count = candidates or len(known.ids)
    found = []
    for (name, _, people), run in zip(files, runs, strict=True):
        rows = runfiles.score(run, right, known.ids, count)
        if known.genera is not None and known.families is not None:
            rows = guesses.lift(rows, known.genera, known.families)
        entry = Entry(name=name, rows=rows, depth=run.depth, people=people)
        subsets = np.array([right.subsets[key] for key in rows.keys])
        found.append(entry)
        found += [
            replace(entry, rows=rows.take(subsets == subset), subset=str(subset))
            for subset in np.unique(subsets)
            if subset and len(np.unique(subsets)) > 1
        ]
    return found, known


def switched(entries: Sequence[Entry], switches: Switches, taxa: Taxa | None) -> list[Entry]:
    """Return *entries* and all that the *switches* make of them, in every combination."""
    found = list(entries)
    if switches.gone:
        found += [_told(e, "unseen", guesses.without(e.rows, switches.gone)) for e in found]
    if switches.allowed is not None:
        mask = switches.allowed
        found += [
            replace(
                _lifted(_told(e, "checklist", guesses.within(e.rows, mask)), taxa),
                depth=e.depth or e.rows.top.shape[1],
            )
            for e in found
        ]
    apart = [e for e in found if len(set(e.rows.observations)) < len(e.rows)]
    for how in switches.fusions:
        found += [_lifted(_told(e, how, guesses.fuse(e.rows, how)), taxa) for e in apart]
    return found


def _told(entry: Entry, what: str, rows: Predictions) -> Entry:
    return replace(entry, rows=rows, how=(*entry.how, what))


def _lifted(entry: Entry, taxa: Taxa | None) -> Entry:
    if taxa is None or taxa.genera is None or taxa.families is None:
        return entry
    return replace(entry, rows=guesses.lift(entry.rows, taxa.genera, taxa.families))
