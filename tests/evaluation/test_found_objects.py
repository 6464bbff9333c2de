"""Detections are paired with the annotated objects that they find."""

import torch

from maskrcnn_benchmark.evaluation.found_objects import found_objects
from maskrcnn_benchmark.structures.bounding_box import BoxList


def objects(boxes, labels):
    annotated = BoxList(torch.tensor(boxes).float().reshape(-1, 4), (100, 100))
    annotated.add_field("labels", torch.tensor(labels))
    return annotated


def row(box, label, score):
    return {"category_id": label, "bbox": box, "score": score}


def test_each_object_goes_to_the_best_scored_detection_of_its_class():
    annotated = objects([[0, 0, 9, 9], [50, 50, 69, 69]], [1, 2])
    rows = [
        row([0, 0, 10, 10], 1, 0.3),
        row([0, 0, 10, 9], 1, 0.9),
        row([50, 50, 20, 20], 1, 0.8),
        row([55, 50, 20, 20], 2, 0.1),
    ]
    assert found_objects(rows, annotated) == [(rows[1], 0), (rows[3], 1)]


def test_a_detection_takes_its_nearest_object_among_those_left():
    annotated = objects([[0, 0, 9, 9], [0, 0, 9, 11]], [1, 1])
    rows = [row([0, 0, 10, 10], 1, 0.9), row([0, 0, 10, 10], 1, 0.8), row([0, 0, 10, 10], 1, 0.7)]
    assert found_objects(rows, annotated) == [(rows[0], 0), (rows[1], 1)]


def test_less_than_the_least_iou_finds_nothing():
    annotated = objects([[0, 0, 9, 9]], [1])
    assert found_objects([row([0, 0, 10, 4], 1, 0.9)], annotated) == []
    assert len(found_objects([row([0, 0, 10, 5], 1, 0.9)], annotated)) == 1


def test_nothing_pairs_with_nothing():
    assert found_objects([], objects([[0, 0, 9, 9]], [1])) == []
    assert found_objects([row([0, 0, 10, 10], 1, 0.9)], objects([], [])) == []
