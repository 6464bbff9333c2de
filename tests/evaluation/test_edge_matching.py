"""One-to-one pairing of edge pixels."""

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from maskrcnn_benchmark.evaluation.edge_matching import edge_thresholds, match_edges


def largest_matching(predicted, truth, radius):
    """Cardinality and least total distance of a dense min-cost assignment in which no pair exceeds the radius."""
    one, two = np.argwhere(predicted), np.argwhere(truth)
    distance = np.hypot(*np.moveaxis(one[:, None] - two[None], 2, 0))
    forbidden = 1e4
    rows, columns = linear_sum_assignment(np.where(distance <= radius, distance, forbidden))
    chosen = distance[rows, columns]
    return (chosen <= radius).sum(), chosen[chosen <= radius].sum()


@pytest.mark.parametrize("seed", range(8))
def test_single_level_is_a_largest_matching_of_least_distance(seed):
    rng = np.random.default_rng(seed)
    predicted, truth = rng.random((24, 18)) < 0.2, rng.random((24, 18)) < 0.2
    radius = 2.3
    one, two = match_edges(predicted.astype(int), truth, radius / np.hypot(24, 18))
    (y1, x1), (y2, x2) = np.unravel_index(one, truth.shape), np.unravel_index(two, truth.shape)
    distance = np.hypot(y1 - y2, x1 - x2)
    assert distance.max() <= radius
    assert predicted[y1, x1].all() and truth[y2, x2].all()
    assert len(set(one)) == len(one) and len(set(two)) == len(two)
    count, total = largest_matching(predicted, truth, radius)
    assert len(one) == count
    assert distance.sum() == pytest.approx(total)


@pytest.mark.parametrize("seed", range(8))
def test_one_assignment_is_largest_at_every_threshold(seed):
    rng = np.random.default_rng(seed)
    levels = rng.integers(0, 8, (24, 18)) * (rng.random((24, 18)) < 0.4)
    truth = rng.random((24, 18)) < 0.15
    one, _ = match_edges(levels, truth, 2.3 / np.hypot(24, 18))
    for threshold in range(1, 8):
        count, _ = largest_matching(levels >= threshold, truth, 2.3) if (levels >= threshold).any() else (0, 0)
        assert (levels.reshape(-1)[one] >= threshold).sum() == count


def test_a_line_shifted_within_the_tolerance_pairs_wholly_and_beyond_it_not_at_all():
    truth = np.zeros((100, 100), bool)
    truth[20:80, 50] = True
    near, far = np.roll(truth, 1, axis=1), np.roll(truth, 2, axis=1)
    assert len(match_edges(near.astype(int), truth)[0]) == 60  # 0.0075 of the diagonal is 1.06 pixels
    assert len(match_edges(far.astype(int), truth)[0]) == 0


def test_two_predicted_pixels_do_not_share_a_partner():
    truth = np.zeros((200, 200), bool)
    truth[100, 100] = True
    levels = np.zeros((200, 200), int)
    levels[100, 99:102] = 1
    one, two = match_edges(levels, truth)
    assert one.tolist() == [100 * 200 + 100]
    assert two.tolist() == [100 * 200 + 100]


def test_maps_of_different_size_are_refused():
    with pytest.raises(ValueError, match="differ in size"):
        match_edges(np.zeros((5, 6), int), np.zeros((6, 5), bool))


def test_thresholds_are_even_and_leave_the_ends_out():
    assert np.allclose(edge_thresholds(4), [0.2, 0.4, 0.6, 0.8])
    assert edge_thresholds(99)[[0, -1]] == pytest.approx([0.01, 0.99])
    with pytest.raises(ValueError, match="at least one"):
        edge_thresholds(0)
