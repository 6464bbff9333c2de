"""Answers from files as predictions: what evaluators and drawing functions see in them is what the files say."""

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask

from maskrcnn_benchmark.prediction_files.as_prediction import LabelMap, to_prediction
from maskrcnn_benchmark.tasks.task import tasks_of_layout

TASKS = tasks_of_layout("detail")  # the eight of PASCAL in Detail

SIZE = 160, 128  # of the scene


@pytest.fixture
def stored(scene, perfect, vocabulary):
    """The stored predictions of all tasks on one image."""
    prediction = perfect(scene(3))
    return {key: task.encode(prediction, vocabulary) for key, task in TASKS.items()}


def decoded(stored, vocabulary, *tasks, size=SIZE):
    """The prediction to draw, objects those of the first of the tasks; by default of all."""
    return to_prediction(stored, size, vocabulary, [TASKS[key] for key in tasks or TASKS])


def test_what_is_stored_is_read_off_the_prediction_again(stored, vocabulary):
    given = stored
    again = {key: task.encode(decoded(stored, vocabulary, key), vocabulary) for key, task in TASKS.items()}
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
def test_every_task_can_be_drawn(stored, vocabulary, scene, task):
    image = np.full((*SIZE[::-1], 3), 128, np.uint8)
    drawn = TASKS[task].draw(image, decoded(stored, vocabulary, task), vocabulary)
    missing = TASKS[task].draw(image, decoded({}, vocabulary, task), vocabulary)
    height = len(missing)  # legends stand below
    assert drawn.shape[1:] == missing.shape[1:] and len(drawn) >= height and (drawn[:height] != missing).any()


def test_a_mask_is_drawn_where_it_lies(vocabulary):
    width, height = SIZE
    mask = np.zeros((height, width), np.uint8, order="F")
    mask[20:100, 20:60] = 1
    row = {"category_id": 3, "segmentation": coco_mask.encode(mask), "score": 0.9}
    prediction = decoded({"instance": [row]}, vocabulary)
    image = np.full((height, width, 3), 128, np.uint8)
    drawn = TASKS["instance"].draw(image, prediction, vocabulary)
    scale = drawn.shape[1] / width
    inside, outside = ((round(y * scale), round(x * scale)) for y, x in ((25, 25), (110, 140)))
    assert (drawn[inside] != 128).any() and (drawn[outside] == 128).all()


def test_fields_of_the_same_objects_are_joined_and_maps_lie_beside_them(stored, vocabulary):
    prediction = decoded(stored, vocabulary)
    assert prediction.size == SIZE and set(prediction.outputs) == set(TASKS) - {"instance", "keypoint"}
    # there are keypoints of one object alone
    assert {"labels", "scores", "mask"} == set(prediction.instances.fields())
    assert decoded(stored, vocabulary, "keypoint").instances.get_field("keypoints").keypoints.shape == (1, 14, 3)


def test_lists_of_other_objects_do_not_mix(stored, vocabulary):
    given = {**stored, "instance": stored["instance"][::-1]}
    assert not decoded(given, vocabulary).instances.has_field("mask")
    masks = decoded(given, vocabulary, "instance", "detection").instances
    first = coco_mask.decode(given["instance"][0]["segmentation"])
    assert (masks.get_field("mask")[0, 0].numpy() == first).all() and len(masks) == len(given["instance"])


def test_the_best_objects_come_first_and_no_more_than_a_picture_shows(vocabulary):
    rows = [{"category_id": 1, "bbox": [0, 0, 2, 3], "score": k / 500} for k in range(500)]
    instances = decoded({"detection": rows}, vocabulary, size=(20, 10)).instances
    assert len(instances) == 100 and instances.get_field("scores")[0] == pytest.approx(0.998)
    assert instances.bbox[0].tolist() == [0, 0, 1, 2]


def test_pixels_without_a_class_are_none_of_the_classes(vocabulary):
    labels = np.array([[0, 255], [4, 1]], np.uint8)
    semantic = decoded({"semantic": labels}, vocabulary, size=(2, 2)).semantic
    assert semantic.scores.argmax(0).tolist() == labels.tolist()
    assert semantic.resize((4, 4)).scores.argmax(0)[0].tolist() == [0, 0, 255, 255]
    assert LabelMap(torch.tensor([[2]], dtype=torch.uint8), 3).scores.flatten().tolist() == [0, 0, 1]
