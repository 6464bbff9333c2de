"""Directions of occlusion edges as whole numbers: what is written is what is scored."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from maskrcnn_benchmark.tasks.occlusion import decode_direction, encode_direction


@given(st.floats(-np.pi, np.pi), st.floats(1e-3, 1e3))
def test_a_direction_survives_to_a_hundredth_of_a_degree(theta, length):
    code = encode_direction(length * np.sin(theta), length * np.cos(theta))
    sin, cos = decode_direction(code)
    difference = np.arctan2(np.sin(theta) * cos - np.cos(theta) * sin, np.cos(theta) * cos + np.sin(theta) * sin)
    assert abs(difference) < np.deg2rad(0.01)
    assert np.hypot(sin, cos) == 1 or abs(np.hypot(sin, cos) - 1) < 1e-12


@given(arrays(np.uint16, (5,), elements=st.integers(0, 65534)))
def test_a_direction_that_was_read_is_written_as_it_was(code):
    assert np.array_equal(encode_direction(*decode_direction(code)), code)


def test_no_direction_is_none_and_due_right_is_the_first():
    assert encode_direction(np.array([0.0, 0.0]), np.array([0.0, 2.0])).tolist() == [0, 1]
    assert decode_direction(np.array([0], np.uint16)).tolist() == [[0.0], [0.0]]
