"""What a challenge calls our classes: a CSV of its class ids, each with our species id or name."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from evaluate.runfiles import Run, Truth
from evaluate.taxa import Taxa
from flora import names
from flora.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapping:
    """Class ids of a challenge, and the species of ours that they stand for."""

    ours: dict[str, str]
    """Their class id -> our species id."""
    strange: Sequence[str]
    """Lines about species that are none of ours."""

    def run(self, run: Run) -> Run:
        """Return *run* in our ids. Of two classes that are one of ours the better place stays."""
        guesses = {name: self._joined(rows) for name, rows in run.guesses.items()}
        return Run(guesses=guesses, depth=run.depth)

    def truth(self, truth: Truth) -> Truth:
        """Return *truth* in our ids; a class that is none of ours keeps its own."""
        classes = {name: self.ours.get(each, each) for name, each in truth.classes.items()}
        return replace(truth, classes=classes)

    def theirs(self, ids: Sequence[str]) -> list[str | None]:
        """Return what the challenge calls each of our *ids*; None for what it has no class for."""
        back: dict[str, str] = {}
        for their_id, our_id in self.ours.items():
            back.setdefault(our_id, their_id)
        return [back.get(each) for each in ids]

    def _joined(self, rows: Sequence[tuple[str, float]]) -> list[tuple[str, float]]:
        sums: dict[str, float] = {}
        for their_id, probability in rows:
            our_id = self.ours.get(their_id, their_id)
            sums[our_id] = sums.get(our_id, 0.0) + probability
        return list(sums.items())


def read(path: Path, taxa: Taxa) -> Mapping:
    """Return the mapping at *path*: lines of their class id and our species id, or a name.

    Cells are parted by `;`, `,` or tabs; a first line that is about no species is a header.
    Raises ConfigError for a file that maps nothing.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        mark = next((each for each in "\t;," if each in text), ",")
        rows = [row for row in csv.reader(text.splitlines(), delimiter=mark) if len(row) > 1]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path}: cannot be read as a mapping ({error}).") from error
    known = {each: each for each in taxa.ids}
    called = taxa.names.get("name", ())
    by_name = {names.parse(name).key: each for name, each in zip(called, taxa.ids, strict=False)}
    ours: dict[str, str] = {}
    strange = []
    for number, row in enumerate(rows):
        their_id, name = row[0].strip(), row[1].strip()
        found = known.get(name) or by_name.get(names.parse(name).key)
        if found:
            ours[their_id] = found
        elif number:
            strange.append(name)
    if not ours:
        raise ConfigError(
            f"{path}: maps no class to one of ours. Its lines are their class id, and our species "
            "id or its name."
        )
    return Mapping(ours=ours, strange=strange)
