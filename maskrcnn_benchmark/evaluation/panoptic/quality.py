"""Panoptic quality: how well segments are found, and how well those that are found fit."""

from typing import Any

import numpy as np

from maskrcnn_benchmark.evaluation.dense.confusion import mean_or_nan
from maskrcnn_benchmark.evaluation.evaluator import Evaluator
from maskrcnn_benchmark.evaluation.panoptic.matching import SegmentMatches, match_segments
from maskrcnn_benchmark.evaluation.scores import Scores
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.panoptic_map import PanopticClasses, PanopticMap
from maskrcnn_benchmark.structures.vocabulary import Vocabulary

# Columns of counts: matched pairs, segments that are wrong, that are missed, and the sum of the pairs' IoU
TP, FP, FN, IOU = range(4)

Record = tuple[np.ndarray, np.ndarray]  # classes int64 [K] that occur in an image, their counts float64 [K, 4]


def class_counts(
    matches: SegmentMatches, annotated: PanopticMap, predicted: PanopticMap, iou: np.ndarray | None = None
) -> Record:
    """The counts of an image by class, of the classes that have any.

    Args:
        matches: of the two maps.
        annotated, predicted: the maps.
        iou: float64 [M], what a pair counts, by default its IoU.
    """
    of_pairs = annotated.classes[matches.annotated]
    of_wrong, of_missed = predicted.classes[matches.wrong], annotated.classes[matches.missed]
    classes = np.unique(np.concatenate([of_pairs, of_wrong, of_missed]))
    counts = np.zeros((len(classes), 4))
    for column, found in ((TP, of_pairs), (FP, of_wrong), (FN, of_missed)):
        counts[:, column] = np.bincount(np.searchsorted(classes, found), minlength=len(classes))
    weights = matches.iou if iou is None else iou
    counts[:, IOU] = np.bincount(np.searchsorted(classes, of_pairs), weights, minlength=len(classes))
    return classes, counts


def add_counts(records: list[Record], num_classes: int) -> np.ndarray:
    """The counts of all images: float64 [C, 4]."""
    total = np.zeros((num_classes, 4))
    for classes, counts in records:
        total[classes] += counts
    return total


def qualities(counts: np.ndarray) -> dict[str, np.ndarray]:
    """{"PQ", "SQ", "RQ": float64 [C]} of counts [C, 4]; nan of classes without any.

    RQ = TP / (TP + FP / 2 + FN / 2), SQ is the mean IoU of the matched pairs, 0 without one, and PQ their product
    (Kirillov et al. 2019, equation 2).
    """
    with np.errstate(invalid="ignore"):
        judged = counts[:, TP] + (counts[:, FP] + counts[:, FN]) / 2
        found = np.where(judged > 0, counts[:, TP], np.nan)
        segmentation = np.where(found == 0, 0, counts[:, IOU] / found)
        return {"PQ": np.where(judged > 0, counts[:, IOU] / judged, np.nan), "SQ": segmentation, "RQ": found / judged}


class PanopticEvaluator(Evaluator):
    """Panoptic, segmentation and recognition quality of all classes, of things and of stuff.

    Args:
        task: the task that is scored.
        vocabulary: names the classes.
    """

    protocol = (
        "PQ = SQ x RQ from the segments of all images, matched where IoU > 0.5; what lies on void or on crowds of its "
        "class is not counted; means over the classes that occur (Kirillov et al. 2019, panopticapi's rules)"
    )

    def __init__(self, task: Any, vocabulary: Vocabulary) -> None:
        self.classes = PanopticClasses.of(vocabulary)
        super().__init__(task, vocabulary)

    def record(self, stored: PanopticMap, target: ImageAnnotations) -> Record:
        """The counts of the classes that occur."""
        self.check_size(stored.size, target)
        annotated = PanopticMap.of_annotations(target, self.classes)
        return class_counts(match_segments(annotated, stored), annotated, stored)

    def summarize(self, records: list[Record]) -> Scores:
        values = qualities(add_counts(records, len(self.classes)))
        groups = {
            "": np.ones(len(self.classes), bool),
            "-things": self.classes.is_thing,
            "-stuff": ~self.classes.is_thing,
        }
        metrics = {
            f"{name}{ending}": mean_or_nan(of_classes[group])
            for ending, group in groups.items()
            for name, of_classes in values.items()
        }
        per_class = {name: dict(zip(self.classes.names, of_classes.tolist())) for name, of_classes in values.items()}
        return Scores(metrics, per_class, reason="no image has a segment" if np.isnan(metrics["PQ"]) else "")

    def image_score(self, record: Record) -> float:
        """PQ of the image over the classes that occur in it; nan without one."""
        return mean_or_nan(qualities(record[1])["PQ"])
