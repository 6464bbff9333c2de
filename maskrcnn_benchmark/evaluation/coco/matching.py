"""Which predicted objects of one image are right: COCO's pairing of predictions with annotated objects."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from pycocotools.cocoeval import Params

from maskrcnn_benchmark.evaluation.coco.rows import Objects
from maskrcnn_benchmark.utils.compiled import compiled

# Stands for "any number of detections" where COCO has a limit
UNLIMITED = int(np.iinfo(np.int32).max)


@dataclass(frozen=True, slots=True)
class ImageMatches:
    """What one image adds to average precision. Bit t of a verdict is that of the t-th threshold of overlap.

    Attributes:
        labels: int32 [D], classes of the predictions that count, ascending.
        scores: float64 [D], descending within a class.
        right: uint16 [A, D], the prediction found an object of that range of areas.
        passed: uint16 [A, D], the prediction is neither right nor wrong: it found a crowd or an object that does not
            count, or is itself out of range and found nothing.
        classes: int32 [C], classes of the image's objects, ascending.
        required: int32 [A, C], objects of each class that are to be found.
        without_area: how many of the objects the file gives no area.
    """

    labels: np.ndarray
    scores: np.ndarray
    right: np.ndarray
    passed: np.ndarray
    classes: np.ndarray
    required: np.ndarray
    without_area: int = 0


def matching_params(kind: str, protocol: str = "coco") -> Params:
    """pycocotools' parameters of an evaluation.

    Args:
        kind: "bbox", "segm" or "keypoints".
        protocol: "coco", or "detail" for one range of areas that holds all and at most 1, 10, 100 or any number of
            detections per image and class.
    """
    params = Params(iouType=kind)
    if protocol == "detail":
        params.areaRng, params.areaRngLbl = params.areaRng[:1], params.areaRngLbl[:1]
        params.maxDets = [1, 10, 100, UNLIMITED]
    return params


def match_objects(
    labels: np.ndarray, scores: np.ndarray, areas: np.ndarray, ground_truth: Objects, overlap: Callable, params: Params
) -> ImageMatches:
    """Pair an image's predictions with its annotated objects, as pycocotools does.

    Predictions of a class come in order of their scores, the first of equal ones first; each takes the free object of
    its class that it overlaps most, if by the threshold at least, objects that count before those that do not. A crowd
    is never used up.

    Args:
        labels, scores, areas: int32 [N], float64 [N], float64 [N] of the predictions.
        ground_truth: the annotated `coco_rows.Objects`.
        overlap: function of (indices of predictions [D], indices of objects [G], blocks) that returns the overlaps as
            `box_overlaps` does.
        params: pycocotools' parameters.

    Returns:
        `ImageMatches`.
    """
    order = np.lexsort((-scores, labels))
    if len(order) > params.maxDets[-1]:
        order = order[_ranks(labels[order]) < params.maxDets[-1]]
    columns = np.argsort(ground_truth.labels, kind="stable")
    classes, blocks = _blocks(labels[order], ground_truth.labels[columns])
    right, passed, required = _match(
        overlap(order, columns, blocks),
        blocks,
        areas[order],
        ground_truth.areas[columns],
        ground_truth.crowd[columns],
        ground_truth.ignored[columns],
        ground_truth.unnamed[columns],
        np.asarray(params.areaRng, np.float64),
        params.iouThrs,
    )
    annotated = blocks[:, 3] > blocks[:, 2]
    found = right, passed, classes[annotated], required[:, annotated]
    return ImageMatches(labels[order], scores[order], *found, ground_truth.without_area)


@compiled
def box_overlaps(boxes: np.ndarray, true_boxes: np.ndarray, crowd: np.ndarray, blocks: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes class by class; over the predicted box alone where the object is a crowd.

    Args:
        boxes, true_boxes: float64 [D, 4], [G, 4], x, y, width, height, in order of their classes.
        crowd: bool [G].
        blocks: int64 [C, 5], per class where its predictions start and end, its objects start and end, and its overlaps
            start.

    Returns:
        float64, the overlaps of all classes one after the other, each [predictions, objects] row by row.
    """
    overlaps = np.zeros(num_overlaps(blocks))
    place = 0
    for c in range(len(blocks)):
        for d in range(blocks[c, 0], blocks[c, 1]):
            x, y, w, h = boxes[d, 0], boxes[d, 1], boxes[d, 2], boxes[d, 3]
            for g in range(blocks[c, 2], blocks[c, 3]):
                true_x, true_y, true_w, true_h = true_boxes[g, 0], true_boxes[g, 1], true_boxes[g, 2], true_boxes[g, 3]
                width = min(x + w, true_x + true_w) - max(x, true_x)
                height = min(y + h, true_y + true_h) - max(y, true_y)
                if width > 0 and height > 0:
                    common = width * height
                    overlaps[place] = common / (w * h if crowd[g] else w * h + true_w * true_h - common)
                place += 1
    return overlaps


@compiled
def num_overlaps(blocks: np.ndarray) -> int:
    """How many pairs the classes have together."""
    return ((blocks[:, 1] - blocks[:, 0]) * (blocks[:, 3] - blocks[:, 2])).sum()


def _ranks(labels):
    """Place of each among those of its class: int64 [N], for labels in order."""
    places = np.arange(len(labels))
    return places - np.searchsorted(labels, labels, side="left")


def _blocks(labels, true_labels):
    """Classes int32 [C] of either side and their blocks int64 [C, 5], for labels in order."""
    classes = np.unique(np.concatenate([labels, true_labels]))
    blocks = np.empty((len(classes), 5), np.int64)
    for column, (values, side) in enumerate(
        ((labels, "left"), (labels, "right"), (true_labels, "left"), (true_labels, "right"))
    ):
        blocks[:, column] = np.searchsorted(values, classes, side=side)
    sizes = (blocks[:, 1] - blocks[:, 0]) * (blocks[:, 3] - blocks[:, 2])
    blocks[:, 4] = np.cumsum(sizes) - sizes
    return classes, blocks


@compiled
def _match(overlaps, blocks, areas, true_areas, crowd, ignored, unnamed, ranges, thresholds):
    right = np.zeros((len(ranges), len(areas)), np.uint16)
    passed = np.zeros((len(ranges), len(areas)), np.uint16)
    required = np.zeros((len(ranges), len(blocks)), np.int32)
    order = np.empty(len(true_areas), np.int64)
    taken = np.empty(len(true_areas), np.bool_)
    for a in range(len(ranges)):
        low, high = ranges[a, 0], ranges[a, 1]
        for c in range(len(blocks)):
            d0, d1, g0, g1, start = blocks[c, 0], blocks[c, 1], blocks[c, 2], blocks[c, 3], blocks[c, 4]
            count = g1 - g0
            wanted = _counting_first(order, ignored, true_areas, g0, g1, low, high)
            required[a, c] = wanted
            for t, threshold in enumerate(thresholds):
                taken[:count] = False
                bit = np.uint16(1 << t)
                for d in range(d0, d1):
                    outside = areas[d] < low or areas[d] > high
                    row = start + (d - d0) * count
                    best, overlap = -1, min(threshold, 1 - 1e-10)
                    for place in range(count):
                        if place == wanted and best >= 0:
                            break  # only objects that do not count are left, and one that does is found
                        g = order[place]
                        # of equal overlaps the last one holds
                        if (crowd[g] or not taken[place]) and not overlaps[row + g - g0] < overlap:
                            best, overlap = place, overlaps[row + g - g0]
                    found = False
                    if best >= 0:
                        taken[best] = True
                        # pycocotools takes the id 0 for "none"
                        found = not unnamed[order[best]]
                    if best >= wanted or (outside and not found):
                        passed[a, d] |= bit
                    elif found:
                        right[a, d] |= bit
    return right, passed, required


@compiled
def _counting_first(order, ignored, areas, start, end, low, high):
    """Write a class's objects into `order`, those that count before the others; returns how many count."""
    wanted = 0
    for g in range(start, end):
        if not (ignored[g] or areas[g] < low or areas[g] > high):
            order[wanted] = g
            wanted += 1
    place = wanted
    for g in range(start, end):
        if ignored[g] or areas[g] < low or areas[g] > high:
            order[place] = g
            place += 1
    return wanted
