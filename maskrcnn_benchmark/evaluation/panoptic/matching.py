"""Which predicted segments of an image are which annotated ones, by the rules of panoptic quality."""

from dataclasses import dataclass

import numpy as np

from maskrcnn_benchmark.structures.panoptic_map import PanopticMap


@dataclass(frozen=True)
class SegmentMatches:
    """The comparison of T annotated with P predicted segments of an image, by rows of the two maps.

    Attributes:
        annotated, predicted: int64 [M], the pairs that are matched, each segment in one at most.
        iou: float64 [M] of each pair, more than 0.5.
        missed: bool [T], segments that count as false negatives.
        wrong: bool [P], segments that count as false positives.
    """

    annotated: np.ndarray
    predicted: np.ndarray
    iou: np.ndarray
    missed: np.ndarray
    wrong: np.ndarray


def overlaps(annotated: PanopticMap, predicted: PanopticMap) -> np.ndarray:
    """int64 [T + 1, P + 1]: pixels that two segments of one image share, by their ids; row and column 0 are void."""
    columns = len(predicted) + 1
    pairs = annotated.ids.ravel() * np.int64(columns) + predicted.ids.ravel()
    return np.bincount(pairs, minlength=(len(annotated) + 1) * columns).reshape(-1, columns)


def match_segments(annotated: PanopticMap, predicted: PanopticMap) -> SegmentMatches:
    """Matches by the rules of Kirillov et al. (Panoptic Segmentation, CVPR 2019, section 4), as panopticapi has them.

    Two segments of the same class match where they share more than half of their union. Pixels of the prediction that
    are void in the annotations are no part of the union. Crowds match nothing and are not missed. A predicted segment
    without a match is wrong unless more than half of it lies on void or on crowds of its class.

    Args:
        annotated: of segments that all have a pixel.
        predicted: of the same size; its segments all have a pixel, too, and `is_crowd` of none is read.
    """
    pixels = overlaps(annotated, predicted)
    shared, void = pixels[1:, 1:], pixels[0, 1:]
    areas = pixels.sum(axis=0)[1:]
    unions = pixels.sum(axis=1)[1:, None] + (areas - void) - shared
    same = annotated.classes[:, None] == predicted.classes
    rows, columns = np.nonzero(same & ~annotated.is_crowd[:, None] & (2 * shared > unions))
    iou = shared[rows, columns] / unions[rows, columns]
    missed, wrong = ~annotated.is_crowd, np.ones(len(predicted), bool)
    missed[rows] = False
    wrong[columns] = False
    unjudged = void + np.where(same & annotated.is_crowd[:, None], shared, 0).sum(axis=0)
    return SegmentMatches(rows, columns, iou, missed, wrong & (2 * unjudged <= areas))
