"""One-to-one pairing of edge pixels, against separate assignments by scipy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from maskrcnn_benchmark.evaluation.edges.matching import COST_SCALE, match_edges, outlier_cost


def least_cost(predicted, truth, max_distance):
    """(number of pairs, total cost) of the assignment of least cost, by scipy: a pair saves two outliers."""
    one, two = np.argwhere(predicted), np.argwhere(truth)
    square = ((one[:, None] - two[None]) ** 2).sum(axis=2)
    near = square <= max_distance**2 * (truth.shape[0] ** 2 + truth.shape[1] ** 2)
    saved = 2 * outlier_cost(truth.shape, max_distance)
    cost = np.where(near, np.rint(COST_SCALE * np.sqrt(square)).astype(np.int64) - saved, 0)
    rows, columns = linear_sum_assignment(cost)
    return near[rows, columns].sum(), cost[rows, columns].sum()


def check_every_threshold(pixels, present, truth, max_distance):
    near, partner = match_edges(pixels, present, truth, max_distance)
    for k in range(len(present)):
        paired = partner[k] >= 0
        one, two = pixels[near[paired]], partner[k][paired]
        assert present[k][near[paired]].all() and truth.flat[two].all()
        assert len(set(one)) == len(one) and len(set(two)) == len(two)
        distance = np.hypot(one // truth.shape[1] - two // truth.shape[1], one % truth.shape[1] - two % truth.shape[1])
        assert (distance <= max_distance * np.hypot(*truth.shape) + 1e-9).all()
        cost = (np.rint(COST_SCALE * distance) - 2 * outlier_cost(truth.shape, max_distance)).sum()
        predicted = np.zeros(truth.shape, bool)
        predicted.flat[pixels[present[k]]] = True
        assert (len(one), cost) == least_cost(predicted, truth, max_distance)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(4, 24), st.integers(4, 24), st.floats(0.3, 4.5))
def test_every_threshold_has_an_assignment_of_least_cost_though_pixels_come_and_go(seed, height, width, radius):
    rng = np.random.default_rng(seed)
    pixels = np.flatnonzero(rng.random(height * width) < rng.random())
    present = rng.random((6, len(pixels))) < rng.random((6, 1))
    truth = rng.random((height, width)) < rng.random() * 0.6
    check_every_threshold(pixels, present, truth, radius / np.hypot(height, width))


@pytest.mark.parametrize("seed", range(4))
def test_sets_that_grow_as_the_threshold_falls(seed):
    rng = np.random.default_rng(seed)
    levels = rng.integers(0, 12, (30, 40)) * (rng.random((30, 40)) < 0.4)
    pixels = np.flatnonzero(levels)
    truth = np.zeros((30, 40), bool)
    truth[5:25, 10] = truth[12, 5:35] = truth[np.arange(4, 28), np.arange(4, 28) + 6] = True
    check_every_threshold(pixels, levels.flat[pixels] > np.arange(11)[:, None], truth, 3.2 / 50)


def pairs(predicted, truth, max_distance):
    pixels = np.flatnonzero(predicted)
    near, partner = match_edges(pixels, np.ones((1, len(pixels)), bool), truth, max_distance)
    return {int(pixels[i]): int(j) for i, j in zip(near, partner[0]) if j >= 0}


def test_more_pairs_are_better_than_closer_ones():
    predicted, truth = np.zeros((1, 9), bool), np.zeros((1, 9), bool)
    predicted[0, [2, 4]] = truth[0, [4, 6]] = True
    # 4 lies on 4, but then 2 and 6 would have nobody within two pixels
    assert pairs(predicted, truth, 2.1 / np.hypot(1, 9)) == {2: 4, 4: 6}
    assert pairs(predicted, truth, 1.1 / np.hypot(1, 9)) == {4: 4}


def test_the_greatest_distance_itself_is_near_enough():
    predicted, truth = np.zeros((300, 400), bool), np.zeros((300, 400), bool)
    predicted[100, 100] = truth[103, 104] = True
    assert len(pairs(predicted, truth, 0.01)) == 1  # 0.01 of the diagonal of 500 pixels is 5, and 3-4-5 is right
    assert len(pairs(predicted, truth, 0.0099)) == 0


def test_a_line_shifted_within_the_tolerance_pairs_wholly_and_beyond_it_not_at_all():
    truth = np.zeros((100, 100), bool)
    truth[20:80, 50] = True
    assert len(pairs(np.roll(truth, 1, axis=1), truth, 0.0075)) == 60  # 0.0075 of the diagonal is 1.06 pixels
    assert len(pairs(np.roll(truth, 2, axis=1), truth, 0.0075)) == 0


def test_two_predicted_pixels_do_not_share_a_partner():
    predicted, truth = np.zeros((200, 200), bool), np.zeros((200, 200), bool)
    truth[100, 100] = predicted[100, 99:102] = True
    assert pairs(predicted, truth, 0.0075) == {100 * 200 + 100: 100 * 200 + 100}


def test_nothing_predicted_or_nothing_annotated_has_no_pairs():
    some, nothing = np.ones((4, 5), bool), np.zeros((4, 5), bool)
    assert pairs(nothing, some, 0.3) == pairs(some, nothing, 0.3) == {}
