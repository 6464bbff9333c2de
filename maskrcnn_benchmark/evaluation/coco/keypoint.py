"""Average precision of objects' keypoints as COCO defines it, as PASCAL in Detail does, and correct keypoints (PCK)."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from maskrcnn_benchmark.evaluation.coco.matching import ImageMatches, match_objects, num_overlaps
from maskrcnn_benchmark.evaluation.coco.pck import assign_persons, count_keypoints, definitions
from maskrcnn_benchmark.evaluation.coco.precision import accumulate
from maskrcnn_benchmark.evaluation.coco.rows import (
    FILE_ROWS,
    Objects,
    labels_and_scores,
    numbers,
    objects_of_boxes,
    objects_of_rows,
)
from maskrcnn_benchmark.evaluation.coco.style import CocoStyleEvaluator
from maskrcnn_benchmark.evaluation.scores import Scores
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.utils.errors import UserError

# Places of the metrics in COCOeval.stats
_STATS = {
    "AP": 0,
    "AP50": 1,
    "AP75": 2,
    "APm": 3,
    "APl": 4,
    "AR": 5,
    "AR50": 6,
    "AR75": 7,
    "ARm": 8,
    "ARl": 9,
}
# PASCAL in Detail's own program has one sigma for all keypoints (detaileval_kpt.py)
DETAIL_SIGMA = 0.5
# Similarity with that sigma from which a prediction is of a person, well posed or not
_SAME_PERSON = 0.5
_DETAIL_OKS = {"AP-detail-OKS": None, "AP50-detail-OKS": 0.5, "AP75-detail-OKS": 0.75}


@dataclass(frozen=True, slots=True)
class KeypointRecord:
    """What is kept of one image.

    Attributes:
        matches: what the image adds to average precision.
        detail: the matches under PASCAL in Detail's similarity, None for other sets of keypoints.
        keypoints: int64 [P, 2, J], correct and annotated keypoints under each of P definitions of PCK.
    """

    matches: ImageMatches
    detail: Any
    keypoints: np.ndarray


class KeypointEvaluator(CocoStyleEvaluator):
    """AP of objects' keypoints by object keypoint similarity (OKS), and the share of keypoints that are correct (PCK).

    The ground truth is the image's keypoint records, most often of persons, else of the things that the vocabulary
    says. An object's area is what the file says, as in COCO, else that of the box, about twice as large: PASCAL in
    Detail links no mask to a keypoint record. Keypoints count whose visibility is not 0; objects without any need not
    be found. Of several classes with keypoints each has its AP, and theirs is the mean.

    "AP" and its kin use the keypoint set's sigmas, see `protocol`. PASCAL in Detail's 14 keypoints have COCO's for
    limbs (shoulder .079, elbow .072, wrist .062, hip .107, knee .087, ankle .089) and the shoulder's for head and neck,
    which COCO lacks. In a file's own set, keypoints that COCO does not have by that name have the mean of its sigmas.
    "AP-detail-OKS" and its kin, on Detail's set alone, use what PASCAL in Detail's own program does: a sigma of 0.5 for
    every keypoint, under which nearly any pose of the right person is right, and the box's area.

    "PCKh@0.2" and "PCK@0.2-torso" are shares of the annotated keypoints that lie within 0.2 units of where they should,
    on sets that name the keypoints of the unit, see `pck.definitions`. Each prediction, the best scored first, is
    assigned to the free person that it is most similar to, if it is of that person at all: if its similarity is at
    least 0.5 with a sigma of 0.5 for every keypoint, where keypoints lie about a body's size off. A person whom none is
    assigned to has all keypoints wrong, one without the keypoints of the unit is left out.

    Args:
        task: the task that is scored.
        vocabulary: its keypoints are compared, of the things that have some.

    Raises:
        UserError: the vocabulary has no keypoints.
    """

    iou_type = "keypoints"
    stats = _STATS
    subject, measure = "person with keypoints", "OKS"

    def __init__(self, task: Any, vocabulary: Vocabulary) -> None:
        if vocabulary.joints is None:
            raise UserError(f"the data set names no keypoints: evaluate it with MODEL.{task.switch} False")
        self.joints = vocabulary.joints
        self.sigmas = np.asarray(self.joints.sigmas, dtype=np.float64)
        self.keypoint_labels, self.keypoint_names = vocabulary.keypoint_labels, vocabulary.keypoint_names
        if self.keypoint_names != ("person",):
            self.subject = "object with keypoints"
        self.pcks = definitions(self.joints)
        super().__init__(task, vocabulary)
        if len(self.keypoint_labels) < 2:
            self.class_names = ()  # there is one class, whose scores are those of the task
        self.params.kpt_oks_sigmas = self.sigmas

    @property
    def protocol(self) -> str:  # type: ignore[override]
        # Word for word as in results of earlier runs, with which it is compared
        sigmas = ", ".join(f"{name} {sigma:g}" for name, sigma in zip(self.joints.names, self.sigmas))
        units = "".join(f"; {pck.name} in units of {pck.words}" for pck in self.pcks)
        detail = f"; AP-detail-OKS with {DETAIL_SIGMA} for all joints and box areas" if self._is_detail else ""
        return f"COCO: AP over OKS .50:.05:.95, at most 20 people per image, sigmas {sigmas}{detail}{units}"

    def record(self, stored: list[dict], target: ImageAnnotations) -> KeypointRecord:
        predicted = self.predicted(stored, target)
        annotated = self.objects(target)
        matches, detail = self.match(*predicted, annotated), None
        if self._is_detail:
            by_box = replace(annotated, areas=annotated.boxes[:, 2] * annotated.boxes[:, 3])
            detail = self.match(*predicted, by_box, DETAIL_SIGMA)
        return KeypointRecord(matches, detail, self._count_keypoints(*predicted, annotated))

    def predicted(self, stored: list[dict], target: ImageAnnotations) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(labels int32 [N], scores float64 [N], keypoints float64 [N, J, 2]) of predicted rows."""
        where = f"{self.task.key}: image {target.image_id}"
        values = numbers(stored, "keypoints", (3 * len(self.joints),), where)
        return *labels_and_scores(stored, where), values.reshape(len(values), len(self.joints), 3)[:, :, :2]

    def match(
        self,
        labels: np.ndarray,
        scores: np.ndarray,
        places: np.ndarray,
        annotated: Objects,
        sigma: float | None = None,
    ) -> ImageMatches:
        """What `predicted` returned paired with persons, with one sigma for all keypoints or their own."""
        sigmas = self.sigmas if sigma is None else np.full(len(self.joints), sigma)
        overlap = _overlap(places, annotated, sigmas)
        return match_objects(labels, scores, _extents(places), annotated, overlap, self.params)

    def matches(self, record: KeypointRecord) -> ImageMatches:
        return record.matches

    def objects(self, target: ImageAnnotations) -> Objects:
        persons = target.people
        if len(persons) == 0:
            keypoints, found = np.zeros((0, len(self.joints), 3)), objects_of_boxes(persons, [])
        elif persons.has_field(FILE_ROWS):
            rows = persons.get_field(FILE_ROWS)
            keypoints, found = self._annotated(rows, target), objects_of_rows(rows, np.zeros(len(rows)))
        else:
            keypoints = persons.get_field("keypoints").keypoints.cpu().double().numpy()
            found = objects_of_boxes(persons, persons.area().cpu().numpy())
        if len(persons):
            found = replace(found, ignored=found.crowd | ~(keypoints[:, :, 2] > 0).any(axis=1))
        return replace(found, labels=self._labels(persons), values=keypoints)

    def summarize(self, records: list[KeypointRecord]) -> Scores:
        scores = super().summarize(records)
        metrics, reasons = dict(scores.metrics), [scores.reason] if scores.reason else []
        own = self.keypoint_names
        per_class = {name: {key: of[key] for key in of if key in own} for name, of in scores.per_class.items()}
        also = {}
        for pck, (correct, annotated) in zip(self.pcks, self._keypoint_counts(records)):
            also[pck.name] = float(correct.sum() / annotated.sum()) if annotated.sum() else np.nan
            shares = np.divide(correct, annotated, out=np.full(len(annotated), np.nan), where=annotated > 0)
            per_class[pck.name] = dict(zip(self.joints.names, shares.tolist()))
            if not annotated.sum():
                reasons.append(f"no {self.subject.partition(' ')[0]} has the keypoints {pck.words}")
        if self._is_detail:
            tables = accumulate([record.detail for record in records], self.params, list(self.keypoint_labels))
            also |= {name: tables.average_precision(overlap) for name, overlap in _DETAIL_OKS.items()}
        # the table has room for a few metrics after the headline
        metrics = {"AP": metrics["AP"], **also, **metrics}
        return Scores(metrics, per_class, scores.curves, "; ".join(reasons), scores.text)

    @property
    def _is_detail(self):
        return self.joints.name == "detail"

    def _annotated(self, rows, target):
        """Keypoints of a file's rows: float64 [G, J, 3], zeros where they are not annotated."""
        none = [0] * (3 * len(self.joints))
        lists = [row.get("keypoints") or none for row in rows]
        for row, keypoints in zip(rows, lists):
            if len(keypoints) != len(none):
                raise UserError(
                    f"{self.task.key}: image {target.image_id}: annotation {row.get('id')} has {len(keypoints)} "
                    f"numbers as 'keypoints', not x, y, v of each of {len(self.joints)} keypoints"
                )
        return np.array(lists, np.float64).reshape(len(rows), -1, 3)

    def _labels(self, persons):
        """int32 [G], labels of annotated objects: their own where several classes have keypoints."""
        if len(self.keypoint_labels) == 1:
            return np.full(len(persons), self.keypoint_labels[0], np.int32)
        return persons.get_field("labels").cpu().numpy().astype(np.int32)

    def _count_keypoints(self, labels, scores, places, annotated):
        persons = np.flatnonzero(~annotated.ignored)
        order = np.flatnonzero(np.isin(labels, self.keypoint_labels))
        order = order[np.argsort(-scores[order], kind="stable")]
        compared = places[order], annotated.values[persons], annotated.boxes[persons], annotated.areas[persons]
        similarity = object_keypoint_similarity(*compared, self.sigmas)
        lax = object_keypoint_similarity(*compared, np.full(len(self.joints), DETAIL_SIGMA))
        owner = assign_persons(np.where(lax >= _SAME_PERSON, similarity, -1))
        counts = [count_keypoints(places[order], owner, compared[1], pck.start, pck.end) for pck in self.pcks]
        return np.array(counts, np.int64).reshape(len(self.pcks), 2, len(self.joints))

    def _keypoint_counts(self, records):
        """int64 [P, 2, J], over all images."""
        return sum((record.keypoints for record in records), np.zeros((len(self.pcks), 2, len(self.joints)), np.int64))


def object_keypoint_similarity(
    places: np.ndarray, persons: np.ndarray, boxes: np.ndarray, areas: np.ndarray, sigmas: np.ndarray
) -> np.ndarray:
    """COCO's OKS of predicted with annotated persons, with pycocotools' order of operations and so its last bit.

    Distances of a person without keypoints are those from a box of thrice the size, as in pycocotools.

    Args:
        places: float64 [D, J, 2], the predicted keypoints.
        persons: float64 [G, J, 3], x, y, visibility.
        boxes: float64 [G, 4], x, y, width, height.
        areas: float64 [G].
        sigmas: float64 [J].

    Returns:
        float64 [D, G], in 0..1.
    """
    similarity = np.zeros((len(places), len(persons)))
    if not len(places):
        return similarity
    x, y = places[:, :, 0], places[:, :, 1]
    variances = (sigmas * 2) ** 2
    # person by person, since each has keypoints of its own to sum over
    for g, (person, (left, top, width, height), area) in enumerate(zip(persons, boxes, areas)):
        shown = person[:, 2] > 0
        if shown.any():
            dx, dy = x - person[:, 0], y - person[:, 1]
        else:
            dx = _outside(x, left - width, left + width * 2)
            dy = _outside(y, top - height, top + height * 2)
        error = (dx**2 + dy**2) / variances / (area + np.spacing(1)) / 2
        if shown.any():
            error = np.ascontiguousarray(error[:, shown])
        similarity[:, g] = np.exp(-error).sum(axis=1) / error.shape[1]
    return similarity


def _extents(places):
    """As in COCO a predicted person is as large as the box of its keypoints: float64 [D] from [D, J, 2]."""
    x, y = places[:, :, 0], places[:, :, 1]
    return (x.max(axis=1) - x.min(axis=1)) * (y.max(axis=1) - y.min(axis=1))


def _outside(values, low, high):
    """How far values lie outside of low .. high."""
    return np.maximum(0, low - values) + np.maximum(0, values - high)


def _overlap(places, annotated, sigmas):
    """The function of overlaps that `match_objects` asks for."""

    def overlap(predictions, objects, blocks):
        overlaps = np.zeros(num_overlaps(blocks))
        for d0, d1, g0, g1, start in blocks.tolist():
            if d1 > d0 and g1 > g0:
                members = objects[g0:g1]
                block = object_keypoint_similarity(
                    places[predictions[d0:d1]],
                    annotated.values[members],
                    annotated.boxes[members],
                    annotated.areas[members],
                    sigmas,
                )
                overlaps[start : start + block.size] = block.reshape(-1)
        return overlaps

    return overlap
