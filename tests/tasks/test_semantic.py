"""Semantic metrics by hand."""

import math

import numpy as np
import pytest
import torch

from maskrcnn_benchmark.structures.dense_map import IGNORE_INDEX, SemanticMap
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction, ScoreMap
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.semantic import SEMANTIC, SemanticEvaluator
from maskrcnn_benchmark.utils.errors import UserError


def pair(truth, predicted, image_id=1, num_classes=4):
    truth, predicted = torch.tensor(truth, dtype=torch.uint8), torch.tensor(predicted)
    size = (truth.shape[1], truth.shape[0])
    scores = torch.nn.functional.one_hot(predicted, num_classes).permute(2, 0, 1).float()
    return (
        ImagePrediction(size, semantic=ScoreMap(scores, size)),
        ImageAnnotations(size, semantic=SemanticMap(truth), image_id=image_id),
    )


def two_images():
    evaluator = SemanticEvaluator(SEMANTIC, Vocabulary(semantic_names=tuple("abcd")))
    for prediction, target in (
        pair([[0, 0, 0, 1]], [[0, 0, 1, 1]], 1),
        pair([[1, 1, IGNORE_INDEX, IGNORE_INDEX]], [[1, 3, 0, 2]], 2),
    ):
        evaluator.process([prediction], [target])
    return evaluator


def test_two_images_count_together_and_unlabelled_pixels_not():
    # class 0: 2 right of 3, union 3; class 1: 2 right of 3, union 4 (one false); classes 2 and 3 are not in the truth
    values = two_images().evaluate()
    assert values["mIoU"] == pytest.approx((2 / 3 + 2 / 4) / 2)
    assert values["pixel-accuracy"] == pytest.approx(4 / 6)
    assert values["mean-accuracy"] == pytest.approx(2 / 3)
    assert values["fwIoU"] == pytest.approx(0.5 * 2 / 3 + 0.5 * 2 / 4)


def test_each_class_has_its_figures_and_nan_where_the_truth_lacks_it():
    evaluator = two_images()
    evaluator.evaluate()
    per_class = evaluator.scores.per_class
    nan = math.nan
    assert per_class["IoU"] == pytest.approx({"a": 2 / 3, "b": 2 / 4, "c": nan, "d": nan}, nan_ok=True)
    assert per_class["accuracy"] == pytest.approx({"a": 2 / 3, "b": 2 / 3, "c": nan, "d": nan}, nan_ok=True)
    assert evaluator.scores.reason == ""


def test_an_image_is_scored_over_its_own_classes():
    # image 1: class 0 IoU 2/3, class 1 IoU 1/2; image 2: class 1 alone, one of two pixels
    assert two_images().image_scores() == pytest.approx({1: (2 / 3 + 1 / 2) / 2, 2: 1 / 2})


def test_one_class_everywhere_scores_low_and_classes_exchanged_score_zero():
    truth = [[0, 1, 2, 3]] * 3
    for predicted, expected in (([[0] * 4] * 3, (1 / 4) / 4), ([[1, 0, 3, 2]] * 3, 0.0)):
        evaluator = SemanticEvaluator(SEMANTIC, Vocabulary(semantic_names=tuple("abcd")))
        prediction, target = pair(truth, predicted)
        evaluator.process([prediction], [target])
        assert evaluator.evaluate()["mIoU"] == pytest.approx(expected)


def test_a_class_that_there_is_none_of_is_refused_by_its_value_and_image():
    evaluator = SemanticEvaluator(SEMANTIC, Vocabulary(semantic_names=tuple("abcd")))
    _, target = pair([[0, 1]], [[0, 0]], image_id="2008_000002")
    with pytest.raises(UserError, match="image 2008_000002: the predicted map holds the value 59"):
        evaluator.process([{"semantic": np.array([[0, 59]], np.uint8)}], [target])


def test_an_image_seen_twice_counts_once():
    evaluator = SemanticEvaluator(SEMANTIC, Vocabulary(semantic_names=tuple("abcd")))
    prediction, target = pair([[0, 1]], [[0, 0]])
    evaluator.process([prediction, prediction], [target, target])
    assert evaluator.evaluate()["pixel-accuracy"] == 0.5
    other_prediction, other = pair([[0, 1]], [[0, 1]], image_id=1)
    evaluator.process([other_prediction], [other])
    assert evaluator.evaluate()["pixel-accuracy"] == 0.5


def test_a_map_without_a_labelled_pixel_is_nan():
    evaluator = SemanticEvaluator(SEMANTIC, Vocabulary(semantic_names=tuple("abcd")))
    prediction, target = pair([[IGNORE_INDEX] * 2], [[0, 1]])
    evaluator.process([prediction], [target])
    assert all(math.isnan(value) for value in evaluator.evaluate().values())
    assert evaluator.scores.reason == "no image has a pixel with a semantic label"
    assert math.isnan(evaluator.image_scores()[1])
