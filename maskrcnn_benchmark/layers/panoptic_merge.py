"""Objects with masks and a semantic map, merged into segments that do not overlap."""

from dataclasses import dataclass

import cv2
import numpy as np

_VOID, _NO_OBJECT = 0, -1  # as `structures.panoptic_map` has them


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
    classes: np.ndarray,
    scores: np.ndarray,
    semantic: np.ndarray,
    is_stuff: np.ndarray,
    rules: MergeRules,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The objects by falling score, each where nothing lies yet, then stuff where no object is.

    A pixel where the semantic map says a thing, and no object lies, is void.

    Args:
        masks: bool or uint8 [N, H, W], pixels of each object.
        classes: int64 [N], the class of each object.
        scores: float [N].
        semantic: uint8 [H, W], classes; one beyond `is_stuff` says nothing.
        is_stuff: bool [C], of which of the first C classes the semantic map makes segments.
        rules: thresholds.

    Returns:
        (ids int32 [H, W], 0 of void and k of segment k - 1; the class of each of the S segments, int64 [S]; the object
        that it is of, int64 [S], -1 of stuff).
    """
    ids = np.full(semantic.shape, _VOID, np.int32)
    found: list[tuple[int, int]] = []  # (class, object) of each segment
    for k in np.argsort(-scores, kind="stable").tolist():
        if scores[k] < rules.score:
            break
        x, y, width, height = cv2.boundingRect(masks[k].view(np.uint8))
        window = slice(y, y + height), slice(x, x + width)
        mask = masks[k][window] > 0
        free = mask & (ids[window] == _VOID)
        area, left = np.count_nonzero(mask), np.count_nonzero(free)
        if left == 0 or area - left > rules.overlap * area:
            continue
        found.append((int(classes[k]), k))
        ids[window][free] = len(found)
    pixels = np.bincount(semantic.ravel()[ids.ravel() == _VOID], minlength=256)[: len(is_stuff)]
    table = np.zeros(256, np.int32)
    least = max(1.0, rules.stuff_share * semantic.size)
    for value in np.flatnonzero(is_stuff & (pixels >= least)).tolist():
        found.append((value, _NO_OBJECT))
        table[value] = len(found)
    segments = np.array(found, np.int64).reshape(-1, 2)
    return np.where(ids == _VOID, table[semantic], ids), segments[:, 0], segments[:, 1]
