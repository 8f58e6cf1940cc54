"""The measures: what the places of the truth among the guesses add up to.

Every measure is a mean over pictures (or observations), or a mean over species of their means:

- top-k: the truth is among the first k guesses.
- MRR: mean of 1 / place (0 where the truth is not named), PlantCLEF's measure since 2017.
- macro top-k (Garcin et al. 2021, Pl@ntNet-300K) and MA-MRR (PlantCLEF 2022): the same for each
  species first, then their mean over the species that are tested.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flora.predictions import Predictions, Real, Whole

DEPTHS = (1, 5, 10, 30)
NAMES = (*(f"top{k}" for k in DEPTHS), "mrr", *(f"macro_top{k}" for k in DEPTHS), "ma_mrr")
"""All measures; those over species in the order of those over pictures."""
MICRO = len(DEPTHS) + 1

BINS: Mapping[str, tuple[float, float]] = {
    "0": (0, 0),
    "1": (1, 1),
    "2-10": (2, 10),
    "11-100": (11, 100),
    ">100": (101, np.inf),
}
"""Species by their number of training pictures, rare ones first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where the truth came at one level: species, genus or family."""

    ranks: Whole
    """n places, 1 the best; 0 if the truth was not named."""
    labels: Whole
    """n true classes of this level, whichever their numbers are."""
    candidates: Whole
    """n numbers of classes that could have been named; 0 where the truth is none of them."""
    observations: Whole
    """n numbers from 0: rows with the same one are drawn together."""

    def __len__(self) -> int:
        return len(self.ranks)

    def among(self, rows: npt.NDArray[np.bool_]) -> "Places":
        """Return those *rows* alone."""
        _, again = np.unique(self.observations[rows], return_inverse=True)
        return Places(
            ranks=self.ranks[rows],
            labels=self.labels[rows],
            candidates=self.candidates[rows],
            observations=again,
        )


def places(
    rows: Predictions, genera: Whole | None = None, families: Whole | None = None
) -> dict[str, Places]:
    """Return the places at each level that *rows* know of.

    *genera* and *families* are those of every class, by label; without them, species alone.
    """
    seen = pa.array(rows.observations, pa.string()).dictionary_encode().indices.to_numpy()
    found = {
        "species": Places(
            ranks=rows.ranks, labels=rows.labels, candidates=rows.candidates, observations=seen
        )
    }
    for level, of, ranks, candidates in (
        ("genus", genera, rows.genus_ranks, rows.genus_candidates),
        ("family", families, rows.family_ranks, rows.family_candidates),
    ):
        if of is not None and (ranks >= 0).all():
            labels = np.where(rows.labels < 0, -1, of[rows.labels])
            found[level] = Places(
                ranks=ranks, labels=labels, candidates=candidates, observations=seen
            )
    return found


def gains(ranks: Whole) -> Real:
    """Return what each rank (n) gains at each measure over pictures: n x MICRO, 0 to 1."""
    named = ranks > 0
    columns = [named & (ranks <= k) for k in DEPTHS]
    return np.stack([*columns, np.divide(1.0, ranks, where=named, out=np.zeros(len(ranks)))], 1)


def figures(at: Places) -> dict[str, float]:
    """Return every measure of NAMES; all are nan without rows."""
    if not len(at):
        return dict.fromkeys(NAMES, float("nan"))
    gained = gains(at.ranks)
    _, label, support = np.unique(at.labels, return_inverse=True, return_counts=True)
    per_label = [np.bincount(label, column) / support for column in gained.T]
    macro = [each.mean() for each in per_label]
    return dict(zip(NAMES, map(float, (*gained.mean(0), *macro)), strict=True))


def chance(at: Places, depth: int | None = None) -> dict[str, float]:
    """Return what guessing at random is expected to gain, a list in random order.

    Of C candidates the truth is among k with probability k / C, and 1 / place is H(C) / C in
    the mean, where H is the harmonic number; of lists of *depth* names, H(depth) / C. A truth that
    is no candidate (its rank is 0 where all are named) gains nothing.
    """
    if not len(at):
        return dict.fromkeys(NAMES, float("nan"))
    candidates = np.maximum(at.candidates, 1)
    ends = np.minimum(candidates, depth or candidates.max())
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, ends.max() + 1))])
    columns = [np.minimum(k, ends) / candidates for k in DEPTHS]
    gained = np.stack([*columns, harmonic[ends] / candidates], 1)
    gained[(at.candidates == 0) | ((depth is None) & (at.ranks == 0))] = 0
    _, label, support = np.unique(at.labels, return_inverse=True, return_counts=True)
    macro = [float((np.bincount(label, column) / support).mean()) for column in gained.T]
    return dict(zip(NAMES, (*map(float, gained.mean(0)), *macro), strict=True))


def tail(at: Places, train_counts: Whole) -> dict[str, Places]:
    """Return the rows of each bin of BINS, by the training pictures of their species.

    *train_counts* is by label; a truth that is no class of the model has none.
    """
    counts = np.where(at.labels < 0, 0, train_counts[at.labels])
    return {
        name: at.among((counts >= low) & (counts <= high)) for name, (low, high) in BINS.items()
    }


def support(at: Places) -> dict[str, int]:
    """Return how many pictures, observations and classes the figures stand on."""
    return {
        "images": len(at),
        "observations": int(at.observations.max(initial=-1)) + 1,
        "classes": len(np.unique(at.labels)),
    }
