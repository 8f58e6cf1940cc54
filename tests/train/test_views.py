import numpy as np

from tests.conftest import picture
from train.pixels import centre
from train.views import boxes, look


def test_the_first_view_is_the_middle_and_the_next_its_mirror_image() -> None:
    data = picture(3)
    views = look(data, 64, 10)
    assert views.shape == (10, 64, 64, 3)
    assert np.array_equal(views[0], centre(data, 64))
    for one, other in zip(views[::2], views[1::2], strict=True):
        assert np.array_equal(one, other[:, ::-1])
    assert np.array_equal(look(data, 64, 3), views[:3])


def test_the_corners_reach_the_edges_and_are_of_one_size() -> None:
    found = boxes(160, 120)
    assert len(set(found)) == 5
    assert {(right - left, bottom - top) for left, top, right, bottom in found} == {(105, 105)}
    assert min(left for left, *_ in found) == min(top for _, top, *_ in found) == 0
    assert max(right for *_, right, _ in found) == 160
    assert max(bottom for *_, bottom in found) == 120
    assert boxes(1, 1) == [(0, 0, 1, 1)] * 5
