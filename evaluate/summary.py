"""One set of pictures in a few figures, as evaluation.json has them for the report."""

from typing import Any

import numpy as np

from evaluate.measures import BINS
from evaluate.taxa import Taxa
from flora.predictions import Predictions

_KEYS = ("top1", "top5", "mrr", "macro_top1")


def summary(figures: dict[str, Any], rows: Predictions, taxa: Taxa) -> dict[str, Any]:
    """Return the species' *figures* (of `table.measure`) in brief.

    Beside them what a guess at random would give, and one that is always the commonest species.
    """
    counts = taxa.train_counts
    assert counts is not None
    species = figures["levels"]["species"]
    return {
        "images": figures["images"],
        "classes": len(taxa.ids),
        "classes_tested": figures["classes"],
        **_values(species, "value"),
        "random": _values(species, "chance"),
        "commonest": {"top1": float((rows.labels == counts.argmax()).mean()) if len(rows) else 0.0},
        "tail": [
            {
                "train_images": part["train_images"],
                "classes": int(((counts >= low) & (counts <= high)).sum()),
                "images": part["images"],
                **_values(part, "value"),
            }
            for part, (low, high) in zip(figures["tail"], BINS.values(), strict=True)
            if part["images"] or np.any((counts >= low) & (counts <= high))
        ],
    }


def _values(cells: dict[str, Any], what: str) -> dict[str, float | None]:
    return {key: cells[key][what] for key in _KEYS}
