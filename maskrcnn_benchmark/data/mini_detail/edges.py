"""Boundaries of a map of regions, and directed occlusion chains along them, from the regions' known depth order."""

from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np

_ALL, _BUT_FIRST, _BUT_LAST = slice(None), slice(1, None), slice(None, -1)
# Windows of a map in pairs: the pixels with a neighbour to the right, below, to the left, above; and those neighbours.
_NEIGHBOURS = (
    ((_ALL, _BUT_LAST), (_ALL, _BUT_FIRST)),
    ((_BUT_LAST, _ALL), (_BUT_FIRST, _ALL)),
    ((_ALL, _BUT_FIRST), (_ALL, _BUT_LAST)),
    ((_BUT_FIRST, _ALL), (_BUT_LAST, _ALL)),
)


def boundary_map(regions: np.ndarray, depths: Sequence[float] | np.ndarray) -> np.ndarray:
    """The one-pixel-wide boundary between regions.

    A pixel lies on it when a 4-neighbour belongs to a region behind its own; so each boundary is drawn once, on its
    nearer side. Between regions of equal depth the one with the larger number counts as the nearer.

    Args:
        regions: int [H, W], a region's number at each pixel.
        depths: [R], each region's depth, larger is nearer.

    Returns:
        uint8 [H, W], 0 or 1.
    """
    order = np.lexsort((np.arange(len(depths)), np.asarray(depths)))
    rank = np.empty(len(depths), np.int32)
    rank[order] = np.arange(len(depths))
    ranks = rank[regions]
    edges = np.zeros(regions.shape, np.uint8)
    for here, there in _NEIGHBOURS:
        edges[here] |= ranks[there] < ranks[here]
    return edges


def _occluded_neighbour(regions, depths):
    """The number plus one of the farthest 4-neighbour's region that is farther than the own one, or 0: int32 [H, W].

    Where regions of equal depth compete the larger number is taken.
    """
    distances = np.asarray(depths, np.float32)[regions]
    found = np.zeros(regions.shape, np.int32)
    farthest = distances.copy()
    for here, there in _NEIGHBOURS:
        distance, region = distances[there], regions[there] + 1
        better = (distance < farthest[here]) | (
            (distance == farthest[here]) & (found[here] > 0) & (region > found[here])
        )
        np.copyto(found[here], region, where=better, casting="unsafe")
        np.copyto(farthest[here], distance, where=better)
    return found


def _visited_twice(contour, width):
    """Which pixels of a contour [N, 2] (x, y) the walk comes past more than once: bool [N]."""
    _, inverse, visits = np.unique(contour[:, 1] * width + contour[:, 0], return_inverse=True, return_counts=True)
    return visits[inverse] > 1


def _contour_chains(contour, occluded, shortest):
    """The pieces of one closed contour [N, 2] (x, y) along which one farther region is occluded."""
    labels = occluded[contour[:, 1], contour[:, 0]]
    if not labels.any():
        return []
    # A strip one pixel wide is walked down and up again: it has no occluder on either side, so no direction.
    labels[_visited_twice(contour, occluded.shape[1])] = 0
    cuts = np.flatnonzero(np.diff(labels)) + 1
    if len(cuts) and labels[0] == labels[-1]:  # no chain is cut just because the walk happened to begin there
        contour, labels = (np.concatenate((array[cuts[0] :], array[: cuts[0]])) for array in (contour, labels))
        cuts = cuts[1:] - cuts[0]
    edges = [0, *cuts.tolist(), len(labels)]
    return [contour[a:b] for a, b in pairwise(edges) if b - a >= shortest and labels[a]]


def occlusion_chains(regions: np.ndarray, depths: Sequence[float] | np.ndarray, shortest: int = 3) -> list[np.ndarray]:
    """Ordered chains of boundary pixels where a nearer region occludes a farther one.

    Chains lie on `boundary_map`'s pixels (the occluder's side), are 8-connected, and end where the pair of regions
    changes.

    Args:
        regions: int [H, W], a region's number at each pixel.
        depths: [R], each region's depth, larger is nearer; between equal depths nothing is occluded.
        shortest: chains of fewer pixels are left out.

    Returns:
        list of int [N, 2] arrays of (x, y); walking along each, the occluder is on the LEFT (as seen on the screen).
    """
    occluded = _occluded_neighbour(regions, depths)
    chains = []
    for number in np.unique(regions[occluded > 0]).tolist():
        mask = (regions == number).view(np.uint8)
        # OpenCV walks outer borders counter-clockwise on the screen and holes clockwise: the region is on the left.
        contours, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        for contour in contours:
            chains += _contour_chains(contour[:, 0], occluded, shortest)
    return chains
