"""Human keypoints: the joints of every person."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from maskrcnn_benchmark.evaluation.coco.keypoint import KeypointEvaluator, person_label
from maskrcnn_benchmark.evaluation.coco.rows import predicted_rows
from maskrcnn_benchmark.evaluation.evaluator import Evaluator
from maskrcnn_benchmark.evaluation.protocols import Protocols
from maskrcnn_benchmark.evaluation.trivial import ObjectMeans
from maskrcnn_benchmark.prediction_files.as_prediction import decode_objects
from maskrcnn_benchmark.prediction_files.lists import (
    Form,
    ListFile,
    ObjectFile,
    PredictionList,
    Rows,
    are_numbers,
    member,
)
from maskrcnn_benchmark.prediction_files.row_file import shown
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.structures.keypoint import Keypoints
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import Task, register_task


class KeypointForm(Form):
    """x, y and visibility of every keypoint of a person, from which the area follows as in pycocotools."""

    def check(self, row: Mapping, field: str, index: int, opened: PredictionList) -> None:
        if opened.thing(row) != "person":
            raise ValueError(f"has joints of the category_id {shown(row['category_id'])}; only a person has joints")
        values, count = member(row, field), len(opened.names.vocabulary.joints)
        if not are_numbers(values, 3 * count):
            found = f"{len(values)} of them" if isinstance(values, list) else shown(values)
            raise ValueError(
                f"must have {3 * count} finite numbers as {field}, x, y and visibility of {count} joints, not {found}"
            )

    def read(self, rows: Rows, field: str, index: int, opened: PredictionList) -> list[dict]:
        found = []
        for _, row in rows:
            values = [float(value) for value in row[field]]
            box = extent_of(values)
            found.append({field: values, "bbox": box, "area": box[2] * box[3], "iscrowd": 0})
        return found


def extent_of(keypoints: list[float]) -> list[float]:
    """The box around keypoints [x, y, v, ...] as pycocotools takes it: [x, y, width, height]."""
    places = np.reshape(np.asarray(keypoints, np.float64), (-1, 3))[:, :2]
    low, high = places.min(axis=0), places.max(axis=0)
    return [*low.tolist(), *(high - low).tolist()]


class Keypoint(Task):
    """Keypoints of persons. The label is a `BoxList` of its own, since joint records are not linked to objects."""

    key = "keypoint"
    title = "human keypoints"
    switch = "KEYPOINT_ON"
    comment = "Task: human keypoints, per detected box"
    losses = ("loss_kp",)
    headline = "AP"
    parameter_prefixes = ("roi_heads.keypoint.",)
    per = "region"
    iou_type = "keypoints"
    requires = ("detection",)

    # Options ----------------------------------------------------------------------------------------------------------

    # Labels -----------------------------------------------------------------------------------------------------------

    # Network ----------------------------------------------------------------------------------------------------------

    # Evaluation -------------------------------------------------------------------------------------------------------

    def build_evaluator(self, vocabulary: Vocabulary, protocols: Protocols) -> Evaluator:
        return KeypointEvaluator(self, vocabulary)

    def trivial(self, vocabulary: Vocabulary) -> ObjectMeans:
        """The most frequent boxes with what lies in them."""
        return ObjectMeans(vocabulary)

    # Files ------------------------------------------------------------------------------------------------------------

    def encode(self, prediction: ImagePrediction, vocabulary: Vocabulary) -> list[dict[str, Any]]:
        """List of {"category_id": label of persons, "keypoints": [x, y, v] * J, "score": float}."""
        instances = self.output(prediction, "detection")
        persons = instances[instances.get_field("labels") == person_label(vocabulary)]
        if len(persons) == 0:
            return []
        keypoints = persons.get_field("keypoints").keypoints.cpu().double().numpy()
        return predicted_rows(persons, "keypoints", keypoints.reshape(len(persons), -1).tolist())

    def files(self) -> tuple[ListFile, ...]:
        return (
            ObjectFile(
                self.key,
                "keypoints.json",
                option="--keypoints",
                text='keypoints, as COCO\'s results or {"pred": [...]}',
                fields={"keypoints": KeypointForm()},
                # as PASCAL in Detail's own program wants it
                wrapped_too="detail_keypoints.json",
                encodings={"keypoints": "[x, y, visibility] for each joint in the order of 'joints'"},
            ),
        )

    def decode(self, stored: list[dict], size: tuple[int, int], vocabulary: Vocabulary) -> BoxList:
        """The persons with their keypoints."""
        joints = vocabulary.joints

        def keypoints(rows, size):
            places = torch.tensor([row["keypoints"] for row in rows], dtype=torch.float32)
            return Keypoints(places.reshape(-1, len(joints), 3), size, joints=joints)

        return decode_objects(stored, size, lambda row: extent_of(row["keypoints"]), keypoints=keypoints)

    # Pictures ---------------------------------------------------------------------------------------------------------

    # Export -----------------------------------------------------------------------------------------------------------


KEYPOINT = register_task(Keypoint())
