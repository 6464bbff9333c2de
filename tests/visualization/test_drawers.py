"""The table of drawers and what all of them have in common."""

import numpy as np
import pytest

from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.tasks.task import TASKS
from maskrcnn_benchmark.visualization.canvas import message_panel
from maskrcnn_benchmark.visualization.drawers import DRAWERS


def test_every_task_has_a_drawer():
    assert list(DRAWERS) == list(TASKS)


@pytest.mark.parametrize("task", TASKS)
def test_truth_and_prediction_are_drawn_at_the_canvas_size(task, image, truth, prediction, vocabulary):
    before = image.copy()
    for answer in (truth, prediction):
        picture = DRAWERS[task](image, answer, vocabulary)
        assert picture.shape == (360, 480, 3)
        assert picture.dtype == np.uint8
        assert not np.array_equal(picture, message_panel(image, "not annotated"))
        assert not np.array_equal(picture, message_panel(image, "not predicted"))
    assert np.array_equal(image, before)


@pytest.mark.parametrize("task", TASKS)
def test_a_task_without_an_answer_is_a_grey_panel_that_says_so(task, image, vocabulary):
    size = (image.shape[1], image.shape[0])
    truth = DRAWERS[task](image, ImageAnnotations(size), vocabulary)
    prediction = DRAWERS[task](image, ImagePrediction(size), vocabulary)
    assert np.array_equal(truth, message_panel(image, "not annotated"))
    assert np.array_equal(prediction, message_panel(image, "not predicted"))


@pytest.mark.parametrize("task", TASKS)
def test_drawing_twice_gives_the_same_picture(task, image, prediction, vocabulary):
    first, second = (DRAWERS[task](image, prediction, vocabulary) for _ in range(2))
    assert np.array_equal(first, second)
