"""From a soft edge map to ridges (non-maximum suppression across the edge) and to the thresholds a pixel reaches."""

from typing import Literal

import cv2
import numpy as np

from maskrcnn_benchmark.evaluation.protocols import EdgeProtocol
from maskrcnn_benchmark.utils.compiled import compiled

# Radius of the smoothing under which an edge's direction is estimated, the factor by which a pixel may fall short of
# its neighbours across the edge and still be a ridge, and the width of the faded image border in pixels: the values of
# the structured-edges evaluation that the field uses (Dollar and Zitnick 2015), under every protocol
_SMOOTHING_RADIUS = 4
_TOLERANCE = 1.01
_BORDER = 5


def edge_levels(strength: np.ndarray, protocol: EdgeProtocol) -> np.ndarray:
    """How many of a protocol's ascending thresholds each pixel of an edge map reaches, after reduction to ridges.

    A map with a single positive strength, a yes/no map, has no ridges to look for: it stays as it is. The published
    programs that a protocol is named after make no such exception.

    Args:
        strength: float [H, W] in 0..1.
        protocol: the `EdgeProtocol`.

    Returns:
        int64 [H, W] in 0..K.
    """
    positive = strength[strength > 0]
    is_soft = len(positive) and (positive.min() < positive.max() or protocol.name)
    if protocol.suppress_non_maxima and is_soft:
        strength = suppress_non_maxima(strength, protocol.smoothing, protocol.reach)
    if protocol.in_bytes:
        strength = np.floor(255 * strength + 0.5) / 255
    side: Literal["left", "right"] = "left" if protocol.strict else "right"
    return np.searchsorted(protocol.values(), strength.reshape(-1), side=side).reshape(strength.shape)


def suppress_non_maxima(edges: np.ndarray, smoothing: int = 0, reach: int = 1) -> np.ndarray:
    """Keep an edge map's ridges: pixels at least as strong as the interpolated neighbours across the edge.

    The direction across the edge comes from second derivatives of the map under a triangle filter. The outermost five
    pixels fade to zero, where derivatives are not to be trusted (Dollar and Zitnick 2015). A mixed derivative of
    exactly 0 counts as negative; the published program takes its sign as 0, and so goes along an exactly level line.

    Args:
        edges: float [H, W], strength in 0..1.
        smoothing: radius of a triangle filter that the map passes through first; 0 for none.
        reach: neighbours are those at 1 to so many pixels, to either side.

    Returns:
        float64 [H, W]: the strength at ridges, 0 elsewhere.
    """
    edges = np.ascontiguousarray(edges, dtype=np.float64)
    height, width = edges.shape
    if min(height, width) < 2:
        raise ValueError(f"non-maximum suppression needs a map of at least 2 x 2 pixels, got {height} x {width}")
    if smoothing:
        edges = _triangle_filter(edges, smoothing)
    in_y, in_x = _gradients(_triangle_filter(edges, _SMOOTHING_RADIUS))
    ridges = np.zeros_like(edges)
    _keep_ridges(edges, in_y, in_x, reach, ridges)
    return ridges * np.outer(_border_fade(height), _border_fade(width))


def _triangle_filter(image, radius):
    ramp = np.arange(1, radius + 2, dtype=np.float64)
    kernel = np.concatenate([ramp, ramp[-2::-1]])
    kernel /= kernel.sum()
    return cv2.sepFilter2D(image, cv2.CV_64F, kernel, kernel, borderType=cv2.BORDER_REFLECT)


def _border_fade(length):
    fade = np.ones(length)
    border = min(_BORDER, length // 2)
    fade[:border] = fade[length - border :][::-1] = np.arange(border) / _BORDER
    return fade


@compiled
def _gradients(image):
    """First derivatives in y and in x: two float64 [H, W]."""
    in_y, in_x = np.empty_like(image), np.empty_like(image)
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            in_y[y, x] = _in_y(image, y, x)
            in_x[y, x] = _in_x(image, y, x)
    return in_y, in_x


@compiled
def _keep_ridges(edges, in_y, in_x, reach, ridges):
    """Write edges that are no weaker than their neighbours across the edge to `ridges`, float64 [H, W] of zeros."""
    for y in range(edges.shape[0]):
        for x in range(edges.shape[1]):
            if edges[y, x] <= 0:
                continue
            # The direction across the edge has the angle arctan(slope); which of its two senses does not matter
            sign = -1.0 if _in_x(in_y, y, x) > 0 else 1.0
            slope = _in_y(in_y, y, x) * sign / (_in_x(in_x, y, x) + 1e-5)
            step_x = 1 / np.sqrt(1 + slope * slope)
            step_y = slope * step_x
            enough, is_ridge, far = edges[y, x] * _TOLERANCE, True, 1
            while is_ridge and far <= reach:
                up, left = far * step_y, far * step_x
                is_ridge = enough >= _sample(edges, y - up, x - left) and enough >= _sample(edges, y + up, x + left)
                far += 1
            if is_ridge:
                ridges[y, x] = edges[y, x]


@compiled
def _in_y(image, y, x):
    """Derivative downwards: central differences, one-sided at the image's border."""
    above, below = max(y - 1, 0), min(y + 1, image.shape[0] - 1)
    return (image[below, x] - image[above, x]) / (below - above)


@compiled
def _in_x(image, y, x):
    """Derivative to the right, as `_in_y`."""
    left, right = max(x - 1, 0), min(x + 1, image.shape[1] - 1)
    return (image[y, right] - image[y, left]) / (right - left)


@compiled
def _sample(image, y, x):
    """The map between pixels by bilinear interpolation, beyond its border as on it."""
    y, x = min(max(y, 0.0), image.shape[0] - 1.0), min(max(x, 0.0), image.shape[1] - 1.0)
    top, left = min(int(y), image.shape[0] - 2), min(int(x), image.shape[1] - 2)
    y, x = y - top, x - left
    upper = image[top, left] * (1 - x) + image[top, left + 1] * x
    lower = image[top + 1, left] * (1 - x) + image[top + 1, left + 1] * x
    return upper * (1 - y) + lower * y
