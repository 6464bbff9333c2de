"""What no annotation of an image can hold is told in words, record by record."""

import re

import pytest

from maskrcnn_benchmark.data.coco.records import (
    is_box,
    is_size,
    problem_of_keypoints,
    problem_of_segmentation,
    read_joints,
)
from maskrcnn_benchmark.utils.errors import UserError

HUGE = 10**400


@pytest.mark.parametrize(
    ("keypoints", "words"),
    [
        ([1, 2, 2017], "have the visibility 2017, which is not 0, 1 or 2"),
        ([562738.0, 2, 2], "have the coordinate 562738.0, beyond any image"),
        ([float("nan"), 2, 2], "have a coordinate that is not finite"),
        ([HUGE, 2, 2], "have the coordinate a huge number, beyond any image"),
        ([True, 2, 2], "are not all numbers"),
        (["1", 2, 2], "are not all numbers"),
    ],
)
def test_keypoints_that_cannot_be(keypoints, words):
    assert problem_of_keypoints(keypoints, 3) == words
    assert problem_of_keypoints([1, -2.5, 2], 3) is None


@pytest.mark.parametrize("number", [float("nan"), float("inf"), HUGE, True, "1", None, -1, 1e9])
def test_boxes_and_areas_that_cannot_be(number):
    assert not is_box([0, 0, number, 1]) and is_box([-3, 0, 5.5, 0])
    assert number == 1e9 or not is_size(number)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ({"size": [10**9, 10**9], "counts": "0"}, "more than PIL"),
        ({"size": ["8", 10], "counts": "0"}, "of the size \\['8', 10\\]"),
        ({"size": [8, 10], "counts": [-7, 87]}, "not lengths of up to 80 pixels"),
        ({"size": [8, 10], "counts": [{}]}, "not lengths of up to 80 pixels"),
        ({"size": [8, 10], "counts": 5}, "neither a list nor COCO"),
    ],
)
def test_run_length_codes_that_cannot_be(code, words):
    assert re.search(words, problem_of_segmentation(code))


@pytest.mark.parametrize("skeleton", [[[1, float("inf")]], [[1, float("nan")]], [[1]], [1], 5])
def test_a_skeleton_of_no_pairs_names_its_category(skeleton):
    row = {"name": "hand", "keypoints": ["a", "b"], "skeleton": skeleton}
    with pytest.raises(UserError, match="skeleton of category 'hand'"):
        read_joints("a.json", [row], True)
