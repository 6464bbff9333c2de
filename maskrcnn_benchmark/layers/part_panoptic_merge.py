"""Parts within panoptic segments: the merge of a panoptic map with part maps of objects or of the image."""

from collections.abc import Callable

import cv2
import numpy as np
import torch

from maskrcnn_benchmark.layers.mask_paste import integer_boxes, part_labels_at
from maskrcnn_benchmark.structures.panoptic_map import NO_OBJECT, PanopticMap
from maskrcnn_benchmark.structures.part_panoptic_map import NO_PART, UNKNOWN, PartClasses, PartPanopticMap

Window = tuple[int, int, int, int]


def merge_object_parts(
    segments: PanopticMap, parts: torch.Tensor, boxes: torch.Tensor, classes: PartClasses, fill: bool = False
) -> PartPanopticMap:
    """The parts of each segment by the part map of its own object, whatever lies above that object elsewhere.

    A pixel whose most probable label is that of a part of the segment's class keeps it; any other, and one beyond the
    object's box, is `UNKNOWN` (de Geus et al., Part-aware Panoptic Segmentation, CVPR 2021).

    Args:
        segments: those of things name rows of the objects.
        parts: float [N, P + 1, R, R], probabilities of the part labels in the box of each object; 0 is background.
        boxes: float [N, 4], xyxy, inclusive pixels of the image of the segments.
        classes: which parts a class has.
        fill: give every pixel the most probable part of its class, beyond the box that of the nearest pixel in it.
    """
    corners = integer_boxes(boxes, 1).tolist()

    def labels_of(k: int, label: int, window: Window) -> np.ndarray | None:
        if k == NO_OBJECT:
            return None
        own = list(classes.labels[label])
        if fill:
            places = part_labels_at(parts[k, own], corners[k], window)
            return np.array(own, np.uint8)[places.cpu().numpy()]
        found = part_labels_at(parts[k], corners[k], window).cpu().numpy()
        return np.where(_inside(corners[k], window), found, NO_PART)

    return _merge(segments, labels_of, classes)


def merge_part_map(
    segments: PanopticMap, part_map: torch.Tensor, classes: PartClasses, fill: bool = False
) -> PartPanopticMap:
    """The parts of each segment by one part map of the image; as `merge_object_parts`.

    Args:
        segments: of the image.
        part_map: uint8 [H, W], labels, 0 is background; or, to `fill`, float [P + 1, H, W], their scores.
        classes: which parts a class has.
        fill: give every pixel the best part of its class.
    """

    def labels_of(k: int, label: int, window: Window) -> np.ndarray:
        x, y, width, height = window
        there = part_map[..., y : y + height, x : x + width]
        if not fill:
            return there.cpu().numpy()
        own = list(classes.labels[label])
        return np.array(own, np.uint8)[there[own].argmax(dim=0).cpu().numpy()]

    return _merge(segments, labels_of, classes)


def _merge(
    segments: PanopticMap, labels_of: Callable[[int, int, Window], np.ndarray | None], classes: PartClasses
) -> PartPanopticMap:
    """Parts by a function from (object, class, window x, y, width, height) to labels uint8 [height, width], or None."""
    parts = np.full(segments.ids.shape, NO_PART, np.uint8)
    for number, (label, k) in enumerate(zip(segments.classes.tolist(), segments.objects.tolist()), 1):
        if not classes.has_parts[label]:
            continue
        here = segments.ids == number
        x, y, width, height = window = cv2.boundingRect(here.view(np.uint8))
        inside = slice(y, y + height), slice(x, x + width)
        found = labels_of(k, label, window)  # type: ignore[arg-type]
        known = UNKNOWN if found is None else np.where(classes.owned[label][found], found, UNKNOWN)
        parts[inside] = np.where(here[inside], known, parts[inside])
    return PartPanopticMap(segments, parts)


def _inside(corners: list[int], window: Window) -> np.ndarray:
    """bool [height, width], which pixels of a window lie in a box of (x1, y1, x2, y2), the last included."""
    x, y, width, height = window
    columns, rows = np.arange(x, x + width), np.arange(y, y + height)
    left, top, right, bottom = corners
    return ((rows >= top) & (rows <= bottom))[:, None] & ((columns >= left) & (columns <= right))
