"""Average precision of boxes as PASCAL VOC defines it: at IoU 0.5, objects marked as difficult passed over."""

from dataclasses import dataclass, replace

import numpy as np
import torch

from maskrcnn_benchmark.evaluation.coco.matching import ImageMatches
from maskrcnn_benchmark.evaluation.coco.rows import FILE_ROWS, labels_and_scores, numbers
from maskrcnn_benchmark.evaluation.coco.style import DetectionEvaluator
from maskrcnn_benchmark.evaluation.scores import Scores
from maskrcnn_benchmark.structures.boxlist_ops import box_iou
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations

IOU_THRESHOLD = 0.5
ALL_POINTS, ELEVEN_POINTS, OF_CLASS = "VOC-mAP", "VOC-mAP-11pt", "VOC-AP "
WRONG, RIGHT, PASSED_OVER = 0, 1, -1


@dataclass(frozen=True, slots=True)
class VocRecord:
    """What is kept of one image.

    Attributes:
        matches: what the image adds to COCO's average precision.
        verdicts: (labels, scores, verdicts) as `judge` gives them, None where nobody marked difficult objects.
        counting: int32 [G], labels of the objects that are not difficult.
    """

    matches: ImageMatches
    verdicts: tuple | None = None
    counting: np.ndarray | None = None


class DetectionAndVocEvaluator(DetectionEvaluator):
    """COCO's metrics of boxes and, on data sets that mark difficult objects (field "difficult"), VOC's beside them.

    "VOC-mAP" takes the area under the whole curve of precision over recall (VOC 2010 and later), "VOC-mAP-11pt" eleven
    points of it (VOC 2007, and what the original library printed); both are means over the classes that have an object
    which counts. "VOC-AP NAME" is the AP of one class, from the whole curve.

    Args:
        task: the task that is scored.
        vocabulary: names each label from 1.
        protocol: "coco" or "detail", see `evaluation.protocols`.
    """

    def record(self, stored: list[dict], target: ImageAnnotations) -> VocRecord:
        matches, boxes = super().record(stored, target), target.instances
        if not boxes.has_field("difficult") or boxes.has_field(FILE_ROWS):
            return VocRecord(matches)
        where = f"{self.task.key}: image {target.image_id}"
        labels, scores = labels_and_scores(stored, where)
        predicted = _corners(numbers(stored, "bbox", (4,), where)), labels.astype(np.int64), scores
        objects, difficult = self.objects(target), boxes.get_field("difficult").cpu().numpy().astype(np.float64)
        verdicts = judge(predicted, (_corners(objects.boxes), objects.labels.astype(np.int64), difficult))
        return VocRecord(matches, verdicts, objects.labels[difficult == 0])

    def matches(self, record: VocRecord) -> ImageMatches:
        return record.matches

    def summarize(self, records: list[VocRecord]) -> Scores:
        scores = super().summarize(records)
        coco, judged = scores.metrics, [record for record in records if record.verdicts is not None]
        if not judged:
            return scores
        voc = self._summarize_voc(judged)
        # the means are to be seen in the table, which has room for a few metrics after the headline
        headline = next(iter(coco))
        means = {headline: coco[headline], ALL_POINTS: voc[ALL_POINTS], ELEVEN_POINTS: voc[ELEVEN_POINTS]}
        return replace(scores, metrics={**means, **coco, **voc})

    def _summarize_voc(self, records):
        labels, scores, verdicts = (np.concatenate(column) for column in zip(*(record.verdicts for record in records)))
        order = np.argsort(-scores, kind="stable")
        labels, verdicts = labels[order], verdicts[order]
        counting = np.concatenate([record.counting for record in records])
        counts = np.bincount(counting, minlength=len(self.class_names) + 1)
        curves = [curve(verdicts[labels == k], counts[k]) for k in range(1, len(self.class_names) + 1)]
        exact = [average_precision(*points) for points in curves]
        eleven = [eleven_point_precision(*points) for points in curves]
        by_class = {f"{OF_CLASS}{name}": value for name, value in zip(self.class_names, exact)}
        return {ALL_POINTS: _mean(exact), ELEVEN_POINTS: _mean(eleven), **by_class}


def judge(predicted: tuple[np.ndarray, ...], annotated: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    """Hold the predictions on one image against its objects.

    A prediction belongs to the object of its class that it overlaps most. It is RIGHT if that overlap is at least 0.5
    and no better scored prediction belongs to the object; it is PASSED_OVER if the object is difficult, else WRONG.
    (The original library counted the last pixel of a box twice when it measured overlaps, and so let some through.)

    Args:
        predicted: (boxes float32 [P, 4] xyxy with the last pixel included, labels int64 [P], scores float64 [P]).
        annotated: (boxes float32 [N, 4], labels int64 [N], difficult as float64 [N]).

    Returns:
        (labels, scores, verdicts int8) of the P predictions, best first.
    """
    order = np.argsort(-predicted[2], kind="stable")
    boxes, labels, scores = (values[order] for values in predicted)
    true_boxes, true_labels, difficult = annotated
    verdicts = np.full(len(labels), WRONG, np.int8)
    if len(labels) and len(true_labels):
        overlaps = box_iou(torch.from_numpy(boxes), torch.from_numpy(true_boxes)).numpy()
        overlaps = np.where(labels[:, None] == true_labels, overlaps, 0)
        owner = overlaps.argmax(1)
        hits = np.flatnonzero(overlaps.max(1) >= IOU_THRESHOLD)
        _, first = np.unique(owner[hits], return_index=True)  # the best scored of each object
        verdicts[hits[first]] = RIGHT
        verdicts[hits[difficult[owner[hits]] > 0]] = PASSED_OVER
    return labels, scores, verdicts


def curve(verdicts: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The curve of one class.

    Args:
        verdicts: int8 [P], best scored first.
        count: objects that count.

    Returns:
        (recall, precision), float64 [Q] each, after each prediction that is not passed over; nan without any object.
    """
    if count == 0:
        return np.array([np.nan]), np.array([np.nan])
    verdicts = verdicts[verdicts != PASSED_OVER]
    right = np.cumsum(verdicts == RIGHT)
    return right / count, right / np.arange(1, len(verdicts) + 1)


def average_precision(recall: np.ndarray, precision: np.ndarray) -> float:
    """Area under a curve, each precision raised to the largest at a recall as high: float in 0..1, or nan."""
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0) * best))


def eleven_point_precision(recall: np.ndarray, precision: np.ndarray) -> float:
    """Mean of the largest precisions at a recall of at least 0, 0.1, ..., 1: float in 0..1, or nan."""
    best = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0 if not np.isnan(recall).any() else np.nan)
    # recalls are fractions, of which some are a hair below the tenth that they are
    place = np.searchsorted(recall, np.arange(11) / 10 - 1e-9)
    return float(best[place].mean())


def _corners(boxes):
    """x, y, width, height float64 [N, 4] -> xyxy float32 [N, 4], the last pixel included."""
    boxes = boxes.astype(np.float32)
    boxes[:, 2:] += boxes[:, :2] - 1
    return boxes


def _mean(values):
    return float(np.nanmean(values)) if not np.isnan(values).all() else np.nan
