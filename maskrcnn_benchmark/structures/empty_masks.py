"""Which segmentations of COCO's kind enclose nothing: their object has a box, and its mask is not annotated."""

from collections.abc import Sequence
from typing import Any

_TINY = 1e-6  # of a triangle, twice its area in pixels: one that is larger is no matter of rounding
_FLAT = 1e-9  # of a polygon's squared extent: what rounding makes of points on a line


def encloses_nothing(segmentation: Any, size: Sequence[int] | None = None) -> bool:
    """Whether a segmentation has no extent: no points, fewer than three, all on a line or, a run-length code, no pixel.

    Args:
        segmentation: list of polygons [x, y, x, y, ...], or {"size", "counts": list, str or bytes}. What is neither
            encloses something, for it is another kind of fault.
        size: (width, height) of the image; polygons wholly outside of it enclose nothing of it, either.
    """
    try:
        if isinstance(segmentation, dict):
            return not segmentation or _has_no_pixel(segmentation["counts"], segmentation["size"])
        if not isinstance(segmentation, list):
            return False
        for polygon in segmentation:
            if not _is_flat(polygon) and (size is None or not _is_outside(polygon, size)):
                return False
        return True
    except (TypeError, KeyError, ValueError, IndexError, OverflowError):
        return False


def _is_flat(polygon: Sequence[float]) -> bool:
    if len(polygon) < 6:
        return True
    left, top = polygon[0], polygon[1]
    second = len(polygon) // 6 * 2  # of three points that lie apart: those of nearly every polygon make a triangle
    x, y = polygon[second], polygon[second + 1]
    u, v = polygon[2 * second], polygon[2 * second + 1]
    if abs((x - left) * (v - top) - (y - top) * (u - left)) > _TINY:
        return False
    points = [(x - left, y - top) for x, y in zip(polygon[::2], polygon[1::2])]
    x, y = max(points, key=lambda point: point[0] ** 2 + point[1] ** 2)
    return all(abs(x * v - y * u) <= _FLAT * (x * x + y * y) for u, v in points)


def _is_outside(polygon: Sequence[float], size: Sequence[int]) -> bool:
    width, height = size
    if 0 < polygon[0] < width and 0 < polygon[1] < height:
        return False
    xs, ys = polygon[::2], polygon[1::2]
    return max(xs) <= 0 or max(ys) <= 0 or min(xs) >= width or min(ys) >= height


def _has_no_pixel(counts: Any, size: Sequence[int]) -> bool:
    """Whether a run-length code is sound and all background: its first run is the image, the others are empty."""
    pixels = size[0] * size[1]
    if isinstance(counts, list):
        return sum(counts) == pixels and not any(counts[1::2])
    text = counts.encode() if isinstance(counts, str) else counts
    number, shift = 0, 0
    for place, character in enumerate(text[:7]):  # seven groups of five bits: more than an image has pixels
        number |= ((character - 48) & 31) << shift
        shift += 5
        if not (character - 48) & 32:
            return number == pixels and not text[place + 1 :].strip(b"0")
    return False
