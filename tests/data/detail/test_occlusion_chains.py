"""Occlusion chains: where edges lie and which way they point, and the chains of a map."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.interpolate import CubicSpline

from maskrcnn_benchmark.data.detail.occlusion_chains import chains_to_edges, maps_to_chains
from maskrcnn_benchmark.data.mini_detail.edges import occlusion_chains
from maskrcnn_benchmark.structures.dense_map import OcclusionMap


def drawn(chains, labels, size):
    """(edges [H, W], direction [2, H, W]) of the map that a data set makes of chains."""
    found = OcclusionMap.of_edges(*map(torch.from_numpy, chains_to_edges(chains, labels, size)), size)
    return found.edges.numpy(), found.direction.numpy()


def angle(direction, y, x):
    return np.arctan2(direction[0, y, x], direction[1, y, x])


def chain(points, height):
    return [x * height + y for x, y in points]


def test_straight_chains_point_along_themselves_and_label_2_reverses_them():
    right, down = chain([(x, 3) for x in range(2, 9)], 10), chain([(15, y) for y in range(1, 9)], 10)
    edges, direction = drawn([right, down], [1, 2], (20, 10))
    assert sorted(zip(*np.nonzero(edges))) == sorted([(3, x) for x in range(2, 9)] + [(y, 15) for y in range(1, 9)])
    for x in range(2, 9):
        assert direction[:, 3, x].tolist() == [0, 1]  # sin, cos of 0: to the right, occluder above, on the left hand
    for y in range(1, 9):
        assert direction[:, y, 15].tolist() == [-1, 0]  # reversed: upwards
    assert not direction[:, edges == 0].any()


def test_direction_of_a_digital_circle_is_smooth():
    turn = np.linspace(0, 2 * np.pi, 2000, endpoint=False)
    points = np.unique(
        np.round(np.stack([40 + 30 * np.cos(turn), 40 + 30 * np.sin(turn)], 1)), axis=0, return_index=True
    )
    order = np.sort(points[1])
    path = np.round(np.stack([40 + 30 * np.cos(turn), 40 + 30 * np.sin(turn)], 1))[order].astype(int)
    edges, direction = drawn([chain(path.tolist(), 81)], [1], (81, 81))
    inner = path[5:-5]
    expected = np.arctan2(inner[:, 1] - 40, inner[:, 0] - 40) + np.pi / 2  # tangent of increasing angle, y down
    error = angle(direction, inner[:, 1], inner[:, 0]) - expected
    error = np.degrees(np.abs((error + np.pi) % (2 * np.pi) - np.pi))
    assert edges.sum() == len(path)
    assert error.mean() < 6 and error.max() < 20


def test_tangents_do_not_reach_into_the_next_chain():
    first, second = chain([(x, 0) for x in range(4)], 10), chain([(3, y) for y in range(2, 8)], 10)
    _, direction = drawn([first, second], [1, 1], (10, 10))
    assert direction[:, 0, 3].tolist() == [0, 1]
    assert direction[:, 2, 3].tolist() == [1, 0]


def test_single_pixel_and_empty_chains_have_no_direction():
    edges, direction = drawn([[12], []], [1, 2], (10, 10))
    assert edges.sum() == 1 and edges[2, 1] == 1
    assert not direction.any()


def test_no_chains_give_an_empty_map():
    edges, direction = drawn([], [], (6, 4))
    assert edges.shape == (4, 6) and direction.shape == (2, 4, 6) and not edges.any()


def test_pixel_outside_or_unknown_label_is_an_error():
    with pytest.raises(ValueError, match="pixel 24 lies outside"):
        drawn([[23, 24]], [1], (6, 4))
    with pytest.raises(ValueError, match="labels of 1 or 2"):
        drawn([[1, 2]], [3], (6, 4))


def random_curve(rng, size):
    """One smooth curve through random points, where it lies within the image: list of chains."""
    width, height = size
    knots = rng.uniform(0, 1, (rng.integers(3, 6), 2)) * [width - 1, height - 1]
    points = np.rint(CubicSpline(np.arange(len(knots)), knots)(np.linspace(0, len(knots) - 1, 3000))).astype(int)
    points = points[((points >= 0) & (points < size)).all(axis=1)]
    points = points[np.append(True, (points[1:] != points[:-1]).any(axis=1))]
    ends = np.flatnonzero(np.abs(np.diff(points, axis=0)).max(axis=1) > 1) + 1
    return [piece[:, 0] * height + piece[:, 1] for piece in np.split(points, ends)]


def there_and_back(chains, labels, size):
    """Cosines between the directions of drawn chains and of those of their map, where both have one; how many lack."""
    edges, direction = drawn(chains, labels, size)
    again, turned = drawn(*maps_to_chains(edges, direction), size)
    assert np.array_equal(edges, again)
    has, has_again = direction.any(axis=0), turned.any(axis=0)
    return (direction * turned).sum(axis=0)[has & has_again], (has & ~has_again).sum()


def test_chains_of_random_curves_come_back_from_their_map():
    rng = np.random.default_rng(0)
    cosines, lacking = [], 0
    for _ in range(25):
        chains = random_curve(rng, (160, 120)) + random_curve(rng, (160, 120))
        found, lost = there_and_back(chains, rng.integers(1, 3, len(chains)), (160, 120))
        cosines, lacking = [*cosines, found], lacking + lost
    cosines = np.concatenate(cosines)
    # Where curves cross or touch with opposite sides the map contradicts itself
    assert lacking <= 0.001 * len(cosines)
    assert (cosines >= 0).mean() > 0.99
    assert np.degrees(np.arccos(np.clip(cosines, -1, 1))).mean() < 5


def test_chains_of_things_that_hide_each_other_come_back_from_their_map():
    rng = np.random.default_rng(0)
    cosines = []
    for _ in range(10):
        regions = np.zeros((150, 200), np.int32)
        for number in range(1, 9):
            centre, axes = rng.integers((0, 0), (200, 150)), rng.integers(8, 50, 2)
            cv2.ellipse(regions, centre.tolist(), axes.tolist(), rng.uniform(0, 180), 0, 360, number, -1)
        chains = [points[:, 0] * 150 + points[:, 1] for points in occlusion_chains(regions, np.arange(9))]
        cosines.append(there_and_back(chains, [1] * len(chains), (200, 150))[0])
    cosines = np.concatenate(cosines)
    assert (cosines >= 0).mean() > 0.995
    assert np.degrees(np.arccos(np.clip(cosines, -1, 1))).mean() < 2


@settings(deadline=None)
@given(
    arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=14), elements=st.integers(0, 1)),
    st.integers(0, 2**32 - 1),
)
def test_any_map_has_chains_of_neighbours_that_draw_its_edges(edges, seed):
    height, width = edges.shape
    chains, labels = maps_to_chains(edges, np.random.default_rng(seed).normal(size=(2, height, width)))
    assert np.array_equal(drawn(chains, labels, (width, height))[0], edges)
    assert len(np.unique(np.concatenate([[], *chains]))) == edges.sum()
    for pixels in chains:
        assert len(set(pixels.tolist())) == len(pixels)
        columns, rows = np.divmod(pixels, height)
        assert np.maximum(np.abs(np.diff(columns)), np.abs(np.diff(rows))).tolist() == [1] * (len(pixels) - 1)


@pytest.mark.parametrize("label", [1, 2])
def test_a_plain_line_is_one_chain_with_its_label(label):
    line = chain([(x, 3) for x in range(2, 9)], 10)
    edges, direction = drawn([line], [label], (20, 10))
    (pixels,), (found,) = maps_to_chains(edges, direction)
    assert (pixels.tolist(), found) in [(line, label), (line[::-1], 3 - label)]


def test_a_closed_contour_is_one_chain():
    ring = [(2, 2), (3, 2), (4, 2), (5, 3), (5, 4), (5, 5), (4, 6), (3, 6), (2, 6), (1, 5), (1, 4), (1, 3)]
    edges, direction = drawn([chain(ring, 10)], [1], (10, 10))
    chains, _ = maps_to_chains(edges, direction)
    assert len(chains) == 1 and sorted(chains[0]) == sorted(chain(ring, 10))


def test_a_straight_line_goes_through_where_another_ends_at_it():
    bar, stem = chain([(x, 8) for x in range(3, 17)], 20), chain([(9, y) for y in range(9, 18)], 20)
    chains, _ = maps_to_chains(*drawn([bar, stem], [1, 1], (20, 20)))
    assert sorted(sorted(pixels.tolist()) for pixels in chains) == [sorted(bar), sorted(stem)]


def test_a_chain_ends_where_the_occluder_changes_sides():
    edges = np.zeros((10, 20), np.uint8)
    edges[4, 2:16] = 1
    direction = np.zeros((2, 10, 20), np.float32)
    direction[1, 4, 2:9], direction[1, 4, 9:16] = 1, -1
    chains, labels = maps_to_chains(edges, direction)
    assert len(chains) == 2 and set(labels.tolist()) == {1, 2}
    again, turned = drawn(chains, labels, (20, 10))
    assert np.array_equal(turned, direction) and np.array_equal(again, edges)
    # A single pixel that contradicts both neighbours is taken for noise
    direction[1, 4, 4] = -1
    assert len(maps_to_chains(edges, direction)[0]) == 2


def test_a_map_without_edges_has_no_chains_and_directions_must_fit():
    chains, labels = maps_to_chains(np.zeros((4, 6), np.uint8), np.zeros((2, 4, 6)))
    assert chains == [] and len(labels) == 0
    with pytest.raises(ValueError, match=r"directions of a \[4, 6\] map"):
        maps_to_chains(np.zeros((4, 6), np.uint8), np.zeros((2, 6, 4)))
