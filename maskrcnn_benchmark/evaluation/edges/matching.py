"""One-to-one correspondence between predicted and annotated edge pixels, at every threshold."""

from collections.abc import Sequence

import numpy as np

from maskrcnn_benchmark.evaluation.edges.assignment import assign_in_steps
from maskrcnn_benchmark.utils.compiled import compiled

# Costs are whole numbers, in hundredths of a pixel, and a pixel that stays without a partner costs as much as this many
# pairs at the greatest distance: both as in the Berkeley benchmark (Martin et al. 2004)
COST_SCALE = 100
OUTLIER_COST = 100


def match_edges(
    pixels: np.ndarray, present: np.ndarray, ground_truth: np.ndarray, max_distance: float
) -> tuple[np.ndarray, np.ndarray]:
    """Pair predicted with annotated edge pixels, at each threshold by an assignment of its own.

    Each assignment is the one of least cost of the Berkeley benchmark: a pair costs its distance, and a pixel on either
    side that could have a partner and has none costs `OUTLIER_COST` times the greatest distance. In practice that is as
    many pairs as possible, and among these the least total distance. It is exact; the benchmark itself offers only some
    random outlier edges to its solver.

    Args:
        pixels: int64 [N], flat indices of the pixels where an edge is predicted at any threshold, each once.
        present: bool [K, N], at which thresholds (ascending) it is.
        ground_truth: bool [H, W], annotated edges.
        max_distance: greatest distance of a pair, as a fraction of the image diagonal.

    Returns:
        (near, partner): int64 [M], positions in `pixels` of those with an annotated pixel in reach, and int32 [K, M],
        the flat index of each one's partner at each threshold, -1 where it has none.
    """
    annotated = np.flatnonzero(ground_truth)
    near, starts, neighbours, squares = _candidate_pairs(pixels, annotated, ground_truth.shape, max_distance)
    distance = np.rint(COST_SCALE * np.sqrt(squares)).astype(np.int64)
    gains = 2 * outlier_cost(ground_truth.shape, max_distance) - distance
    partner = assign_in_steps(np.ascontiguousarray(present[:, near]), starts, neighbours, gains)
    return near, np.append(annotated, -1).astype(np.int32)[partner]


def outlier_cost(shape: Sequence[int], max_distance: float) -> int:
    """What a pixel without a partner costs in a map [H, W]: int, in the unit of `COST_SCALE`."""
    return int(np.ceil(COST_SCALE * OUTLIER_COST * max_distance * np.hypot(shape[0], shape[1])))


def _candidate_pairs(pixels, annotated, shape, max_distance):
    """The pairs in reach as a graph of those predicted pixels that have any, then all annotated ones.

    Returns:
        near int64 [M], positions in `pixels`; starts int64 [M + B + 1], neighbours int32 [2 E] and squared distances
        int64 [2 E], the graph in the form of `assign_in_steps`.
    """
    square = (max_distance**2) * (shape[0] ** 2 + shape[1] ** 2)
    reach = int(np.sqrt(square))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    inside = y**2 + x**2 <= square
    # Annotated pixels by place, in a frame so wide that no neighbour lies outside
    number = np.full((shape[0] + 2 * reach, shape[1] + 2 * reach), -1, np.int32)
    number[reach : shape[0] + reach, reach : shape[1] + reach].flat[annotated] = np.arange(len(annotated))
    width = number.shape[1]
    place = (pixels // shape[1] + reach) * width + pixels % shape[1] + reach
    return _build_graph(place, number.reshape(-1), (y * width + x)[inside], (y**2 + x**2)[inside], len(annotated))


@compiled
def _build_graph(place, number, offsets, squares, num_annotated):
    degree = np.zeros(len(place), np.int64)
    for i in range(len(place)):
        for offset in offsets:
            degree[i] += number[place[i] + offset] >= 0
    near = np.flatnonzero(degree)
    starts = np.zeros(len(near) + num_annotated + 1, np.int64)
    starts[1 : len(near) + 1] = degree[near]
    for i in near:
        for offset in offsets:
            if number[place[i] + offset] >= 0:
                starts[len(near) + number[place[i] + offset] + 1] += 1
    starts = starts.cumsum()
    neighbours = np.empty(starts[-1], np.int32)
    square = np.empty(starts[-1], np.int64)
    free = starts[:-1].copy()
    for p in range(len(near)):
        for k in range(len(offsets)):
            found = number[place[near[p]] + offsets[k]]
            if found >= 0:
                q = len(near) + found
                neighbours[free[p]], square[free[p]] = q, squares[k]
                neighbours[free[q]], square[free[q]] = p, squares[k]
                free[p] += 1
                free[q] += 1
    return near, starts, neighbours, square
