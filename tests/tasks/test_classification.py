"""VOC 2010 average precision by hand and step by step as the development kit defines it."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from maskrcnn_benchmark.evaluation.average_precision import average_precision, precision_at_recalls
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.classification import CLASSIFICATION, ClassificationEvaluator
from maskrcnn_benchmark.utils.errors import UserError

NAMES = ("dog", "sky", "boat")


def evaluated(images):
    """The evaluator of dog, sky and boat (dog and boat are things) after images (scores, truth)."""
    evaluator = ClassificationEvaluator(
        CLASSIFICATION, Vocabulary(image_label_names=NAMES, thing_names=("dog", "boat"))
    )
    for image_id, (scores, truth) in enumerate(images):
        evaluator.process(
            [ImagePrediction((8, 8), classes=torch.tensor(scores))],
            [ImageAnnotations((8, 8), classes=torch.tensor(truth).float(), image_id=image_id)],
        )
    evaluator.evaluate()
    return evaluator


def development_kit(scores, positive, count):
    """VOCap over VOCevalcls, a recall at a time."""
    ranking = sorted(range(len(scores)), key=lambda i: -scores[i])
    recall, precision, right = [0.0], [0.0], 0
    for rank, item in enumerate(ranking, 1):
        right += positive[item]
        recall.append(right / count)
        precision.append(right / rank)
    recall.append(1.0)
    precision.append(0.0)
    for i in range(len(precision) - 2, -1, -1):
        precision[i] = max(precision[i], precision[i + 1])
    return sum((recall[i] - recall[i - 1]) * precision[i] for i in range(1, len(recall)))


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), unique_by=lambda item: item[0]), st.integers(0, 3))
def test_average_precision_is_the_development_kits(items, missed):
    scores, positive = np.array([s for s, _ in items]), np.array([p for _, p in items], bool)
    count = int(positive.sum()) + missed
    if count:
        expected = development_kit(scores, positive, count)
        assert average_precision(scores, positive, count) == pytest.approx(expected)


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
    evaluator = evaluated([((0.9, 0.1, 0.5), (1, 0, 0)), ((0.2, 0.1, 0.5), (0, 1, 0))])
    assert evaluator.scores.metrics == {"mAP": pytest.approx((1 + 1 / 2) / 2), "mAP-things": pytest.approx(1)}
    expected = {"dog": 1, "sky": 1 / 2, "boat": math.nan}
    assert evaluator.scores.per_class["AP"] == pytest.approx(expected, nan_ok=True)


def test_an_images_score_is_the_ap_of_its_own_ranking():
    evaluator = evaluated([((0.9, 0.1, 0.5), (1, 0, 1)), ((0.9, 0.1, 0.5), (0, 1, 0)), ((0.9, 0.1, 0.5), (0, 0, 0))])
    scores = evaluator.image_scores()
    assert (scores[0], scores[1]) == (pytest.approx(1), pytest.approx(1 / 3))
    assert math.isnan(scores[2])


def test_the_curve_is_the_mean_over_labels_of_the_best_precision_at_each_recall():
    # dog: precision 1/2 at recall 1/2, 2/3 at recall 1, so 2/3 throughout; sky: 1 up to recall 1/2, then 2/3
    rows = [((0.9, 0.9, 0.0), (0, 1, 0)), ((0.8, 0.8, 0.0), (1, 0, 0)), ((0.7, 0.7, 0.0), (1, 1, 0))]
    curve = evaluated(rows).scores.curves[0]
    everything, things = curve.lines
    assert things.y == pytest.approx(np.full(101, 2 / 3))
    assert everything.y == pytest.approx(np.where(np.arange(101) <= 50, (2 / 3 + 1) / 2, 2 / 3))
    assert everything.x[50] == 0.5


def test_a_recall_that_is_never_reached_has_no_precision():
    scores, positive = np.array([0.9, 0.8]), np.array([True, False])
    assert precision_at_recalls(scores, positive, np.array([0.0, 1.0, 1.1])).tolist() == [1, 1, 0]


def test_scores_the_wrong_way_round_score_low_and_equal_ones_the_frequency():
    truth = [(1, 0, 0)] + [(0, 1, 0)] * 9
    worst = evaluated([((0.0, 0.0, 0.0), t) if t[0] else ((1.0, 0.0, 0.0), t) for t in truth])
    assert worst.scores.per_class["AP"]["dog"] == pytest.approx(1 / 10)
    assert evaluated([((0.5, 0.5, 0.5), t) for t in truth]).scores.per_class["AP"]["dog"] == pytest.approx(1 / 10)


def test_without_a_label_or_a_thing_the_reason_is_said():
    assert evaluated([]).scores.reason == "no image has an annotated label"
    only_sky = evaluated([((0.9, 0.1, 0.5), (0, 1, 0))])
    assert only_sky.scores.metrics["mAP"] == 1 and math.isnan(only_sky.scores.metrics["mAP-things"])
    assert only_sky.scores.reason == "no image has a thing among its labels"


def test_a_wrong_number_of_labels_is_refused():
    evaluator = ClassificationEvaluator(CLASSIFICATION, Vocabulary(image_label_names=("dog", "sky")))
    with pytest.raises(UserError, match="image 0 has 3 scores and 2 annotated labels, but there are 2 labels"):
        evaluator.process(
            [ImagePrediction((8, 8), classes=torch.zeros(3))],
            [ImageAnnotations((8, 8), classes=torch.zeros(2), image_id=0)],
        )


def test_a_score_that_is_no_number_is_refused_by_the_name_of_its_label():
    evaluator = ClassificationEvaluator(CLASSIFICATION, Vocabulary(image_label_names=NAMES))
    answers = {"classification": np.array([0.1, np.nan, 0.3])}
    with pytest.raises(UserError, match=r"image 7 has a score that is not a number \(nan\): sky"):
        evaluator.process([answers], [ImageAnnotations((8, 8), classes=torch.zeros(3), image_id=7)])
