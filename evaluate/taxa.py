"""The classes of a model: their names, their genus and family, how often each was seen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flora import records
from flora.predictions import Whole
from flora.regions import Mask, allowed


@dataclass(frozen=True, slots=True, kw_only=True)
class Taxa:
    """What is known of each class, by label."""

    ids: Sequence[str]
    names: Mapping[str, Sequence[str]]
    """All that a class may be called by: `species_id`, and `name`, `genus`, `family`."""
    genera: Whole | None = None
    """The genus of each class as a number from 0; None where it is not known."""
    families: Whole | None = None
    train_counts: Whole | None = None
    """Its pictures in training."""

    def allowed(self, source: str) -> Mask:
        """Return the classes that a list allows: see `flora.regions.allowed`."""
        return allowed(source, self.names)

    def extended(self, others: set[str]) -> "Taxa":
        """Return these and the *others* behind them: ids that the model has no class for.

        Each of them is of a genus and a family of its own, and was never trained on.
        """
        new = sorted(others.difference(self.ids))
        names = {key: [*values, *new] for key, values in self.names.items()}
        more = np.arange(len(new))
        return Taxa(
            ids=[*self.ids, *new],
            names=names,
            genera=_append(self.genera, more, 1),
            families=_append(self.families, more, 1),
            train_counts=_append(self.train_counts, more * 0, 0),
        )


def read(path: Path) -> Taxa:
    """Return the taxa of a `classes.parquet`. Raises ContractError for another file."""
    columns = ["species_id", "name", "genus", "family", "train"]
    table = records.read(path, records.CLASSES, columns)
    names = {column: table[column].to_pylist() for column in columns[:-1]}
    genus = [f"{f} {g}" for f, g in zip(names["family"], names["genus"], strict=True)]
    return Taxa(
        ids=names["species_id"],
        names=names,
        genera=np.unique(genus, return_inverse=True)[1],
        families=np.unique(list(map(str, names["family"])), return_inverse=True)[1],
        train_counts=table["train"].to_numpy().astype(np.int64),
    )


def bare(ids: Sequence[str]) -> Taxa:
    """Return taxa of which the ids alone are known."""
    return Taxa(ids=ids, names={"species_id": ids})


def _append(values: Whole | None, more: Whole, step: int) -> Whole | None:
    if values is None:
        return None
    start = step * (int(values.max(initial=-1)) + 1)
    return np.concatenate([values, start + more])
