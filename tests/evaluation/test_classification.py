"""VOC 2010 average precision by hand."""

import math

import numpy as np
import pytest
import torch

from maskrcnn_benchmark.evaluation.classification import ClassificationEvaluator, average_precision
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction


def test_average_precision_by_hand():
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
    positive = np.array([True, False, True, False, True])
    # precision at the hits: 1, 2/3, 3/5
    assert average_precision(scores, positive) == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)


def test_precision_is_made_monotone_first():
    scores = np.array([0.9, 0.8, 0.7, 0.6])
    positive = np.array([False, True, True, True])
    # raw precisions 1/2, 2/3, 3/4: each recall takes the best precision at or beyond it
    assert average_precision(scores, positive) == pytest.approx(3 / 4)


def test_equal_scores_are_one_point_whatever_their_order():
    for positive in ([True, False, False, False], [False, False, False, True]):
        assert average_precision(np.full(4, 0.3), np.array(positive)) == pytest.approx(1 / 4)


def test_a_label_without_positives_is_nan_and_leaves_the_mean():
    assert math.isnan(average_precision(np.array([0.1, 0.2]), np.array([False, False])))
    evaluator = ClassificationEvaluator(("dog", "sky", "boat"), ("dog", "boat"))
    for image_id, (scores, truth) in enumerate([((0.9, 0.1, 0.5), (1, 0, 0)), ((0.2, 0.1, 0.5), (0, 1, 0))]):
        evaluator.process(
            [ImagePrediction((8, 8), classes=torch.tensor(scores))],
            [ImageAnnotations((8, 8), classes=torch.tensor(truth).float(), image_id=image_id)],
        )
    assert evaluator.evaluate() == {"mAP": pytest.approx((1 + 1 / 2) / 2), "mAP-things": pytest.approx(1)}


def test_a_wrong_number_of_labels_is_refused():
    evaluator = ClassificationEvaluator(("dog", "sky"))
    with pytest.raises(ValueError, match="3 scores and 2 annotated labels for 2 labels"):
        evaluator.process(
            [ImagePrediction((8, 8), classes=torch.zeros(3))],
            [ImageAnnotations((8, 8), classes=torch.zeros(2), image_id=0)],
        )
