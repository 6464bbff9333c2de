"""Part-aware panoptic quality: how well segments are found, and how well the parts in those that are found fit."""

from dataclasses import replace
from typing import Any

import numpy as np

from maskrcnn_benchmark.evaluation.dense.confusion import mean_or_nan
from maskrcnn_benchmark.evaluation.evaluator import Evaluator
from maskrcnn_benchmark.evaluation.panoptic.matching import SegmentMatches, match_segments
from maskrcnn_benchmark.evaluation.panoptic.quality import Record, add_counts, class_counts, qualities
from maskrcnn_benchmark.evaluation.scores import Scores
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.panoptic_map import VOID
from maskrcnn_benchmark.structures.part_panoptic_map import NO_PART, UNKNOWN, PartClasses, PartPanopticMap
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.utils.compiled import compiled

_LABELS = 256  # of parts, which are bytes


def judged_scene(annotated: PartPanopticMap, classes: PartClasses) -> PartPanopticMap:
    """Annotations in which a segment of a class with parts, of which nobody annotated one, is a crowd of its class."""
    segments = annotated.segments
    with_part = np.zeros(len(segments) + 1, bool)
    with_part[segments.ids[annotated.parts != NO_PART]] = True
    lacking = classes.has_parts[segments.classes] & ~with_part[1:]
    return replace(annotated, segments=replace(segments, is_crowd=segments.is_crowd | lacking))


def part_ious(
    matches: SegmentMatches, annotated: PartPanopticMap, predicted: PartPanopticMap, classes: PartClasses
) -> np.ndarray:
    """What each matched pair counts: float64 [M], of classes with parts the mean IoU of the parts, else the masks' IoU.

    The mean is over the labels that occur in the annotated segment or in the predicted one, and over the rest of the
    image, which is background, though not over `UNKNOWN`. Pixels that are void, of a crowd of the class, or of the
    annotated segment without a part do not count.

    Args:
        matches: of the segments of the two maps.
        annotated: as `judged_scene` returns it.
        predicted: of the same size.
        classes: which have parts.
    """
    values, segments = matches.iou.copy(), annotated.segments
    with_parts = np.flatnonzero(classes.has_parts[segments.classes[matches.annotated]])
    if not len(with_parts):
        return values
    pixels, (own_id, own_label), (other_id, other_label) = _shared_pixels(annotated, predicted)
    of_crowd = np.append(-1, np.where(segments.is_crowd, segments.classes, -1))[own_id]  # of what class it is one
    for pair in with_parts.tolist():
        g, p = matches.annotated[pair], matches.predicted[pair]
        own = own_id == g + 1
        counts = (own_id != VOID) & (of_crowd != segments.classes[g]) & ~(own & (own_label == NO_PART))
        labels, others = np.where(own, own_label, NO_PART), np.where(other_id == p + 1, other_label, NO_PART)
        values[pair] = _mean_iou(labels[counts], others[counts], pixels[counts])
    return values


def _shared_pixels(*scenes: PartPanopticMap) -> tuple[np.ndarray, ...]:
    """int64 [K], the pixels of each combination of what two maps have, and of each map its ids and labels [2, K]."""
    keys = [scene.segments.ids.ravel() * np.int32(_LABELS) + scene.parts.ravel() for scene in scenes]
    starts = _starts_of_runs(*keys)  # far fewer than pixels
    combined = keys[0][starts].astype(np.int64) << 32 | keys[1][starts]
    found, places = np.unique(combined, return_inverse=True)
    lengths = np.diff(np.append(starts, len(keys[0])))
    pixels = np.bincount(places, lengths, len(found)).astype(np.int64)
    return pixels, *(np.stack(np.divmod(part, _LABELS)) for part in (found >> 32, found & 0xFFFFFFFF))


@compiled
def _starts_of_runs(one, other):
    """The places where either of two arrays [N] has another number than before, the first included: int64 [R]."""
    starts = np.empty(len(one), np.int64)
    number = 0
    for k in range(len(one)):
        if k == 0 or one[k] != one[k - 1] or other[k] != other[k - 1]:
            starts[number] = k
            number += 1
    return starts[:number].copy()


def _mean_iou(annotated: np.ndarray, predicted: np.ndarray, pixels: np.ndarray) -> float:
    """Mean IoU over the labels that occur, but for `UNKNOWN`; labels and numbers of pixels int64 [K]."""
    same = annotated == predicted
    both, own, other = (
        np.bincount(labels, weights, _LABELS)
        for labels, weights in ((predicted[same], pixels[same]), (annotated, pixels), (predicted, pixels))
    )
    occurs = np.flatnonzero(own + other)
    occurs = occurs[occurs != UNKNOWN]
    return float(np.mean(both[occurs] / (own + other - both)[occurs]))


class PartPanopticEvaluator(Evaluator):
    """Part-aware panoptic, segmentation and recognition quality of all classes, of those with parts and those without.

    Args:
        task: the task that is scored.
        vocabulary: names the classes and their parts.
    """

    protocol = (
        "PartPQ = PartSQ x PartRQ: as PQ, but a matched segment of a class with parts counts the mean IoU of its parts "
        "and of background over the image; segments without annotated parts are crowds, unknown parts are wrong (de "
        "Geus et al. 2021)"
    )
    note = (
        "Background is one of the labels in the mean, so that a segment with all of its parts wrong is not 0: with two "
        "parts exchanged in a perfect mask it is 0.333. A class with one part is a class without parts"
    )

    def __init__(self, task: Any, vocabulary: Vocabulary) -> None:
        self.classes = PartClasses.of(vocabulary)
        super().__init__(task, vocabulary)

    def record(self, stored: Any, target: ImageAnnotations) -> Record:
        """The counts of the classes that occur.

        Args:
            stored: has the `PartPanopticMap` as its `scene`.
            target: the annotations.
        """
        predicted = stored.scene
        self.check_size(predicted.size, target)
        annotated = judged_scene(PartPanopticMap.of_annotations(target, self.classes), self.classes)
        matches = match_segments(annotated.segments, predicted.segments)
        iou = part_ious(matches, annotated, predicted, self.classes)
        return class_counts(matches, annotated.segments, predicted.segments, iou)

    def summarize(self, records: list[Record]) -> Scores:
        values = qualities(add_counts(records, len(self.classes)))
        groups: dict[str, Any] = {"": slice(None), "-Pt": self.classes.has_parts, "-NoPt": ~self.classes.has_parts}
        metrics = {
            f"Part{name}{ending}": mean_or_nan(of_classes[group])
            for name, of_classes in values.items()
            for ending, group in groups.items()
        }
        per_class = {
            f"Part{name}": dict(zip(self.classes.names, of_classes.tolist())) for name, of_classes in values.items()
        }
        return Scores(metrics, per_class, reason="no image has a segment" if np.isnan(metrics["PartPQ"]) else "")

    def image_score(self, record: Record) -> float:
        """PartPQ of the image over the classes that occur in it; nan without one."""
        return mean_or_nan(qualities(record[1])["PQ"])
