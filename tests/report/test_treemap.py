import re

import pytest

from report.treemap import Box, Part, squarify, treemap


def test_boxes_lie_as_in_the_paper() -> None:
    """The example of Bruls, Huizing and van Wijk, in its figure 4."""
    boxes = squarify([6, 6, 4, 3, 2, 2, 1], 6, 4)
    assert boxes[:2] == [Box(0, 0, 3, 2), Box(0, 2, 3, 2)]
    assert [(round(box.width, 2), round(box.height, 2)) for box in boxes[2:4]] == [
        (1.71, 2.33), (1.29, 2.33),
    ]  # fmt: skip


def test_boxes_fill_the_plane_in_proportion_and_never_overlap() -> None:
    sizes = sorted((n**2 % 97 + 1 for n in range(60)), reverse=True)
    boxes = squarify(sizes, 112, 56)
    for box, size in zip(boxes, sizes, strict=True):
        assert box.width * box.height == pytest.approx(112 * 56 * size / sum(sizes))
        assert box.x >= 0 <= box.y
        assert box.x + box.width <= 112 + 1e-9
        assert box.y + box.height <= 56 + 1e-9
    for number, one in enumerate(boxes):
        for other in boxes[:number]:
            across = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
            down = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
            assert min(across, down) < 1e-9


def test_most_boxes_are_nearly_square() -> None:
    boxes = squarify([1 / (n + 5) for n in range(600)], 1120, 560)
    ratios = sorted(max(b.width / b.height, b.height / b.width) for b in boxes)
    assert ratios[len(ratios) // 2] < 1.5


def test_every_part_is_told_and_only_what_fits_is_written() -> None:
    parts = [Part("Asteraceae", 1000, 0.5, "500 of 1,000"), Part("<b>", 1, 0.0, "0 of 1")]
    drawn = treemap("Families", parts, "of them")
    assert 'aria-label="Families"' in drawn
    assert "<title>Asteraceae: 500 of 1,000</title>" in drawn
    assert "<title>&lt;b&gt;: 0 of 1</title>" in drawn
    written = re.findall("<text[^>]*>([^<]*)</text>", drawn)
    assert written[:2] == ["Asteraceae", "500 of 1,000"]
    assert "&lt;b&gt;" not in written


def test_nothing_is_an_empty_drawing() -> None:
    assert squarify([], 10, 10) == []
    assert "<rect" in treemap("Families", [], "of them")
