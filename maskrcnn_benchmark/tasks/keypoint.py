"""Human keypoints: the joints of every person."""

from dataclasses import dataclass

import numpy as np
import torch

from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.structures.keypoint import JointSet
from maskrcnn_benchmark.structures.objects import Objects, best_first
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import Task, Thresholds, register_task
from maskrcnn_benchmark.visualization.canvas import Canvas
from maskrcnn_benchmark.visualization.drawn_task import Known, Legend
from maskrcnn_benchmark.visualization.objects import TAG, box_spots, canvas_boxes, shown_objects

LEFT_SIDE = (38, 132, 255)  # keypoints and limbs of a person's left, ...
RIGHT_SIDE = (255, 140, 26)  # ... of the right, ...
MIDDLE = (250, 224, 90)  # ... and of neither


@dataclass(frozen=True)
class Persons(Objects):
    """Persons with `keypoints`, float [N, J, 3]: x, y in pixels, and 1 (the network says nothing of visibility)."""

    keypoints: torch.Tensor


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
    requires = ("detection",)

    # Options ----------------------------------------------------------------------------------------------------------

    # Labels -----------------------------------------------------------------------------------------------------------

    # Network ----------------------------------------------------------------------------------------------------------

    # Evaluation -------------------------------------------------------------------------------------------------------

    # Files ------------------------------------------------------------------------------------------------------------

    # Pictures ---------------------------------------------------------------------------------------------------------

    on_photograph = True
    layer = 60
    backdrop = {"fade": 0.25}

    def content(self, known: Known) -> BoxList | None:
        """The annotated persons, or the predicted objects if they have keypoints."""
        if not isinstance(known, ImagePrediction):
            return known.people
        objects = known.instances
        return objects if objects is not None and objects.has_field("keypoints") else None

    def can_draw(self, known: Known, vocabulary: Vocabulary) -> bool:
        return vocabulary.joints is not None and self.content(known) is not None

    def paint(self, canvas: Canvas, known: Known, vocabulary: Vocabulary, threshold: float) -> int:
        """Skeletons, a person's left blue and right orange, occluded keypoints hollow; of predictions with scores."""
        return self._paint(canvas, known, vocabulary, threshold, scores=True)

    def overlay(self, canvas: Canvas, known: Known, vocabulary: Vocabulary, thresholds: Thresholds) -> int:
        """Skeletons; scores where no other task says them."""
        scores = not any(task.names_objects for task in thresholds)
        return self._paint(canvas, known, vocabulary, thresholds[self], scores)

    def _paint(self, canvas: Canvas, known: Known, vocabulary: Vocabulary, threshold: float, scores: bool) -> int:
        predicted, joints = isinstance(known, ImagePrediction), vocabulary.joints
        persons = self.content(known)
        persons = shown_objects(_persons(persons, vocabulary) if predicted else persons, threshold)
        if len(persons):
            records = persons.get_field("keypoints").keypoints.detach().cpu().numpy()
            sides = [_side_colour(name) for name in joints.names]
            for record in records:
                _draw_skeleton(canvas, record, joints, sides, None if predicted else joints.occluded_code)
        if predicted and scores:
            for box, score in zip(canvas_boxes(persons, canvas).numpy(), persons.get_field("scores").tolist()):
                canvas.label(f"{score:.2f}", box_spots(box, canvas), TAG)
        return len(persons)

    def legend(self, vocabulary: Vocabulary) -> Legend:
        return [("keypoints", [("a person's left", LEFT_SIDE), ("a person's right", RIGHT_SIDE)])]

    def view(self, prediction: ImagePrediction, vocabulary: Vocabulary, threshold: float) -> Persons | None:
        """The persons that reach the threshold, with keypoints."""
        objects = self.content(prediction)
        if objects is None:
            return None
        persons = _persons(best_first(objects, threshold), vocabulary)
        return Persons.of(persons, vocabulary, keypoints=persons.get_field("keypoints").keypoints)

    # Export -----------------------------------------------------------------------------------------------------------


def _persons(objects: BoxList, vocabulary: Vocabulary) -> BoxList:
    """The persons among predicted objects; all of them where no class is called so."""
    if "person" not in vocabulary.thing_names:
        return objects
    person = vocabulary.thing_names.index("person") + 1
    return objects[torch.nonzero(objects.get_field("labels") == person).squeeze(1)]


def _side_colour(joint: str) -> tuple[int, int, int]:
    if joint.startswith("r"):
        return RIGHT_SIDE
    return LEFT_SIDE if joint.startswith("l") else MIDDLE


def _draw_skeleton(
    canvas: Canvas, record: np.ndarray, joints: JointSet, sides: list[tuple[int, int, int]], occluded_code: int | None
) -> None:
    """Draw one person's joints [K, 3]; a bone is there where both its ends are."""
    spots, visibility = canvas.place(record[:, :2]), record[:, 2]
    for a, b in joints.skeleton:
        if visibility[a] > 0 and visibility[b] > 0:
            side = sides[b] if sides[b] != MIDDLE else sides[a]
            canvas.polyline(spots[[a, b]], side, canvas.line + 1)
    for spot, state, side in zip(spots, visibility, sides):
        if state > 0:
            canvas.dot(spot, side, canvas.line * 5 // 2, hollow=state == occluded_code)


KEYPOINT = register_task(Keypoint())
