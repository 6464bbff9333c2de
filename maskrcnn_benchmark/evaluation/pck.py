"""Percentage of correct keypoints (PCK): joints that lie near enough to where they were annotated."""

from dataclasses import dataclass

import numpy as np
from numba import njit

THRESHOLD = 0.2

# Names of the joints whose distance is the unit of length, in the order of preference
_HEAD, _NECK = ("head",), ("neck",)
_LEFT_SHOULDER, _RIGHT_HIP = ("lsho", "left_shoulder"), ("rhip", "right_hip")


@dataclass(frozen=True)
class Pck:
    """A definition of PCK for a set of joints.

    Attributes:
        name: of the metric.
        start, end: indices of the joints whose distance is the unit of length.
        words: what that distance is.
    """

    name: str
    start: int
    end: int
    words: str


def definitions(joints):
    """The `Pck`s that a JointSet allows: list.

    "PCKh@0.2" measures in the distance of head and neck, after Andriluka et al. 2014 (MPII), whose heads are annotated
    as boxes. "PCK@0.2-torso" measures in that of left shoulder and right hip, FLIC's torso (Sapp and Taskar 2013).
    """
    wanted = (
        (f"PCKh@{THRESHOLD}", _HEAD, _NECK, "head to neck"),
        (f"PCK@{THRESHOLD}-torso", _LEFT_SHOULDER, _RIGHT_HIP, "left shoulder to right hip"),
    )
    places = [(name, _place(joints, start), _place(joints, end), words) for name, start, end, words in wanted]
    return [Pck(*place) for place in places if None not in place]


@njit(cache=True)
def assign_people(similarity):
    """Predictions to people one to one: each, best scored first, gets the free person that it is most similar to.

    Args:
        similarity: float64 [D, G], object keypoint similarity, predictions in order of their scores.

    Returns:
        int64 [G], the prediction of each person, -1 for none.
    """
    owner = np.full(similarity.shape[1], -1)
    for d in range(min(similarity.shape[0], similarity.shape[1])):
        best = -1
        for g in range(similarity.shape[1]):
            if owner[g] < 0 and (best < 0 or similarity[d, g] > similarity[d, best]):
                best = g
        owner[best] = d
    return owner


def count_joints(places, owner, people, pck):
    """Correct and annotated joints of an image's people; a person without the unit of length is left out.

    Args:
        places: float64 [D, J, 2], the predicted joints.
        owner: int64 [G], the prediction of each person, -1 for none: its joints are wrong.
        people: float64 [G, J, 3], x, y, visibility, which is 0 where a joint is not annotated.
        pck: the `Pck`.

    Returns:
        int64 [2, J]: how many of each joint are correct, and annotated.
    """
    shown = people[:, :, 2] > 0
    unit = np.linalg.norm(people[:, pck.start, :2] - people[:, pck.end, :2], axis=1)
    measured = shown[:, pck.start] & shown[:, pck.end] & (unit > 0)
    annotated = shown & measured[:, None]
    found = np.full((len(people), people.shape[1]), np.inf)
    has_owner = owner >= 0
    found[has_owner] = np.linalg.norm(places[owner[has_owner]] - people[has_owner, :, :2], axis=2)
    correct = annotated & (found <= THRESHOLD * unit[:, None])
    return np.stack([correct.sum(axis=0), annotated.sum(axis=0)])


def _place(joints, names):
    return next((joints.names.index(name) for name in names if name in joints.names), None)
