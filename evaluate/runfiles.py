"""PlantCLEF's run files and ground truths, read, written and scored.

A run file has a line a guess, `;` between its cells and no header:

- 2017: `MediaId;ClassId;Probability`, a picture at a time (a fourth cell is taken as the rank);
- 2018, 2020: `ObservationId;ClassId;Probability;Rank`, an observation at a time; in 2018 ranks
  are 1, 2, ... up to 100, as crowdAI's evaluator of ExpertLifeCLEF checked;
- 2022: `obsid;classid;probability;rank`, at most 30 an observation.

A ground truth is `ObservationId;ClassId` and, in 2018, a third cell that names the subset: the
observations that people were asked about too. Where the rank is given, it decides, as it did in
2018; else the probability does, and of equals the earlier line. A header is skipped where there
is one; a truth with a header may have its columns in any order, and pictures beside observations.
"""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from evaluate.guesses import from_guesses
from flora.errors import ContractError
from flora.predictions import Predictions


class Form(NamedTuple):
    """How runs of a year are written."""

    observations: bool
    """Of observations, each line with a rank; else of pictures, and without."""
    most: int
    """Lines of one of them."""


FORMATS: Mapping[str, Form] = {
    "2017": Form(False, 100),
    "2018": Form(True, 100),
    "2020": Form(True, 100),
    "2022": Form(True, 30),
}

_NOUGHT = 1e-30
"""A probability of 0 that someone guesses all the same."""
_ID = ("observationid", "obsid", "observation_id", "mediaid", "imageid", "image_id", "id", "key")
_MEDIA = ("mediaid", "imageid", "image_id", "key")
_CLASS = ("classid", "class_id", "speciesid", "species_id", "label")
_SUBSET = ("subset", "source")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a system (or a person) guessed: of each picture or observation, the best first."""

    guesses: Mapping[str, list[tuple[str, float]]]
    """Name of a picture or observation -> classes and probabilities."""
    depth: int
    """The most guesses that any has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What is true of each picture or observation."""

    classes: Mapping[str, str]
    observations: Mapping[str, str]
    """The observation of each; itself, where the truth is about observations."""
    subsets: Mapping[str, str]
    """The subset of each; "" where none is named."""


def read_run(path: Path) -> Run:
    """Return the run at *path*. Raises ContractError, with the line, for what is not a run."""
    found: dict[str, list[tuple[int, float, str]]] = {}
    for number, cells in _lines(path):
        where = f"{path}, line {number}"
        if len(cells) not in (3, 4):
            raise ContractError(
                f"{where}: has {len(cells)} cells, but a guess is id;class;probability[;rank]."
            )
        if number == 1 and _number(cells[2]) is None:
            continue
        probability = _number(cells[2])
        if probability is None:
            raise ContractError(f"{where}: {cells[2]!r} is no probability.")
        rank = 0
        if len(cells) == 4:
            if not cells[3].isdecimal() or int(cells[3]) < 1:
                raise ContractError(f"{where}: {cells[3]!r} is no rank; ranks are 1, 2, 3, ...")
            rank = int(cells[3])
        found.setdefault(cells[0], []).append((rank, probability, cells[1]))
    if not found:
        raise ContractError(f"{path}: holds no guess. A run has lines id;class;probability[;rank].")
    guesses = {name: _ordered(rows, f"{path}: {name}") for name, rows in found.items()}
    return Run(guesses=guesses, depth=max(map(len, guesses.values())))


def read_truth(path: Path) -> Truth:
    """Return the ground truth at *path*. Raises ContractError for what is none."""
    lines = list(_lines(path))
    if not lines:
        raise ContractError(f"{path}: is empty. A ground truth has lines id;class[;subset].")
    head = [cell.casefold() for cell in lines[0][1]]
    name, right, subset, seen = 0, 1, 2, -1
    if any(cell in _CLASS for cell in head):
        lines = lines[1:]
        media = _column(head, _MEDIA)
        seen = _column(head, _ID) if media >= 0 else -1
        name = media if media >= 0 else _column(head, _ID)
        right, subset = _column(head, _CLASS), _column(head, _SUBSET)
        if name < 0:
            raise ContractError(f"{path}: no column of {', '.join(head)} names the observation.")
    classes: dict[str, str] = {}
    observations, subsets = {}, {}
    for number, cells in lines:
        if len(cells) <= max(name, right):
            raise ContractError(f"{path}, line {number}: has {len(cells)} cells, not id;class.")
        key = cells[name]
        if classes.setdefault(key, cells[right]) != cells[right]:
            raise ContractError(f"{path}, line {number}: {key} has two classes.")
        observations[key] = cells[seen] if seen >= 0 else key
        subsets[key] = cells[subset] if 0 <= subset < len(cells) else ""
    return Truth(classes=classes, observations=observations, subsets=subsets)


def named(runs: Iterable[Run], truth: Truth) -> set[str]:
    """Return every class that *runs* guess or that is true."""
    guessed = {name for run in runs for rows in run.guesses.values() for name, _ in rows}
    return guessed | set(truth.classes.values())


def score(run: Run, truth: Truth, classes: Sequence[str], candidates: int) -> Predictions:
    """Return *run* as predictions: a row for each id of *truth*, in its order.

    What the run does not name is a miss, as PlantCLEF counts it. Labels count over *classes*,
    which has all that are named; *candidates* says how many could have been. Raises
    ContractError where run and truth have no id in common.
    """
    if not truth.classes.keys() & run.guesses.keys():
        one, other = next(iter(run.guesses)), next(iter(truth.classes))
        raise ContractError(
            f"the run is about other pictures than the truth: it names {one}, the truth {other}."
        )
    label = {name: number for number, name in enumerate(classes)}
    top_labels = np.full((len(truth.classes), run.depth), -1, np.int32)
    top = np.full(top_labels.shape, -np.inf, np.float32)
    for row, name in enumerate(truth.classes):
        if rows := run.guesses.get(name):
            top_labels[row, : len(rows)] = [label[each] for each, _ in rows]
            top[row, : len(rows)] = np.log(np.maximum([p for _, p in rows], _NOUGHT))
    labels = np.array([label[each] for each in truth.classes.values()], np.int64)
    seen = list(truth.observations.values())
    return from_guesses(list(truth.classes), seen, labels, top_labels, top, candidates)


def write_run(path: Path, rows: Predictions, classes: Sequence[str | None], year: str) -> None:
    """Write *rows* as a run of *year* (of FORMATS); *classes* has the class id of each label.

    Labels without one are left out; those with the same one are guessed as one, with their sum.
    """
    form = FORMATS[year]
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file, delimiter=";", lineterminator="\n")
        for key, labels, logs in zip(rows.keys, rows.top_labels, rows.top, strict=True):
            sums: dict[str, float] = {}
            for label, log in zip(labels, logs, strict=True):
                name = classes[label] if label >= 0 else None
                if name is not None:
                    sums[name] = sums.get(name, 0.0) + float(np.exp(float(log)))
            best = sorted(sums.items(), key=lambda guess: -guess[1])[: form.most]
            for place, (name, probability) in enumerate(best, start=1):
                line = [key, name, f"{probability:.9g}"]
                out.writerow([*line, place] if form.observations else line)


def write_truth(path: Path, rows: Predictions, classes: Sequence[str | None]) -> None:
    """Write what is true of each of *rows* as a ground truth; a truth of no class is left out."""
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file, delimiter=";", lineterminator="\n")
        for key, label in zip(rows.keys, rows.labels.tolist(), strict=True):
            if label >= 0 and classes[label] is not None:
                out.writerow([key, classes[label]])


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, delimiter=";", quoting=csv.QUOTE_NONE)
            for number, cells in enumerate(rows, start=1):
                if any(cell.strip() for cell in cells):
                    yield number, [cell.strip() for cell in cells]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ContractError(f"{path}: cannot be read as text with semicolons ({error}).") from error


def _ordered(rows: list[tuple[int, float, str]], where: str) -> list[tuple[str, float]]:
    """Return the guesses of one id, best first."""
    if len({name for _, _, name in rows}) < len(rows):
        raise ContractError(f"{where}: a class is guessed twice.")
    if any(rank for rank, _, _ in rows):
        rows = sorted(rows)
        if [rank for rank, _, _ in rows] != list(range(1, len(rows) + 1)):
            raise ContractError(f"{where}: its ranks are not 1, 2, 3, ... without a gap.")
    else:
        rows = sorted(rows, key=lambda row: -row[1])
    return [(name, probability) for _, probability, name in rows]


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if np.isfinite(number) else None


def _column(head: list[str], names: tuple[str, ...]) -> int:
    return next((head.index(name) for name in names if name in head), -1)
