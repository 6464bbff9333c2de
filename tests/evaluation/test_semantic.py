"""Semantic metrics by hand."""

import math

import pytest
import torch

from maskrcnn_benchmark.evaluation.semantic import SemanticEvaluator
from maskrcnn_benchmark.structures.dense_map import IGNORE_INDEX, SemanticMap
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction, ScoreMap


def pair(truth, predicted, image_id=1, num_classes=4):
    truth, predicted = torch.tensor(truth, dtype=torch.uint8), torch.tensor(predicted)
    size = (truth.shape[1], truth.shape[0])
    scores = torch.nn.functional.one_hot(predicted, num_classes).permute(2, 0, 1).float()
    return (
        ImagePrediction(size, semantic=ScoreMap(scores, size)),
        ImageAnnotations(size, semantic=SemanticMap(truth), image_id=image_id),
    )


def test_two_images_count_together_and_unlabelled_pixels_not():
    evaluator = SemanticEvaluator("abcd")
    for prediction, target in (
        pair([[0, 0, 0, 1]], [[0, 0, 1, 1]], 1),
        pair([[1, 1, IGNORE_INDEX, IGNORE_INDEX]], [[1, 3, 0, 2]], 2),
    ):
        evaluator.process([prediction], [target])
    # class 0: 2 right of 3, union 3; class 1: 2 right of 3, union 4 (one false); classes 2 and 3 are not in the truth
    values = evaluator.evaluate()
    assert values["mIoU"] == pytest.approx((2 / 3 + 2 / 4) / 2)
    assert values["pixel-accuracy"] == pytest.approx(4 / 6)
    assert values["mean-accuracy"] == pytest.approx(2 / 3)
    assert values["fwIoU"] == pytest.approx(0.5 * 2 / 3 + 0.5 * 2 / 4)


def test_an_image_seen_twice_counts_once():
    evaluator = SemanticEvaluator("abcd")
    prediction, target = pair([[0, 1]], [[0, 0]])
    evaluator.process([prediction, prediction], [target, target])
    assert evaluator.evaluate()["pixel-accuracy"] == 0.5
    other_prediction, other = pair([[0, 1]], [[0, 1]], image_id=1)
    evaluator.process([other_prediction], [other])
    assert evaluator.evaluate()["pixel-accuracy"] == 0.5


def test_a_map_without_a_labelled_pixel_is_nan():
    evaluator = SemanticEvaluator("abcd")
    prediction, target = pair([[IGNORE_INDEX] * 2], [[0, 1]])
    evaluator.process([prediction], [target])
    assert all(math.isnan(value) for value in evaluator.evaluate().values())
