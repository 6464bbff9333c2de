"""Objects with masks and a semantic map, merged into segments that do not overlap."""

from dataclasses import dataclass

import cv2
import numpy as np

from maskrcnn_benchmark.structures.panoptic_map import NO_OBJECT, VOID, PanopticClasses, PanopticMap


@dataclass(frozen=True)
class MergeRules:
    """Thresholds of the merge of Kirillov et al., Panoptic Segmentation, CVPR 2019; by default those of detectron2.

    Attributes:
        score: objects below it are left out.
        overlap: so is an object of whose mask more than this share is taken by objects of higher score.
        stuff_share: a class of stuff on less than this share of the image's pixels is void. (Panoptic FPN's 4,096
            pixels are 0.0133 of an image of 640x480.)
    """

    score: float = 0.5
    overlap: float = 0.5
    stuff_share: float = 0.0133


def merge_panoptic(
    masks: np.ndarray,
    labels: np.ndarray,
    scores: np.ndarray,
    semantic: np.ndarray,
    classes: PanopticClasses,
    rules: MergeRules,
) -> PanopticMap:
    """The objects by falling score, each where nothing lies yet, then stuff where no object is.

    A pixel where the semantic map says a thing, and no object lies, is void.

    Args:
        masks: bool or uint8 [N, H, W], pixels of each object.
        labels: int64 [N], labels 1..K of the objects.
        scores: float [N].
        semantic: uint8 [H, W], a value of the semantic map; one that no class has says nothing.
        classes: what labels and values mean.
        rules: thresholds.
    """
    ids = np.full(semantic.shape, VOID, np.int32)
    rows: list[tuple[int, int, float, bool]] = []
    for k in np.argsort(-scores, kind="stable").tolist():
        if scores[k] < rules.score:
            break
        x, y, width, height = cv2.boundingRect(masks[k].view(np.uint8))
        window = slice(y, y + height), slice(x, x + width)
        mask = masks[k][window] > 0
        free = mask & (ids[window] == VOID)
        area, left = np.count_nonzero(mask), np.count_nonzero(free)
        if left == 0 or area - left > rules.overlap * area:
            continue
        rows.append((int(classes.of_label[labels[k]]), k, float(scores[k]), False))
        ids[window][free] = len(rows)
    pixels = np.bincount(semantic.ravel()[ids.ravel() == VOID], minlength=256)
    table = np.zeros(256, np.int32)
    least = max(1.0, rules.stuff_share * semantic.size)
    for value in np.flatnonzero(pixels[: classes.num_semantic] >= least).tolist():
        if not classes.is_thing[value]:
            rows.append((value, NO_OBJECT, 1.0, False))
            table[value] = len(rows)
    return PanopticMap.of_rows(np.where(ids == VOID, table[semantic], ids), rows)
