"""How sure: bootstrap intervals of every measure, and of the difference between two runs.

Observations are drawn with replacement, never pictures: those of one plant stand or fall
together, and taken for independent they would make the interval too narrow. The interval is
that of percentiles (Efron & Tibshirani 1993, chapter 13).
"""

import numpy as np

from evaluate.measures import MICRO, NAMES, Places, figures, gains
from flora.errors import ContractError
from flora.predictions import Real, Whole

DRAWS = 1000
LEVEL = 0.95
_SEED = 2018
_AT_ONCE = 2**18

Interval = tuple[float, float]


def intervals(at: Places, draws: int = DRAWS) -> dict[str, Interval]:
    """Return the LEVEL interval of every measure of NAMES; nan without rows."""
    if not len(at):
        return dict.fromkeys(NAMES, (float("nan"), float("nan")))
    return _percentiles(_drawn([at], draws)[0])


def differences(one: Places, two: Places, draws: int = DRAWS) -> dict[str, tuple[float, Interval]]:
    """Return each measure of *two* less that of *one*, and its interval.

    The rows of both must be the same pictures in the same order: each draw takes the same
    observations of both, so what is hard for both cancels. Raises ContractError otherwise.
    """
    same = len(one) == len(two) and np.array_equal(one.observations, two.observations)
    if not same or not np.array_equal(one.labels, two.labels):
        raise ContractError("the two runs are not about the same pictures, so nothing is paired.")
    if not len(one):
        return {name: (float("nan"), (float("nan"), float("nan"))) for name in NAMES}
    first, second = figures(one), figures(two)
    before, after = _drawn([one, two], draws)
    found = _percentiles(after - before)
    return {name: (second[name] - first[name], found[name]) for name in NAMES}


def _drawn(runs: list[Places], draws: int) -> list[Real]:
    """Return, for each run, the measures (draws x NAMES) in each draw of observations.

    What an observation gains is summed once, in a cell; a draw then is a weight a cell. Cells
    lie by species, and observations are numbered in that order, so that memory is read in order.
    """
    at = runs[0]
    count = int(at.observations.max()) + 1
    cells, cell = np.unique(at.labels * count + at.observations, return_inverse=True)
    labels, seen = np.divmod(cells, count)
    starts = np.flatnonzero(np.append(True, labels[1:] != labels[:-1]))
    _, first, seen = np.unique(seen, return_index=True, return_inverse=True)
    seen = first.argsort().argsort()[seen]
    size = np.bincount(cell).astype(float)
    gained = [
        [np.bincount(cell, column).astype(float) for column in gains(run.ranks).T] for run in runs
    ]
    rng = np.random.default_rng(_SEED)
    parts: list[list[Real]] = [[] for _ in runs]
    step = max(1, _AT_ONCE // count)
    for begin in range(0, draws, step):
        rows = min(step, draws - begin)
        taken = rng.integers(0, count, (rows, count)) + count * np.arange(rows)[:, None]
        times = np.bincount(taken.ravel(), minlength=rows * count).reshape(rows, count)
        weights = times[:, seen].astype(float)
        for part, sums in zip(parts, gained, strict=True):
            part.append(_means(sums, size, weights, starts))
    return [np.concatenate(part) for part in parts]


def _means(sums: list[Real], size: Real, weights: Real, starts: Whole) -> Real:
    """Return the measures (draws x NAMES), from what each cell gains and how often it is drawn."""
    drawn = np.add.reduceat(weights * size, starts, 1)
    there = drawn > 0
    found = np.empty((len(weights), 2 * MICRO))
    work = np.empty_like(weights)
    for place, gain in enumerate(sums):
        per_species = np.add.reduceat(np.multiply(weights, gain, out=work), starts, 1)
        found[:, place] = per_species.sum(1) / drawn.sum(1)
        np.divide(per_species, drawn, where=there, out=per_species)  # none drawn: it is 0 already
        found[:, MICRO + place] = per_species.sum(1) / there.sum(1)
    return found


def _percentiles(rows: Real) -> dict[str, Interval]:
    low, high = np.percentile(rows, [50 * (1 - LEVEL), 50 * (1 + LEVEL)], axis=0)
    return {name: (float(a), float(b)) for name, a, b in zip(NAMES, low, high, strict=True)}
