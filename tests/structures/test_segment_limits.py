"""Objects that end with their segments."""

import numpy as np
import torch

from maskrcnn_benchmark.structures.panoptic_map import NO_OBJECT, PanopticMap
from maskrcnn_benchmark.structures.segment_limits import UNLIMITED, SegmentLimits

# objects 2 and 0 on stuff; ids column by column: 3 1 / 1 1 / 2 3
SEGMENTS = PanopticMap.of_rows(
    np.array([[3, 1, 2], [1, 1, 3]], np.int32), [(0, 2, 0.9, False), (0, 0, 0.8, False), (1, NO_OBJECT, 1.0, False)]
)


def limits():
    return SegmentLimits.of(SEGMENTS, torch.tensor([True, True, True, False]))


def test_objects_have_the_numbers_of_their_segments():
    found = limits()
    assert found.numbers.tolist() == [2, 0, 1, UNLIMITED] and len(found) == 4 and found.size == (3, 2)
    assert found[[3, 2]].numbers.tolist() == [UNLIMITED, 1] and found[1].numbers.tolist() == [0]
    assert found[torch.tensor([True, False, False, True])].numbers.tolist() == [2, UNLIMITED]


def test_pixels_are_counted_down_the_columns():
    pixels = np.arange(6)
    inside = [limits().are_inside(np.full(6, row), pixels).tolist() for row in range(4)]
    assert inside[0] == [False, False, False, False, True, False]
    assert inside[1] == [False] * 6
    assert inside[2] == [False, True, True, True, False, False]
    assert inside[3] == [True] * 6


def test_they_follow_a_resize_and_a_move():
    larger = limits().resize((6, 4)).to("cpu")
    assert larger.size == (6, 4) and larger.numbers.tolist() == [2, 0, 1, UNLIMITED]
    assert larger.are_inside(np.array([0, 0]), np.array([4 * 4, 4 * 4 + 3])).tolist() == [True, False]
