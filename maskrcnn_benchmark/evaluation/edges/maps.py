"""From a soft edge map to ridges (non-maximum suppression across the edge) and to the thresholds a pixel reaches."""

import cv2
import numpy as np

from maskrcnn_benchmark.evaluation.protocols import EdgeProtocol
from maskrcnn_benchmark.utils.compiled import compiled

# Radius of the smoothing under which an edge's direction is estimated, the factor by which a pixel may fall short of
# its neighbours across the edge and still be a ridge, and the width of the faded image border in pixels: the values of
# the structured-edges evaluation that the field uses (Dollar and Zitnick 2015)
_SMOOTHING_RADIUS = 4
_TOLERANCE = 1.01
_BORDER = 5


def edge_thresholds(count: int) -> np.ndarray:
    """The thresholds of the curves: k / (count + 1) for k = 1..count, float64 [count]."""
    return np.arange(1, count + 1) / (count + 1)


def edge_levels(strength: np.ndarray, protocol: EdgeProtocol) -> np.ndarray:
    """How many of a protocol's ascending thresholds each pixel of an edge map reaches, after reduction to ridges.

    A map with a single positive strength, a yes/no map, has no ridges to look for: it stays as it is.

    Args:
        strength: float [H, W] in 0..1.
        protocol: the `EdgeProtocol`.

    Returns:
        int64 [H, W] in 0..K.
    """
    positive = strength[strength > 0]
    if protocol.suppress_non_maxima and len(positive) and positive.min() < positive.max():
        strength = suppress_non_maxima(strength)
    return np.searchsorted(edge_thresholds(protocol.thresholds), strength.reshape(-1), side="right").reshape(
        strength.shape
    )


def suppress_non_maxima(edges: np.ndarray) -> np.ndarray:
    """Keep an edge map's ridges: pixels at least as strong as both interpolated neighbours one pixel across the edge.

    The direction across the edge comes from second derivatives of the map under a triangle filter. The outermost five
    pixels fade to zero, where derivatives are not to be trusted (Dollar and Zitnick 2015). A mixed derivative of
    exactly 0 counts as negative; the published program takes its sign as 0, and so goes along an exactly level line.

    Args:
        edges: float [H, W], strength in 0..1.

    Returns:
        float64 [H, W]: the strength at ridges, 0 elsewhere.
    """
    edges = np.ascontiguousarray(edges, dtype=np.float64)
    height, width = edges.shape
    if min(height, width) < 2:
        raise ValueError(f"non-maximum suppression needs a map of at least 2 x 2 pixels, got {height} x {width}")
    ramp = np.arange(1, _SMOOTHING_RADIUS + 2, dtype=np.float64)
    kernel = np.concatenate([ramp, ramp[-2::-1]])
    kernel /= kernel.sum()
    smooth = cv2.sepFilter2D(edges, cv2.CV_64F, kernel, kernel, borderType=cv2.BORDER_REFLECT)
    ridges = np.zeros_like(edges)
    in_y, in_x = _gradients(smooth)
    _keep_ridges(edges, in_y, in_x, ridges)
    return ridges * np.outer(_border_fade(height), _border_fade(width))


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
def _keep_ridges(edges, in_y, in_x, ridges):
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
            enough = edges[y, x] * _TOLERANCE
            if enough >= _sample(edges, y - step_y, x - step_x) and enough >= _sample(edges, y + step_y, x + step_x):
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
