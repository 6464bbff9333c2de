"""What no annotation of an image can hold is told in words, record by record."""

import re

import pytest

from maskrcnn_benchmark.data.coco.records import is_box, is_size, problem_of_segmentation

HUGE = 10**400


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
