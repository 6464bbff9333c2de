"""Keypoints by the rules of PASCAL in Detail's own program."""

from dataclasses import replace
from typing import Any

import numpy as np

from maskrcnn_benchmark.evaluation.coco.keypoint import DETAIL_SIGMA, KeypointEvaluator, KeypointRecord
from maskrcnn_benchmark.evaluation.coco.rows import Objects
from maskrcnn_benchmark.evaluation.detail_toolkit import NAME, objects_alike
from maskrcnn_benchmark.evaluation.scores import Scores
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.vocabulary import Vocabulary

# Field of persons with the file's own records of their keypoints: list of dict
JOINT_RECORDS = "joint_records"


class ToolkitKeypointEvaluator(KeypointEvaluator):
    """AP of keypoints as `DetailEvalKpt` finds it.

    A sigma of 0.5 for every keypoint, and the area of the record's box; all images count that have a region of a
    person, and no others. The first record of all is one that cannot be found, since the program numbers them from 0
    and takes that for "none".
    """

    def __init__(self, task: Any, vocabulary: Vocabulary) -> None:
        super().__init__(task, vocabulary)
        self.pcks = []
        self.sigmas = self.params.kpt_oks_sigmas = np.full(len(self.joints), DETAIL_SIGMA)

    @property
    def protocol(self) -> str:  # type: ignore[override]
        return (
            f"{NAME}: AP over OKS .50:.05:.95 with a sigma of {DETAIL_SIGMA} for all keypoints and box areas, at most "
            f"20 persons per image, all images with a person's region, the first record never found"
        )

    @property
    def _is_detail(self):
        return False  # its similarity is the only one

    def is_annotated(self, target: ImageAnnotations) -> bool:
        if target.regions is None:
            return super().is_annotated(target)
        return not set(self.keypoint_names).isdisjoint(target.regions.names)

    def record(self, stored: list[dict], target: ImageAnnotations) -> KeypointRecord:
        """In the place of `detail` the matches as they are if the image has the first record."""
        predicted, annotated = self.predicted(stored, target), self.objects(target)
        is_first = np.arange(len(annotated.labels)) == 0
        matches = self.match(*predicted, annotated), self.match(*predicted, replace(annotated, unnamed=is_first))
        return KeypointRecord(*matches, np.zeros((0, 2, len(self.joints)), np.int64))

    def objects(self, target: ImageAnnotations) -> Objects:
        persons = target.people
        if persons is None:  # nobody recorded the persons of the image
            return replace(
                objects_alike(np.zeros(0, np.int32), np.zeros((0, 4))), values=np.zeros((0, len(self.joints), 3))
            )
        found = super().objects(target)
        if len(persons) and persons.has_field(JOINT_RECORDS):
            records = persons.get_field(JOINT_RECORDS)
            keypoints = np.array([record["keypoints"] for record in records], np.float64).reshape(len(records), -1, 3)
            counts = [record.get("num_keypoints", count) for record, count in zip(records, _labelled(keypoints))]
            boxes = np.array([record["bbox"] for record in records], np.float64)
            found = replace(found, boxes=boxes, values=keypoints, ignored=np.array(counts) == 0)
        return replace(found, areas=found.boxes[:, 2] * found.boxes[:, 3])

    def summarize(self, records: list[KeypointRecord]) -> Scores:
        first = next((k for k, record in enumerate(records) if len(record.matches.classes)), None)
        if first is not None:
            records = [*records[:first], replace(records[first], matches=records[first].detail), *records[first + 1 :]]
        return super().summarize(records)


def _labelled(keypoints):
    """How many of each person's keypoints are labelled, of float64 [P, J, 3]."""
    return (keypoints[:, :, 2] > 0).sum(axis=1).tolist()
