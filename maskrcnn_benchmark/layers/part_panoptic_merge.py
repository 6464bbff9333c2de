"""Parts within panoptic segments, by part maps of their objects or of the image."""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import torch

from maskrcnn_benchmark.layers.mask_paste import integer_boxes, part_labels_at

NO_PART, UNKNOWN = 0, 255
Window = tuple[int, int, int, int]


def merge_object_parts(
    ids: np.ndarray,
    objects: Sequence[int] | np.ndarray,
    labels: Sequence[Sequence[int]],
    parts: torch.Tensor,
    boxes: torch.Tensor,
    fill: bool = False,
) -> np.ndarray:
    """The parts of each segment by the part map of its own object, whatever lies above that object elsewhere.

    A pixel whose most probable label is that of a part of the segment's class keeps it; any other, and one beyond the
    object's box, is `UNKNOWN` (de Geus et al., Part-aware Panoptic Segmentation, CVPR 2021).

    Args:
        ids: int32 [H, W], k of the k-th of S segments, counted from 1; 0 is void.
        objects: S numbers, the row of the object of each segment, negative without one.
        labels: of each segment the labels of the parts of its class, ascending; none of a class without parts.
        parts: float [N, P + 1, R, R], probabilities of the part labels in the box of each object; 0 is background.
        boxes: float [N, 4], xyxy, inclusive pixels of the image.
        fill: give every pixel the most probable part of its class, beyond the box that of the nearest pixel in it.

    Returns:
        uint8 [H, W]: labels and `UNKNOWN` in segments of classes with parts, `NO_PART` elsewhere.
    """
    corners = integer_boxes(boxes, 1).tolist()

    def labels_of(row: int, window: Window) -> np.ndarray | None:
        k, own = int(objects[row]), list(labels[row])
        if k < 0:
            return None
        if fill:
            places = part_labels_at(parts[k, own], corners[k], window)
            return np.array(own, np.uint8)[places.cpu().numpy()]
        found = part_labels_at(parts[k], corners[k], window).cpu().numpy()
        return np.where(_inside(corners[k], window), found, NO_PART)

    return _merge(ids, labels, labels_of)


def merge_part_map(
    ids: np.ndarray, labels: Sequence[Sequence[int]], part_map: torch.Tensor, fill: bool = False
) -> np.ndarray:
    """The parts of each segment by one part map of the image.

    Args:
        ids, labels: as `merge_object_parts` takes them.
        part_map: uint8 [H, W], labels, 0 is background; or, to `fill`, float [P + 1, H, W], their scores.
        fill: give every pixel the best part of its class.

    Returns:
        as `merge_object_parts`.
    """

    def labels_of(row: int, window: Window) -> np.ndarray:
        x, y, width, height = window
        there, own = part_map[..., y : y + height, x : x + width], list(labels[row])
        return np.array(own, np.uint8)[there[own].argmax(dim=0).cpu().numpy()] if fill else there.cpu().numpy()

    return _merge(ids, labels, labels_of)


def _merge(
    ids: np.ndarray, labels: Sequence[Sequence[int]], labels_of: Callable[[int, Window], np.ndarray | None]
) -> np.ndarray:
    """Parts by a function from (row of a segment, window x, y, width, height) to uint8 [height, width] or None."""
    parts = np.full(ids.shape, NO_PART, np.uint8)
    for row, own in enumerate(labels):
        if not len(own):
            continue
        here = ids == row + 1
        x, y, width, height = cv2.boundingRect(here.view(np.uint8))
        if not width:
            continue
        inside = slice(y, y + height), slice(x, x + width)
        is_own = np.zeros(256, bool)
        is_own[list(own)] = True
        found = labels_of(row, (x, y, width, height))
        known = UNKNOWN if found is None else np.where(is_own[found], found, UNKNOWN)
        parts[inside] = np.where(here[inside], known, parts[inside])
    return parts


def _inside(corners: Sequence[int], window: Window) -> np.ndarray:
    """bool [height, width], which pixels of a window lie in a box of (x1, y1, x2, y2), the last included."""
    x, y, width, height = window
    columns, rows = np.arange(x, x + width), np.arange(y, y + height)
    left, top, right, bottom = corners
    return ((rows >= top) & (rows <= bottom))[:, None] & ((columns >= left) & (columns <= right))
