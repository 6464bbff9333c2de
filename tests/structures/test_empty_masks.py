"""Segmentations that enclose nothing, of every kind that COCO has."""

import pytest

from maskrcnn_benchmark.structures.empty_masks import encloses_nothing

SIZE = (10, 8)
PIXELS = 80


def code(counts):
    return {"size": [8, 10], "counts": counts}


@pytest.mark.parametrize(
    "segmentation",
    [
        [],
        [[]],
        [[1, 2, 3, 4]],
        [[1, 1, 5, 5, 3, 3]],  # on a line
        [[2, 2] * 4],
        [[0.1, 0.1, 0.2, 0.2, 0.3, 0.30000000000000004]],
        [[20, 1, 25, 1, 25, 5]],  # right of the image
        [[-5, -5, 0, -5, 0, 0]],
        [[1, 2, 3, 4], [20, 1, 25, 1, 25, 5]],
        {},
        code([PIXELS]),
        code([PIXELS, 0]),
        code("`2"),
        code("`20"),
    ],
)
def test_what_has_no_extent_encloses_nothing(segmentation):
    assert encloses_nothing(segmentation, SIZE)


@pytest.mark.parametrize(
    "segmentation",
    [
        [[1, 1, 5, 1, 5, 5]],
        [[1, 2], [1, 1, 5, 1, 5, 5]],
        [[-5, -5, 30, -5, 30, 30]],
        [[-5, 4, 0.5, 4, 0.5, 8]],
        [[1, 1, 5, 5, 1, 1, 5, 5, 9, 2]],  # three of its points are on a line
        code([0, PIXELS]),
        code([PIXELS - 1, 1]),
        code("01`2"),
        None,
        "abc",
        5,
        [None],
        {"counts": 3},
        {"size": None, "counts": [80]},
    ],
)
def test_what_has_some_or_is_another_fault_does_not(segmentation):
    assert not encloses_nothing(segmentation, SIZE)


def test_a_polygon_outside_encloses_something_where_the_size_is_not_known():
    assert not encloses_nothing([[20, 1, 25, 1, 25, 5]])
