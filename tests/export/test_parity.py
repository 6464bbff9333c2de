"""What counts as the same answer."""

import numpy as np
import pytest

from maskrcnn_benchmark.export.parity import Parity, largest, same_objects
from maskrcnn_benchmark.export.signature import signature_of


def answers(**changes):
    """Two objects, one of them a person with two joints, and maps."""
    plain = {
        "boxes": np.float32([[0, 0, 9, 9], [5, 5, 30, 40]]),
        "scores": np.float32([0.9, 0.5]),
        "labels": np.int64([1, 2]),
        "masks": np.full((2, 4, 4), 0.5, np.float32),
        "keypoints": np.float32([[[0, 0, 0]] * 2, [[10, 20, 1], [12, 22, 1]]]),
        "keypoint_scores": np.float32([[0, 0], [3, 4]]),
        "occlusion": np.float32([[[0.0, 1.0]], [[1.0, 0.0]], [[0.0, 1.0]]]),
        "classes": np.float32([0.25, 0.75]),
    }
    return {**plain, **{name: np.asarray(value, plain[name].dtype) for name, value in changes.items()}}


def faults(small, **changes):
    parity = Parity(signature_of(small.model))
    parity.compare(answers(), answers(**changes), "photo")
    return parity.faults


def test_equal_answers_have_no_fault(small):
    parity = Parity(signature_of(small.model))
    parity.compare(answers(), answers(), "photo")
    assert parity.faults == []
    assert parity.tasks["detection"].largest == {"boxes": 0, "scores": 0} and parity.tasks["detection"].compared == 2
    assert parity.tasks["instance"].compared == 2 and parity.tasks["classification"].compared == 1


def test_the_order_of_objects_does_not_matter(small):
    names = ("boxes", "scores", "labels", "masks", "keypoints", "keypoint_scores")
    assert faults(small, **{name: answers()[name][::-1] for name in names}) == []


@pytest.mark.parametrize(
    "change, fault",
    [
        ({"boxes": [[0, 0, 9, 9], [5, 5, 30.5, 40]]}, "detection: photo: boxes differ by 0.5, more than 0.1"),
        ({"scores": [0.9, 0.502]}, "detection: photo: scores differ by 0.002, more than 0.001"),
        ({"labels": [1, 3]}, "detection: photo: 2 objects, but 2 in the file, 1 the same"),
        ({"boxes": [[0, 0, 9, 9], [5, 5, 33, 40]]}, "detection: photo: 2 objects, but 2 in the file, 1 the same"),
        ({"masks": np.full((2, 4, 4), 0.6)}, "instance: photo: masks differ by 0.1, more than 0.001"),
        ({"masks": np.full((2, 5, 5), 0.5)}, "instance: photo: masks is [2, 5, 5], not [2, 4, 4]"),
        ({"keypoint_scores": [[0, 0], [3, 5]]}, "keypoint: photo: keypoint_scores differ by 1, more than 0.001"),
        (
            {"keypoints": [[[0, 0, 0]] * 2, [[10, 20, 1], [12, 29, 1]]]},
            "keypoint: photo: 1 of 4 keypoints differ by more than 1",
        ),
        ({"classes": [0.25, np.nan]}, "classification: photo: classes differ by nan, more than 0.001"),
        ({"classes": [0.25]}, "classification: photo: classes is [1], not [2]"),
        ({"occlusion": [[[0, 1]], [[1, 0.1]], [[0, 1]]]}, "occlusion: photo: occlusion differ by 0.1, more than 0.001"),
    ],
)
def test_each_difference_is_named(small, change, fault):
    assert faults(small, **change) == [fault]


def test_direction_is_any_where_no_edge_is(small):
    assert faults(small, occlusion=[[[0, 1]], [[-1, 0]], [[0, 1]]]) == []


def test_a_missing_object_and_a_missing_output_are_faults(small):
    less = {name: value[:1] if name != "occlusion" else value for name, value in answers(classes=[0.25, 0.75]).items()}
    less["classes"] = answers()["classes"]
    parity = Parity(signature_of(small.model))
    parity.compare(answers(), less, "photo")
    assert parity.faults == ["detection: photo: 2 objects, but 1 in the file, 1 the same"]
    parity.compare({"classes": answers()["classes"]}, {}, "photo")
    assert "outputs are , not classes" in parity.faults[-1]


def test_objects_in_one_place_are_told_apart_by_score():
    box = np.zeros((2, 4), np.float32)
    one = {"boxes": box, "scores": np.float32([0.2, 0.8]), "labels": np.int64([1, 1])}
    other = {"boxes": box, "scores": np.float32([0.8, 0.2]), "labels": np.int64([1, 1])}
    assert [index.tolist() for index in same_objects(one, other)] == [[0, 1], [1, 0]]


def test_nothing_differs_from_nothing():
    assert largest(np.zeros((0, 4)), np.zeros((0, 4))) == 0
