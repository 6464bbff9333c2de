"""Ridges of soft edge maps, and the thresholds that they reach."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from maskrcnn_benchmark.evaluation.edges.maps import edge_levels, edge_thresholds, suppress_non_maxima
from maskrcnn_benchmark.evaluation.protocols import EdgeProtocol


def ridges_by_definition(edges):
    """Non-maximum suppression with numpy and scipy, without the fading at the border."""
    ramp = np.array([1, 2, 3, 4, 5, 4, 3, 2, 1]) / 25
    smooth = cv2.sepFilter2D(edges, cv2.CV_64F, ramp, ramp, borderType=cv2.BORDER_REFLECT)
    in_y, in_x = np.gradient(smooth)
    in_xx = np.gradient(in_x, axis=1)
    in_yy, in_xy = np.gradient(in_y)
    angle = np.mod(np.arctan(in_yy * np.where(in_xy > 0, -1, 1) / (in_xx + 1e-5)), np.pi)
    y, x = np.mgrid[: edges.shape[0], : edges.shape[1]]
    sides = [
        map_coordinates(edges, [y + sign * np.sin(angle), x + sign * np.cos(angle)], order=1, mode="nearest")
        for sign in (-1, 1)
    ]
    return np.where(edges * 1.01 >= np.maximum(*sides), edges, 0)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(12, 40), st.integers(12, 40), st.floats(0.3, 3))
def test_ridges_are_those_of_the_definition(seed, height, width, blur):
    edges = cv2.GaussianBlur(np.random.default_rng(seed).random((height, width)), (0, 0), blur)
    inner = slice(5, -5)
    assert np.allclose(suppress_non_maxima(edges)[inner, inner], ridges_by_definition(edges)[inner, inner])


def test_blurred_line_is_reduced_to_its_crest_upright_and_level():
    edges = np.zeros((40, 60))
    edges[:, 30] = 1.0
    edges = cv2.GaussianBlur(edges, (0, 0), 2.0)
    for kept in (suppress_non_maxima(edges), suppress_non_maxima(edges.T).T):
        assert set(np.nonzero(kept)[1]) == {30}
        assert np.allclose(kept[10:30, 30], edges[10:30, 30])


def test_blurred_oblique_line_keeps_a_thin_unbroken_ridge():
    edges = np.zeros((60, 60))
    index = np.arange(5, 55)
    edges[index, (index * 0.5).astype(int) + 15] = 1.0
    kept = suppress_non_maxima(cv2.GaussianBlur(edges, (0, 0), 1.5)) > 0.2
    per_row = kept[10:50].sum(axis=1)
    assert per_row.min() >= 1
    assert per_row.max() <= 2


def test_image_border_fades_to_zero():
    kept = suppress_non_maxima(np.ones((20, 30)))
    assert np.allclose(kept[10, :6], [0, 0.2, 0.4, 0.6, 0.8, 1])
    assert np.allclose(kept[10, -6:], [1, 0.8, 0.6, 0.4, 0.2, 0])
    assert np.allclose(kept[1, 15], 0.2)


def test_a_map_too_small_for_ridges_is_refused():
    with pytest.raises(ValueError, match="1 x 30"):
        suppress_non_maxima(np.ones((1, 30)))


def test_levels_count_the_thresholds_reached():
    strength = np.array([[0.1, 0.25, 0.6, 1.0], [0, 0, 0, 0.75]])
    plain = EdgeProtocol(3, suppress_non_maxima=False)
    assert edge_levels(strength, plain).tolist() == [[0, 1, 2, 3], [0, 0, 0, 3]]


def test_a_yes_no_map_is_not_reduced_to_ridges_but_a_soft_one_is():
    line = np.zeros((20, 20))
    line[7:10, :] = 0.5
    levels = edge_levels(line, EdgeProtocol(3))
    assert np.array_equal(levels, 2 * (line > 0))
    line[8] = 1
    levels = edge_levels(line, EdgeProtocol(3))
    assert levels[8, 10] == 3 and not levels[[7, 9]].any()
    assert not edge_levels(np.zeros((20, 20)), EdgeProtocol(3)).any()


def test_thresholds_are_even_and_leave_the_ends_out():
    assert np.allclose(edge_thresholds(4), [0.2, 0.4, 0.6, 0.8])
    assert edge_thresholds(99)[[0, -1]] == pytest.approx([0.01, 0.99])
