"""Several looks at one picture (test-time augmentation): its middle, its corners, each mirrored.

The ten crops of Krizhevsky and others (2012), in an order in which the first few are worth most.
"""

import numpy as np
import numpy.typing as npt

from train.pixels import CENTRE_SHARE, Pixels, crop, measure
from train.tiles import Box

Views = npt.NDArray[np.uint8]
"""Views x height x width x 3."""


def look(data: bytes, size: int, count: int) -> Views:
    """Return the first *count* of ten views of the picture *data*, as squares of *size*.

    The first is `train.pixels.centre`; each second one is the mirror image of the one before.
    Raises as `train.pixels.crop` does.
    """
    seen: list[Pixels] = []
    for box in boxes(*measure(data))[: -(-count // 2)]:
        square = crop(data, box, size)
        seen += [square, square[:, ::-1]]
    return np.stack(seen[:count])


def boxes(width: int, height: int) -> list[Box]:
    """Return the middle of a picture and its corners, upper left first: squares of one size."""
    side = max(1, round(min(width, height) * CENTRE_SHARE))
    right, bottom = width - side, height - side
    corners = [(right // 2, bottom // 2), (0, 0), (right, 0), (0, bottom), (right, bottom)]
    return [(left, top, left + side, top + side) for left, top in corners]
