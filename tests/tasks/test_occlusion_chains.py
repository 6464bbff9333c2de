"""Occlusion chains: where edges lie and which way they point."""

import numpy as np
import pytest
import torch

from maskrcnn_benchmark.structures.dense_map import OcclusionMap
from maskrcnn_benchmark.tasks.occlusion import chains_to_edges


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
