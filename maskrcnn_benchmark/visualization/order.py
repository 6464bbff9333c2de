"""Arrows between objects, from those in front to those behind."""

from collections.abc import Sequence

import cv2
import numpy as np

from maskrcnn_benchmark.structures.occlusion_order import OcclusionOrder
from maskrcnn_benchmark.visualization.canvas import Canvas, enlarge_mask
from maskrcnn_benchmark.visualization.objects import mask_spots
from maskrcnn_benchmark.visualization.palette import INK, PAPER

# Shares of the image's diagonal
_NEAR = 0.1  # how far around the place where two objects meet their middles decide on the way of an arrow
_STRONG = 0.1  # votes from which an arrow is as thick as any


def paint_order(
    canvas: Canvas,
    order: OcclusionOrder,
    words: Sequence[str],
    colours: Sequence[tuple[int, int, int]],
    strength: float,
) -> int:
    """Paint masks with their outlines, and where two meet an arrow from the one in front to the one behind.

    The more votes the thicker it is; objects in front of each other have an arrow with two heads. Two masks that are
    one object found twice have none.

    Args:
        canvas: painted in place.
        order: of the canvas's image.
        words: a name for each of the n objects, on its top; () names none.
        colours: of each object.
        strength: of the tint of masks, 0..1.

    Returns:
        n.
    """
    masks = [enlarge_mask(mask, canvas.size) for mask in order.masks]
    for i in sorted(range(len(order)), key=lambda i: -np.count_nonzero(masks[i])):  # the largest first
        canvas.tint(masks[i], colours[i], strength)
        canvas.outline(masks[i], colours[i])
    for word, mask, colour in zip(words, masks, colours):
        if mask.any():
            canvas.label(word, mask_spots(mask, canvas), colour)
    paint_arrows(canvas, order)
    return len(order)


def paint_arrows(canvas: Canvas, order: OcclusionOrder) -> None:
    """Where two objects meet, an arrow from the one in front to the one behind, as `paint_order` says."""
    diagonal = float(np.hypot(*order.size))
    for i, j in np.argwhere(order.in_front).tolist():
        both = bool(order.in_front[j, i])
        if (both and i > j) or _are_one(order.masks[i], order.masks[j]):
            continue
        contact = contact_of(order.masks[i], order.masks[j], _NEAR * diagonal)
        if contact is None:
            continue
        votes = max(order.votes[i, j], order.votes[j, i] if both else 0.0)
        weight = 0.4 + 0.6 * min(1.0, votes / (_STRONG * diagonal))
        _arrow(canvas, canvas.place(contact[0]), contact[1], weight, both)


def contact_of(front: np.ndarray, behind: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray] | None:
    """Where two objects meet, and which way it goes there from one to the other.

    Args:
        front, behind: bool [H, W], pixels of the objects; they may overlap or lie apart.
        radius: of the neighbourhood that decides on the way, in pixels.

    Returns:
        (float64 [2], x and y of a point between them; float64 [2], the unit vector from `front` to `behind`); None
        where one has no pixel.
    """
    if not front.any() or not behind.any():
        return None
    first, second = (cv2.distanceTransform((~mask).view(np.uint8), cv2.DIST_L2, 3) for mask in (front, behind))
    distance = first + second
    points = np.argwhere(distance <= distance.min() + 1.5)
    point = points[np.argmin(((points - points.mean(axis=0)) ** 2).sum(axis=1))][::-1].astype(np.float64)
    means = []
    for mask, other in ((front, behind), (behind, front)):
        pixels = np.argwhere(mask & ~other if (mask & ~other).any() else mask)[:, ::-1]
        far = np.hypot(*(pixels - point).T)
        means.append(pixels[far <= max(radius, far.min() + 1)].mean(axis=0))
    way = means[1] - means[0]
    length = np.hypot(*way)
    return point, way / length if length > 1e-6 else np.array([1.0, 0.0])


def _are_one(mask, other):
    """Whether two masks share more than half of the smaller one."""
    return 2 * np.count_nonzero(mask & other) > min(np.count_nonzero(mask), np.count_nonzero(other))


def arrow_sample(size: int) -> np.ndarray:
    """An arrow to the right on white, for legends: uint8 [size, size, 3]."""
    picture = np.full((size, size, 3), PAPER, np.uint8)
    shape = _shape(size * 0.42, size * 0.09, size * 0.26, False)
    cv2.fillPoly(picture, [np.rint((shape + size / 2) * 16).astype(np.int32)], INK, cv2.LINE_AA, shift=4)
    return picture


def _arrow(canvas, middle, way, weight, both):
    shape = _shape(canvas.text_size * 1.15, canvas.text_size * 0.2 * weight, canvas.text_size * 0.5 * weight, both)
    points = np.asarray(middle) + shape @ np.array([way, (-way[1], way[0])])
    canvas.polygon(points, PAPER)
    canvas.polyline(points, PAPER, max(1, canvas.line), closed=True)
    canvas.polygon(points, INK)
    canvas.keep_free((*points.min(axis=0), *points.max(axis=0)))


def _shape(half, shaft, head, both):
    """Corners (along, across) of an arrow of length 2 half."""
    neck = half - 1.6 * head
    end = [(half, 0.0), (neck, head), (neck, shaft)]
    start = [(-neck, shaft), (-neck, head), (-half, 0.0)] if both else [(-half, shaft), (-half, 0.0)]
    upper = end + start
    lower = [(along, -across) for along, across in reversed(upper) if across]
    return np.array(upper + lower)
