"""Whether a probability means what it says, and what is won by answering only when sure.

- ECE: mean distance between confidence and accuracy over bins of equally many pictures
  (Nguyen & O'Connor 2015), which is less biased than bins of equal width.
- NLL: mean negative log-probability of the truth.
- Temperature (Guo et al. 2017): one number that all logits are divided by, fitted on the
  validation set by NLL.
- Risk-coverage (Geifman & El-Yaniv 2017): the share of errors among the surest guesses, over how
  many of them are answered; AURC is the mean of that over all coverages.

A table holds the best guesses alone. What is left of the probability is taken as spread evenly
over the classes that are not there: exact at temperature 1 and where all classes are kept; beyond
that a bound, from above below a temperature of 1, from below above it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from flora.predictions import Predictions, Real

BINS = 15
COVERAGES = tuple(k / 20 for k in range(1, 21))
_COLDEST, _HOTTEST = 0.05, 20.0
_STEPS = 100
_AT_ONCE = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Confidence:
    """How sure the first guess of each picture was, whether it was right, and the truth's NLL."""

    sure: Real
    """n probabilities of the first guess."""
    right: Real
    """n: 1 where it was the truth, else 0."""
    losses: Real
    """n negative log-probabilities of the truth; inf where it had none."""


def confidence(rows: Predictions, temperature: float = 1.0) -> Confidence:
    """Return what *rows* are worth once their logits are divided by *temperature*."""
    if temperature == 1:
        totals: Real = np.zeros(len(rows))
    else:
        totals = np.concatenate([_sums(each, 1 / temperature)[0] for each in _parts(rows)])
    first = rows.top[:, 0].astype(np.float64)
    return Confidence(
        sure=np.exp(first / temperature - totals),
        right=(rows.top_labels[:, 0] == rows.labels).astype(float),
        losses=totals - rows.truths / temperature,
    )


def expected_error(at: Confidence, bins: int = BINS) -> float:
    """Return the ECE over *bins* of equally many pictures (or one more); nan without any."""
    if not len(at.sure):
        return float("nan")
    order = np.argsort(at.sure, kind="stable")
    gaps = [
        abs(float(at.sure[part].sum() - at.right[part].sum()))
        for part in np.array_split(order, bins)
    ]
    return sum(gaps) / len(order)


def loss(at: Confidence) -> tuple[float, int]:
    """Return the mean NLL over the pictures whose truth was possible, and how many were not."""
    possible = np.isfinite(at.losses)
    mean = float(at.losses[possible].mean()) if possible.any() else float("nan")
    return mean, int((~possible).sum())


def fit(rows: Predictions) -> float:
    """Return the temperature of the least NLL of *rows*: the validation set.

    NLL is convex in 1 / temperature: Newton's steps, kept between bounds that close in, find its
    one minimum, or the nearer end of 0.05 to 20. Without rows it is 1.
    """
    rows = rows.take(np.isfinite(rows.truths))
    if not len(rows):
        return 1.0
    low, power, high = 1 / _HOTTEST, 1.0, 1 / _COLDEST
    for _ in range(_STEPS):
        sums = [_sums(each, power) for each in _parts(rows)]
        slope = float(np.concatenate([mean for _, mean, _ in sums]).mean() - rows.truths.mean())
        bend = float(np.concatenate([variance for _, _, variance in sums]).mean())
        low, high = (low, power) if slope > 0 else (power, high)
        newton = power - slope / bend if bend > 0 else low
        before, power = power, newton if low < newton < high else (low * high) ** 0.5
        if abs(power - before) < 1e-9 * power:
            break
    return 1 / power


def risks(at: Confidence) -> Real:
    """Return the share of errors among the 1, 2, ... n surest guesses.

    Among equally sure ones the order is chance's: its mean is taken.
    """
    _, group = np.unique(-at.sure, return_inverse=True)
    errors = np.bincount(group, 1 - at.right) / np.bincount(group)
    taken: Real = np.cumsum(errors[np.sort(group)])
    return taken / np.arange(1, len(taken) + 1)


def area(at: Confidence) -> float:
    """Return the AURC: 0 for a model that is always right; nan without pictures."""
    return float(risks(at).mean()) if len(at.sure) else float("nan")


def curve(at: Confidence) -> list[tuple[float, float]]:
    """Return (coverage, risk) at COVERAGES."""
    if not len(at.sure):
        return []
    found = risks(at)
    return [(each, float(found[max(0, round(each * len(found)) - 1)])) for each in COVERAGES]


def _parts(rows: Predictions) -> Iterator[Predictions]:
    """Yield *rows* so many at a time that their guesses take little memory."""
    for start in range(0, len(rows), _AT_ONCE):
        yield rows.take(slice(start, start + _AT_ONCE))


def _sums(rows: Predictions, power: float) -> tuple[Real, Real, Real]:
    """Return, for each row, the log of the sum of all probabilities to *power*.

    And the mean and the variance of log-probabilities under what that makes of them: its
    derivatives by *power*.
    """
    logs = rows.top.astype(np.float64)
    others = np.maximum(rows.candidates - (rows.top_labels >= 0).sum(1), 0)
    rest = np.where(others > 0, np.clip(1 - np.exp(logs).sum(1), 0, 1), 0)
    with np.errstate(divide="ignore"):
        even = np.log(np.divide(rest, others, where=others > 0, out=np.zeros(len(rest))))
        logs = np.column_stack([logs, even])
        scaled = power * logs
        scaled[:, -1] += np.log(np.maximum(others, 1))
    peak = scaled.max(1, keepdims=True)
    weights = np.exp(scaled - peak)
    total = weights.sum(1)
    logs = np.where(weights > 0, logs, 0)
    mean = (weights * logs).sum(1) / total
    variance = (weights * logs**2).sum(1) / total - mean**2
    return peak[:, 0] + np.log(total), mean, variance
