import numpy as np
import pytest
from PIL import ImageOps

from dedup.closeup import inside, look, unframed
from tests.conftest import encode
from tests.dedup.garden import jpeg, leaf, mirrored


def test_a_plain_frame_is_not_part_of_the_picture() -> None:
    grey = np.asarray(leaf(1, (200, 100)).convert("L"))
    assert inside(grey) == 1
    framed = np.pad(grey, ((10, 30), (0, 40)), constant_values=250)
    assert inside(framed) == pytest.approx(200 * 100 / (240 * 140))
    assert inside(np.full((50, 50), 200, np.uint8)) == 1
    bordered = encode(ImageOps.expand(leaf(1, (400, 300)), 40, "white"), "JPEG", quality=95)
    assert unframed(bordered) == pytest.approx(400 * 300 / (480 * 380), abs=0.03)


def test_a_look_tells_copies_mirrored_copies_and_others_apart() -> None:
    files = [jpeg(1, (400, 300)), encode(leaf(1, (400, 300)).crop((12, 9, 390, 292)), "PNG"),
             encode(mirrored(leaf(1)), "JPEG"), jpeg(2), b"\xff\xd8\xff broken"]  # fmt: skip
    pairs = [(0, 1, False), (0, 2, True), (0, 2, False), (0, 3, False), (0, 4, False), (4, 0, True)]
    found = [seen.similarity for seen in look(pairs, files.__getitem__)]
    assert min(found[:2]) > 0.93
    assert max(found[2:4]) < 0.7
    assert found[4:] == [0, 0]
