"""From a soft edge map to thin edges: non-maximum suppression across the edge, and thinning to one pixel."""

import cv2
import numpy as np
from scipy.ndimage import map_coordinates

# Radius of the smoothing under which an edge's direction is estimated, the factor by which a pixel may fall short of
# its neighbours across the edge and still be a ridge, and the width of the faded image border in pixels: the values of
# the structured-edges evaluation that the field uses (Dollar and Zitnick 2015)
_SMOOTHING_RADIUS = 4
_TOLERANCE = 1.01
_BORDER = 5


def suppress_non_maxima(edges):
    """Keep an edge map's ridges: pixels at least as strong as both interpolated neighbours one pixel across the edge.

    The direction across the edge comes from second derivatives of the map under a triangle filter. The outermost five
    pixels fade to zero, where derivatives are not to be trusted (Dollar and Zitnick 2015).

    Args:
        edges: float [H, W], strength in 0..1.

    Returns:
        float64 [H, W]: the strength at ridges, 0 elsewhere.
    """
    edges = np.asarray(edges, dtype=np.float64)
    height, width = edges.shape
    if min(height, width) < 2:
        raise ValueError(f"non-maximum suppression needs a map of at least 2 x 2 pixels, got {height} x {width}")
    angle = _angle_across(edges)
    rows, columns = np.mgrid[:height, :width].astype(np.float64)
    step_x, step_y = np.cos(angle), np.sin(angle)
    ridge = np.ones(edges.shape, dtype=bool)
    for sign in (-1, 1):
        neighbour = map_coordinates(edges, [rows + sign * step_y, columns + sign * step_x], order=1, mode="nearest")
        ridge &= edges * _TOLERANCE >= neighbour
    return np.where(ridge, edges, 0.0) * np.outer(_border_fade(height), _border_fade(width))


def _angle_across(edges):
    """The angle of the direction across the edge at every pixel, in [0, pi): float64 [H, W], x right, y down."""
    ramp = np.arange(1, _SMOOTHING_RADIUS + 2, dtype=np.float64)
    kernel = np.concatenate([ramp, ramp[-2::-1]])
    kernel /= kernel.sum()
    smooth = cv2.sepFilter2D(edges, cv2.CV_64F, kernel, kernel, borderType=cv2.BORDER_REFLECT)
    in_y, in_x = np.gradient(smooth)
    in_xx = np.gradient(in_x, axis=1)
    in_yy, in_xy = np.gradient(in_y)
    return np.mod(np.arctan(in_yy * np.sign(-in_xy) / (in_xx + 1e-5)), np.pi)


def _border_fade(length):
    fade = np.ones(length)
    border = min(_BORDER, length // 2)
    fade[:border] = fade[length - border :][::-1] = np.arange(border) / _BORDER
    return fade


def thin(mask):
    """Thin a binary map to lines one pixel wide that are connected as the map was (Guo and Hall 1989, two passes).

    Args:
        mask: bool [H, W].

    Returns:
        bool [H, W], a subset of the mask.
    """
    image = np.ascontiguousarray(mask, dtype=np.uint8)
    while True:
        before = np.count_nonzero(image)
        for deletable in _DELETABLE:
            code = cv2.filter2D(image, cv2.CV_16S, _NEIGHBOUR_BITS, borderType=cv2.BORDER_CONSTANT)
            image &= ~deletable[code]
        if np.count_nonzero(image) == before:
            return image.astype(bool)


# A pixel's eight neighbours as bits: north, north-east, east, ... clockwise
_NEIGHBOUR_BITS = np.array([[128, 1, 2], [64, 0, 4], [32, 16, 8]], dtype=np.float32)


def _deletion_tables():
    """For both passes, whether a pixel with this neighbourhood (0..255) may go: two uint8 [256] tables of 0 and 1."""
    bits = (np.arange(256)[:, None] >> np.arange(8)) & 1
    north, north_east, east, south_east, south, south_west, west, north_west = bits.astype(bool).T
    components = (
        (~north & (north_east | east)).astype(int)
        + (~east & (south_east | south))
        + (~south & (south_west | west))
        + (~west & (north_west | north))
    )
    pairs_one = (north_west | north).astype(int) + (north_east | east) + (south_east | south) + (south_west | west)
    pairs_two = (north | north_east).astype(int) + (east | south_east) + (south | south_west) + (west | north_west)
    thickness = np.minimum(pairs_one, pairs_two)
    simple = (components == 1) & (thickness >= 2) & (thickness <= 3)
    first = simple & ~((north | north_east | ~south_east) & east)
    second = simple & ~((south | south_west | ~north_west) & west)
    return first.astype(np.uint8), second.astype(np.uint8)


_DELETABLE = _deletion_tables()
