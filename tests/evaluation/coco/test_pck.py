"""Who gets which prediction, and which joints are near enough."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskrcnn_benchmark.evaluation.coco.pck import assign_persons, count_keypoints, definitions
from maskrcnn_benchmark.structures.keypoint import COCO_JOINTS, DETAIL_JOINTS, JointSet


def test_the_best_scored_prediction_chooses_first():
    # the second would fit person 0 better, but the first has taken it
    similarity = np.array([[0.6, 0.5], [0.9, 0.1], [1.0, 1.0]])
    assert assign_persons(similarity).tolist() == [0, 1]


def test_people_for_whom_no_prediction_is_left_have_none():
    assert assign_persons(np.array([[0.1, 0.3, 0.2]])).tolist() == [-1, 0, -1]
    assert assign_persons(np.zeros((0, 2))).tolist() == [-1, -1] and assign_persons(np.zeros((3, 0))).tolist() == []


def test_a_prediction_that_is_of_nobody_takes_nobody():
    assert assign_persons(np.array([[-1.0, -1.0], [-1.0, 0.2], [0.0, 0.9]])).tolist() == [2, 1]


@given(st.integers(0, 10**6), st.integers(0, 6), st.integers(0, 6))
def test_assignment_is_one_to_one_and_spares_nobody(seed, predictions, people):
    owner = assign_persons(np.random.default_rng(seed).random((predictions, people)))
    given_out = owner[owner >= 0]
    assert sorted(given_out.tolist()) == list(range(min(predictions, people)))


PERSON = np.array([[0, 0, 1], [0, 10, 1], [5, 5, 2], [7, 7, 0]], float)
UNIT = (0, 1)


def test_a_joint_on_the_border_is_near_enough():
    places = np.array([[[0, 0], [0, 10], [5, 7.0], [7, 7]], [[0, 0], [0, 12.01], [5, 7.01], [7, 7]]])
    count = [count_keypoints(places, np.array([k]), PERSON[None], *UNIT).tolist() for k in (0, 1)]
    assert count == [[[1, 1, 1, 0], [1, 1, 1, 0]], [[1, 0, 0, 0], [1, 1, 1, 0]]]


def test_nobody_assigned_means_wrong_and_no_unit_means_left_out():
    places, alone = np.zeros((0, 4, 2)), np.array([-1])
    assert count_keypoints(places, alone, PERSON[None], *UNIT).tolist() == [[0, 0, 0, 0], [1, 1, 1, 0]]
    hidden, together = PERSON.copy(), PERSON.copy()
    hidden[1, 2], together[1, :2] = 0, 0
    for person in (hidden, together):
        assert count_keypoints(places, alone, person[None], *UNIT).sum() == 0


@pytest.mark.parametrize(
    ("joints", "expected"),
    [
        (DETAIL_JOINTS, {"PCKh@0.2": ("head", "neck"), "PCK@0.2-torso": ("lsho", "rhip")}),
        (COCO_JOINTS, {"PCK@0.2-torso": ("left_shoulder", "right_hip")}),
        (JointSet.from_names(["head", "tail"]), {}),
    ],
)
def test_units_are_found_by_the_names_of_joints(joints, expected):
    found = {pck.name: (joints.names[pck.start], joints.names[pck.end]) for pck in definitions(joints)}
    assert found == expected
