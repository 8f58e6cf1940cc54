"""Scores out of thin air, and the predictions that keep the best of them."""

import numpy as np

from flora.predictions import Predictions, Real, Whole, words


def scores(count: int, classes: int, seed: int = 0, lift: float = 2.0) -> tuple[Real, Whole]:
    """Return probabilities (count x classes), the truth's *lift*ed, and the truths."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, count)
    logits = rng.normal(size=(count, classes))
    logits[np.arange(count), labels] += lift
    powers = np.exp(logits)
    return powers / powers.sum(1, keepdims=True), labels


def predict(
    probabilities: Real, labels: Whole, kept: int | None = None, observations: Whole | None = None
) -> Predictions:
    """Return what is kept of *probabilities*: the places and the *kept* best guesses."""
    count, classes = probabilities.shape
    order = np.argsort(-probabilities, axis=1, kind="stable")
    ranks = (order == labels[:, None]).argmax(1) + 1
    top = order[:, :kept]
    seen = np.arange(count) if observations is None else observations
    unknown = np.full(count, -1, np.int64)
    return Predictions(
        keys=words([f"picture-{n}" for n in range(count)]),
        observations=words([f"plant-{n}" for n in seen.tolist()]),
        labels=labels,
        ranks=ranks,
        truths=np.log(probabilities[np.arange(count), labels]),
        genus_ranks=unknown,
        family_ranks=unknown,
        candidates=np.full(count, classes, np.int64),
        genus_candidates=unknown,
        family_candidates=unknown,
        top_labels=top.astype(np.int32),
        top=np.log(np.take_along_axis(probabilities, top, 1)).astype(np.float32),
    )
