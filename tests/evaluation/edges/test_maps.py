"""Ridges of soft edge maps, and the thresholds that they reach."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from maskrcnn_benchmark.evaluation.edges.maps import edge_levels, suppress_non_maxima
from maskrcnn_benchmark.evaluation.protocols import BOUNDARY_PROTOCOLS, EdgeProtocol


def ridges_by_definition(edges, reach=1):
    """Non-maximum suppression with numpy and scipy, without the fading at the border."""
    ramp = np.array([1, 2, 3, 4, 5, 4, 3, 2, 1]) / 25
    smooth = cv2.sepFilter2D(edges, cv2.CV_64F, ramp, ramp, borderType=cv2.BORDER_REFLECT)
    in_y, in_x = np.gradient(smooth)
    in_xx = np.gradient(in_x, axis=1)
    in_yy, in_xy = np.gradient(in_y)
    angle = np.mod(np.arctan(in_yy * np.where(in_xy > 0, -1, 1) / (in_xx + 1e-5)), np.pi)
    y, x = np.mgrid[: edges.shape[0], : edges.shape[1]]
    sides = [
        map_coordinates(edges, [y + far * np.sin(angle), x + far * np.cos(angle)], order=1, mode="nearest")
        for far in range(-reach, reach + 1)
        if far
    ]
    return np.where(edges * 1.01 >= np.max(sides, axis=0), edges, 0)


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
    assert np.allclose(EdgeProtocol(4).values(), [0.2, 0.4, 0.6, 0.8])
    assert EdgeProtocol().values()[[0, -1]] == pytest.approx([0.01, 0.99])


def soft_map(seed, height=40, width=50):
    """A map as a PNG holds it: whole numbers of 255."""
    edges = cv2.GaussianBlur(np.random.default_rng(seed).random((height, width)), (0, 0), 1.5)
    return np.rint(255 * (edges - edges.min()) / (edges.max() - edges.min())) / 255


HUNDREDTHS = [float(f"0.{k:02}") for k in range(1, 100)]
INNER = slice(9, -9)  # where neither the border's fading nor its derivatives reach


@pytest.mark.parametrize("seed", range(3))
def test_the_row_of_seism_has_101_thresholds_and_edges_lie_above_them(seed):
    levels = edge_levels(soft_map(seed), BOUNDARY_PROTOCOLS["seism"])[INNER, INNER]
    ridges = ridges_by_definition(soft_map(seed))[INNER, INNER]
    thresholds = [0.001, *HUNDREDTHS, 0.999]
    assert len(thresholds) == 101 and levels.max() > 60
    for k, threshold in enumerate(thresholds):
        assert np.array_equal(levels > k, ridges > threshold), threshold


@pytest.mark.parametrize("seed", range(3))
def test_the_row_of_mti_net_takes_the_map_itself_from_each_of_99_thresholds(seed):
    levels = edge_levels(soft_map(seed), BOUNDARY_PROTOCOLS["mti_net"])
    assert levels.max() == 99 and np.array_equal(levels, sum(soft_map(seed) >= t for t in HUNDREDTHS))


@pytest.mark.parametrize("seed", range(3))
def test_the_row_of_sak_smooths_looks_four_pixels_far_and_saves_in_bytes(seed):
    levels = edge_levels(soft_map(seed), BOUNDARY_PROTOCOLS["sak"])[INNER, INNER]
    triangle = np.array([1, 2, 1]) / 4
    smooth = cv2.sepFilter2D(soft_map(seed), cv2.CV_64F, triangle, triangle, borderType=cv2.BORDER_REFLECT)
    saved = np.floor(255 * ridges_by_definition(smooth, reach=4)[INNER, INNER] + 0.5).astype(np.uint8)
    assert levels.max() > 40
    assert np.array_equal(levels, sum(saved / 255 >= t for t in HUNDREDTHS))
    assert (levels > 0).sum() < (edge_levels(soft_map(seed), BOUNDARY_PROTOCOLS["seism"])[INNER, INNER] > 0).sum()


def test_a_pixel_at_a_threshold_is_an_edge_for_one_program_and_not_for_the_other():
    strength = np.zeros((40, 40))
    strength[:, 20] = 51 / 255  # 0.2 itself
    column = slice(10, 30), 20
    # of the thresholds from 0.01 on the twentieth is 0.2; seism has one more, 0.001, below these
    assert (edge_levels(strength, EdgeProtocol(conventions="seism"))[column] == 20).all()
    assert (edge_levels(strength, BOUNDARY_PROTOCOLS["mti_net"])[column] == 20).all()
    assert (edge_levels(strength, BOUNDARY_PROTOCOLS["seism"])[column] == 1 + 19).all()


def test_the_two_ends_of_seism_tell_the_faintest_and_the_surest_apart():
    strength = np.zeros((40, 40))
    strength[:, 12], strength[:, 27] = 1 / 255, 1
    column = slice(10, 30)
    levels = edge_levels(strength, BOUNDARY_PROTOCOLS["seism"])
    assert (levels[column, 12] == 1).all() and (levels[column, 27] == 101).all()
    levels = edge_levels(strength, EdgeProtocol(conventions="seism"))
    assert (levels[column, 12] == 0).all() and (levels[column, 27] == 99).all()


def test_named_programs_reduce_yes_no_maps_too():
    line = np.zeros((40, 40))
    line[:, 20] = 1
    levels = edge_levels(line, BOUNDARY_PROTOCOLS["seism"])
    assert levels[20, 20] == 101 and levels[0, 20] == 0  # the border fades
    assert edge_levels(line, EdgeProtocol())[0, 20] == 99
