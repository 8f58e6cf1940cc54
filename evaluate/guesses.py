"""Guesses made into others: fused over observations, kept to a list of species, summed by genus.

All of this is on the guesses that a table holds, so it serves any system's run. What is not
there is taken as its share of the probability left, and the places it ends at can be too good:
for a model of ours the pass over whole rows of scores (`train/scores.py`) is exact instead.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from flora.predictions import Predictions, Real, Whole, join, words

Fusion = Literal["logs", "mean", "max"]
_AT_ONCE = 20_000
"""Rows whose guesses are laid out at a time."""
_LEAST = 1e-9
"""Probability left to what a run does not name, if its own sum to 1."""


def from_guesses(
    keys: Sequence[str],
    observations: Sequence[str],
    labels: Whole,
    top_labels: npt.NDArray[np.int32],
    top: npt.NDArray[np.float32],
    candidates: int,
) -> Predictions:
    """Return guesses (n x k, best first) as predictions: a truth not guessed has rank 0."""
    hits = (top_labels == labels[:, None]) & (top_labels >= 0)
    found, place = hits.any(1), hits.argmax(1)
    truths = np.full(len(labels), -np.inf)
    truths[found] = top[found, place[found]]
    unknown = np.full(len(labels), -1, np.int64)
    return Predictions(
        keys=words(keys),
        observations=words(observations),
        labels=labels,
        ranks=np.where(found, place + 1, 0),
        truths=truths,
        genus_ranks=unknown,
        family_ranks=unknown,
        candidates=np.full(len(labels), candidates, np.int64),
        genus_candidates=unknown,
        family_candidates=unknown,
        top_labels=top_labels,
        top=top,
    )


def within(rows: Predictions, allowed: npt.NDArray[np.bool_]) -> Predictions:
    """Return the guesses that are *allowed* (by label), their probabilities made to sum as before.

    A truth that is not allowed is missed by right: it is no candidate any more.
    """
    kept = (rows.top_labels >= 0) & allowed[rows.top_labels]
    order = np.argsort(~kept, axis=1, kind="stable")
    there = np.take_along_axis(kept, order, 1)
    top = np.where(there, np.take_along_axis(rows.top, order, 1), -np.inf)
    with np.errstate(divide="ignore", invalid="ignore"):
        before, after = (np.log(np.exp(each).sum(1, keepdims=True)) for each in (rows.top, top))
        top = np.where(there, top - after + before, -np.inf)
    labels = np.where(there, np.take_along_axis(rows.top_labels, order, 1), -1)
    found = from_guesses(
        list(rows.keys), list(rows.observations), rows.labels,
        labels.astype(np.int32), top.astype(np.float32), int(allowed.sum()),
    )  # fmt: skip
    inside = (rows.labels >= 0) & allowed[rows.labels]
    return replace(found, candidates=np.where(inside, found.candidates, 0))


def without(rows: Predictions, keys: Collection[str]) -> Predictions:
    """Return the rows whose key is none of *keys* (those with a near-duplicate in training)."""
    gone = set(keys)
    return rows.take(np.array([key not in gone for key in rows.keys], np.bool_))


def fuse(rows: Predictions, how: Fusion) -> Predictions:
    """Return a row an observation, its pictures' guesses made one.

    By `logs` (mean of log-probabilities), `mean` or `max` of probabilities; all made to sum to 1.
    They come in the order of their names.
    """
    order = np.argsort(rows.observations.astype(str), kind="stable")
    seen = rows.observations[order]
    fresh = np.flatnonzero(np.append(True, seen[1:] != seen[:-1]))
    steps = np.searchsorted(fresh, np.arange(_AT_ONCE, len(order), _AT_ONCE))
    cuts = np.unique(fresh[steps[steps < len(fresh)]])
    parts = [rows.take(part) for part in np.split(order, cuts)]
    return join([_fuse(part, how) for part in parts]) if len(rows) else rows


def _fuse(rows: Predictions, how: Fusion) -> Predictions:
    names, first, seen = np.unique(
        rows.observations.astype(str), return_index=True, return_inverse=True
    )
    at, label, log, floor = _entries(rows)
    count = np.bincount(seen)
    scale = int(label.max(initial=0)) + 1
    cells, cell = np.unique(seen[at] * scale + label, return_inverse=True)
    group, label = np.divmod(cells, scale)
    if how == "max":
        score = np.full(len(cells), -np.inf)
        np.maximum.at(score, cell, log)
    elif how == "mean":
        rest = np.bincount(seen, np.exp(floor), len(names))[group]
        mean = np.bincount(cell, np.exp(log) - np.exp(floor[at])) + rest
        score = np.log(np.maximum(mean, 1e-300))
    else:
        rest = np.bincount(seen, floor, len(names))[group]
        score = (np.bincount(cell, log - floor[at]) + rest) / count[group]
    order, place = _ranked(group, label, score)
    group, label, score = group[order], label[order], score[order]
    score = score - score[place == 1][group]
    score -= np.log(np.bincount(group, np.exp(score), len(names)))[group]
    width = max(1, rows.top.shape[1])
    top_labels = np.full((len(names), width), -1, np.int32)
    top = np.full((len(names), width), -np.inf, np.float32)
    short = place <= width
    top_labels[group[short], place[short] - 1] = label[short]
    top[group[short], place[short] - 1] = score[short]
    labels = rows.labels[first]
    found = from_guesses(list(names), list(names), labels, top_labels, top, 0)
    ranks, truths = found.ranks.copy(), found.truths.copy()
    hit = label == labels[group]
    ranks[group[hit]], truths[group[hit]] = place[hit], score[hit]
    return replace(found, ranks=ranks, truths=truths, candidates=rows.candidates[first])


def lift(rows: Predictions, genera: Whole, families: Whole) -> Predictions:
    """Return *rows* with places of genus and family, from the sums of their species' guesses.

    *genera* and *families* are numbers from 0, by label.
    """
    starts = range(0, len(rows), _AT_ONCE)
    parts = [rows.take(slice(start, start + _AT_ONCE)) for start in starts]
    return join([_lift(part, genera, families) for part in parts]) if parts else rows


def _lift(rows: Predictions, genera: Whole, families: Whole) -> Predictions:
    possible = rows.candidates > 0
    return replace(
        rows,
        genus_ranks=_higher(rows, genera),
        family_ranks=_higher(rows, families),
        genus_candidates=np.where(possible, genera.max() + 1, 0),
        family_candidates=np.where(possible, families.max() + 1, 0),
    )


def _higher(rows: Predictions, of: Whole) -> Whole:
    """Return the place of each truth's own among the sums of guesses by *of* (by label)."""
    at, label, log, _ = _entries(rows)
    scale = int(of.max()) + 1
    cells, cell = np.unique(at * scale + of[label], return_inverse=True)
    group, higher = np.divmod(cells, scale)
    sums = np.bincount(cell, np.exp(log), len(cells)).astype(np.float64)
    order, place = _ranked(group, higher, sums)
    group, higher = group[order], higher[order]
    hit = (rows.labels[group] >= 0) & (higher == of[rows.labels[group]])
    ranks = np.zeros(len(rows), np.int64)
    ranks[group[hit]] = place[hit]
    return ranks


def _entries(rows: Predictions) -> tuple[Whole, Whole, Real, Real]:
    """Return row, label and log of every guess, the truth's among them; and each row's floor.

    The floor is the log-probability of a class that the row does not name.
    """
    named = rows.top_labels >= 0
    at, column = np.nonzero(named)
    label, log = rows.top_labels[at, column].astype(np.int64), rows.top[at, column]
    missed = np.flatnonzero(
        np.isfinite(rows.truths) & ~(rows.top_labels == rows.labels[:, None]).any(1)
    )
    at = np.concatenate([at, missed])
    label = np.concatenate([label, rows.labels[missed]])
    logs = np.concatenate([log.astype(np.float64), rows.truths[missed]])
    rest = np.maximum(1 - np.exp(rows.top.astype(np.float64)).sum(1), _LEAST)
    others = np.maximum(rows.candidates - named.sum(1), 1)
    lowest = np.where(named, rows.top, np.inf).min(1, initial=0.0)
    floor = np.minimum(np.log(rest / others), lowest)
    return at, label, np.maximum(logs, floor[at]), floor


def _ranked(group: Whole, label: Whole, score: Real) -> tuple[Whole, Whole]:
    """Return the order by group, then score from the best, then label; and each one's place."""
    order = np.lexsort((label, -score, group))
    ordered = group[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=-1))
    place = np.arange(len(order)) - np.repeat(starts, np.diff(np.append(starts, len(order))))
    return order, place + 1
