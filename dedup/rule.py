"""The rule: which pairs of pictures are one by their hashes, and which need a look at the pixels.

PDQ (256 bits) is hard to fool but loses sight of crops and frames; pHash (64 bits) bears
those and is fooled by leaves on plain paper. So good pictures that PDQ finds very near are one,
and the pixels answer for the others that either finds near.
"""

from enum import IntEnum

import numpy as np
import numpy.typing as npt

from dedup.config import DedupSettings


class Answer(IntEnum):
    """What two distances say about a pair."""

    DIFFERENT = 0
    LOOK = 1
    """One if `dedup.pixels.correlation` is at least `similarity`."""
    SAME = 2


def sort_out(
    pdq_distance: npt.NDArray[np.uint16],
    phash_distance: npt.NDArray[np.uint16],
    quality: npt.NDArray[np.uint8],
    settings: DedupSettings,
) -> npt.NDArray[np.uint8]:
    """Return the Answer for each pair, as uint8[m].

    *quality* is the lesser PDQ quality of the two. A pair of poor quality is never SAME unseen:
    blank and blurred pictures are near each other in PDQ too. Symmetric in the two pictures.
    """
    sure = (pdq_distance <= settings.pdq_sure) & (quality >= settings.min_quality)
    close = pdq_distance <= settings.pdq_radius
    near = (phash_distance <= settings.phash_radius) & (pdq_distance <= settings.pdq_limit)
    answer = np.where(close | near, Answer.LOOK, Answer.DIFFERENT)
    return np.where(sure, Answer.SAME, answer).astype(np.uint8)
