"""Answers from files as predictions: what evaluators and drawing functions see in them is what the files say."""

import numpy as np
import pytest
import torch
from maskrcnn_benchmark.visualization.drawers import DRAWERS
from pycocotools import mask as coco_mask

from maskrcnn_benchmark.evaluation.evaluator import build_evaluators
from maskrcnn_benchmark.prediction_files.as_prediction import LabelMap, to_prediction
from maskrcnn_benchmark.prediction_files.encodings import ImageAnswers
from maskrcnn_benchmark.tasks.task import TASKS


@pytest.fixture
def answers(scene, perfect, vocabulary):
    """The answers of all tasks on one image."""
    prediction = perfect(scene(3))
    given = {task: e.answer(prediction) for task, e in build_evaluators(list(TASKS), vocabulary).items()}
    return ImageAnswers(prediction.size, given, 3)


def test_evaluators_read_the_same_answers_off_the_prediction(answers, vocabulary):
    prediction = to_prediction(answers, vocabulary)
    assert prediction.size == answers.size and prediction.image_id == 3
    again = {task: e.answer(prediction) for task, e in build_evaluators(list(TASKS), vocabulary).items()}
    given = answers.answers
    for task, key in (("detection", "bbox"), ("instance", "segmentation"), ("keypoint", "keypoints")):
        assert [row["category_id"] for row in again[task]] == [row["category_id"] for row in given[task]]
        assert [row[key] for row in again[task]] == [row[key] for row in given[task]], task
    for task in ("semantic", "boundary"):
        assert (again[task] == given[task]).all(), task
    assert (again["part"].labels == given["part"].labels).all()
    assert (again["occlusion"].strength == given["occlusion"].strength).all()
    assert (again["occlusion"].direction == given["occlusion"].direction).all()
    assert again["classification"] == pytest.approx(given["classification"])


@pytest.mark.parametrize("task", TASKS)
def test_every_task_can_be_drawn(answers, vocabulary, scene, task):
    image = np.full((*answers.size[::-1], 3), 128, np.uint8)
    drawn = DRAWERS[task](image, to_prediction(answers, vocabulary, task), vocabulary)
    nothing = ImageAnswers(answers.size, {})
    missing = DRAWERS[task](image, to_prediction(nothing, vocabulary, task), vocabulary)
    assert drawn.shape == missing.shape and (drawn != missing).any()


def test_a_mask_is_drawn_where_it_lies(answers, vocabulary):
    width, height = answers.size
    mask = np.zeros((height, width), np.uint8, order="F")
    mask[20:100, 20:60] = 1
    row = {"category_id": 3, "segmentation": coco_mask.encode(mask), "score": 0.9}
    prediction = to_prediction(ImageAnswers(answers.size, {"instance": [row]}), vocabulary)
    image = np.full((height, width, 3), 128, np.uint8)
    drawn = DRAWERS["instance"](image, prediction, vocabulary)
    scale = drawn.shape[1] / width
    inside, outside = ((round(y * scale), round(x * scale)) for y, x in ((25, 25), (110, 140)))
    assert (drawn[inside] != 128).any() and (drawn[outside] == 128).all()


def test_lists_of_other_objects_do_not_mix(answers, vocabulary):
    given = dict(answers.answers)
    given["instance"] = given["instance"][::-1]
    mixed = ImageAnswers(answers.size, given)
    assert not to_prediction(mixed, vocabulary).instances.has_field("mask")
    masks = to_prediction(mixed, vocabulary, "instance").instances
    first = coco_mask.decode(given["instance"][0]["segmentation"])
    assert (masks.get_field("mask")[0, 0].numpy() == first).all() and len(masks) == len(given["instance"])


def test_the_best_objects_come_first_and_no_more_than_a_picture_shows(vocabulary):
    rows = [{"category_id": 1, "bbox": [0, 0, 2, 3], "score": k / 500} for k in range(500)]
    instances = to_prediction(ImageAnswers((20, 10), {"detection": rows}), vocabulary).instances
    assert len(instances) == 100 and instances.get_field("scores")[0] == pytest.approx(0.998)
    assert instances.bbox[0].tolist() == [0, 0, 1, 2]


def test_pixels_without_a_class_are_none_of_the_classes(vocabulary):
    labels = np.array([[0, 255], [4, 1]], np.uint8)
    semantic = to_prediction(ImageAnswers((2, 2), {"semantic": labels}), vocabulary).semantic
    assert semantic.scores.argmax(0).tolist() == labels.tolist()
    assert semantic.resize((4, 4)).scores.argmax(0)[0].tolist() == [0, 0, 255, 255]
    assert LabelMap(torch.tensor([[2]], dtype=torch.uint8), 3).scores.flatten().tolist() == [0, 0, 1]
