"""How good: the place of the true species among the guesses, and what follows from it."""

from typing import Any

import numpy as np
import numpy.typing as npt

Whole = npt.NDArray[np.int64]

BINS = ((1, 1), (2, 10), (11, 100), (101, None))
"""Species by their number of training pictures, rare ones first."""


def summary(ranks: Whole, labels: Whole, train_counts: Whole) -> dict[str, Any]:
    """Return the figures of a split: *ranks* of the true *labels*, 1 being the best.

    *train_counts* has the number of training pictures of each class.
    """
    classes = len(train_counts)
    return {
        "images": len(ranks),
        "classes": classes,
        "classes_tested": len(np.unique(labels)),
        **_figures(ranks, labels),
        "random": {
            "top1": 1 / classes,
            "top5": min(5, classes) / classes,
            "mrr": float((1 / np.arange(1, classes + 1)).mean()),
            "macro_top1": 1 / classes,
        },
        "commonest": {
            "top1": float((labels == train_counts.argmax()).mean()) if len(labels) else 0.0
        },
        "tail": [_bin(low, high, ranks, labels, train_counts) for low, high in BINS],
    }


def _figures(ranks: Whole, labels: Whole) -> dict[str, float | None]:
    if not len(ranks):
        return dict.fromkeys(("top1", "top5", "mrr", "macro_top1"))
    support = np.bincount(labels)
    hits = np.bincount(labels, weights=ranks == 1)
    return {
        "top1": float((ranks == 1).mean()),
        "top5": float((ranks <= 5).mean()),
        "mrr": float((1 / ranks).mean()),
        "macro_top1": float((hits[support > 0] / support[support > 0]).mean()),
    }


def _bin(
    low: int, high: int | None, ranks: Whole, labels: Whole, train_counts: Whole
) -> dict[str, Any]:
    inside = (train_counts >= low) & (train_counts <= (high or train_counts.max()))
    mine = inside[labels]
    name = f">{low - 1}" if high is None else str(low) if low == high else f"{low}-{high}"
    return {
        "train_images": name,
        "classes": int(inside.sum()),
        "images": int(mine.sum()),
        **_figures(ranks[mine], labels[mine]),
    }
