"""Percentage of correct keypoints (PCK): keypoints that lie near enough to where they were annotated."""

from dataclasses import dataclass

import numpy as np

from maskrcnn_benchmark.structures.vocabulary import JointSet
from maskrcnn_benchmark.utils.compiled import compiled

THRESHOLD = 0.2

# Names of the keypoints whose distance is the unit of length, in the order of preference
_HEAD, _NECK = ("head",), ("neck",)
_LEFT_SHOULDER, _RIGHT_HIP = ("lsho", "left_shoulder"), ("rhip", "right_hip")


@dataclass(frozen=True)
class Pck:
    """A definition of PCK for a set of keypoints.

    Attributes:
        name: of the metric.
        start, end: indices of the keypoints whose distance is the unit of length.
        words: what that distance is.
    """

    name: str
    start: int
    end: int
    words: str


def definitions(keypoints: JointSet) -> list[Pck]:
    """The `Pck`s that a JointSet allows: list.

    "PCKh@0.2" measures in the distance of head and neck, after Andriluka et al. 2014 (MPII), whose heads are annotated
    as boxes. "PCK@0.2-torso" measures in that of left shoulder and right hip, FLIC's torso (Sapp and Taskar 2013).
    """
    wanted = (
        (f"PCKh@{THRESHOLD}", _HEAD, _NECK, "head to neck"),
        (f"PCK@{THRESHOLD}-torso", _LEFT_SHOULDER, _RIGHT_HIP, "left shoulder to right hip"),
    )
    places = [(name, _place(keypoints, start), _place(keypoints, end), words) for name, start, end, words in wanted]
    return [Pck(*place) for place in places if None not in place]


@compiled
def assign_persons(similarity: np.ndarray) -> np.ndarray:
    """Predictions to persons one to one: each, best scored first, gets the free person that it is most similar to.

    Args:
        similarity: float64 [D, G], object keypoint similarity, predictions in order of their scores; below 0 where a
            prediction is too far off to be of that person.

    Returns:
        int64 [G], the prediction of each person, -1 for none.
    """
    owner = np.full(similarity.shape[1], -1)
    for d in range(similarity.shape[0]):
        best = -1
        for g in range(similarity.shape[1]):
            if owner[g] < 0 and similarity[d, g] >= 0 and (best < 0 or similarity[d, g] > similarity[d, best]):
                best = g
        if best >= 0:
            owner[best] = d
    return owner


@compiled
def count_keypoints(places: np.ndarray, owner: np.ndarray, persons: np.ndarray, start: int, end: int) -> np.ndarray:
    """Correct and annotated keypoints of an image's persons; a person without the unit of length is left out.

    Args:
        places: float64 [D, J, 2], the predicted keypoints.
        owner: int64 [G], the prediction of each person, -1 for none: its keypoints are wrong.
        persons: float64 [G, J, 3], x, y, visibility, which is 0 where a keypoint is not annotated.
        start, end: indices of the keypoints whose distance is the unit of length.

    Returns:
        int64 [2, J]: how many of each keypoint are correct, and annotated.
    """
    counts = np.zeros((2, persons.shape[1]), np.int64)
    for g in range(len(persons)):
        person, d = persons[g], owner[g]
        unit = np.hypot(person[start, 0] - person[end, 0], person[start, 1] - person[end, 1])
        if unit == 0 or person[start, 2] <= 0 or person[end, 2] <= 0:
            continue
        for j in range(len(person)):
            if person[j, 2] > 0:
                counts[1, j] += 1
                if d >= 0:
                    distance = np.hypot(places[d, j, 0] - person[j, 0], places[d, j, 1] - person[j, 1])
                    counts[0, j] += distance <= THRESHOLD * unit
    return counts


def _place(keypoints, names):
    return next((keypoints.names.index(name) for name in names if name in keypoints.names), None)
