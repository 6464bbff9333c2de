"""Strengths as whole numbers: what is written is what is scored."""

import numpy as np
from hypothesis import given
from hypothesis.extra.numpy import arrays

from maskrcnn_benchmark.prediction_files.encodings import decode_strength, encode_strength


def test_strengths_are_shares_of_255():
    assert encode_strength(np.array([0.0, 0.5, 1.0, -0.1, 1.7])).tolist() == [0, 128, 255, 0, 255]
    assert decode_strength(np.array([0, 51, 255], np.uint8)).tolist() == [0.0, 0.2, 1.0]


@given(arrays(np.uint8, (4, 3)))
def test_a_strength_that_was_read_is_written_as_it_was(strength):
    assert np.array_equal(encode_strength(decode_strength(strength)), strength)
