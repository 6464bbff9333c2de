"""VOC's average precision on cases that can be counted by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from maskrcnn_benchmark.evaluation.coco.voc import (
    PASSED_OVER,
    RIGHT,
    WRONG,
    DetectionAndVocEvaluator,
    average_precision,
    curve,
    eleven_point_precision,
    judge,
)
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.detection import DETECTION

SIZE = (100, 100)
BOX = (10, 10, 29, 29)
HALF = (10, 10, 29, 19)  # exactly half of BOX, as its last pixels count
LESS = (10, 10, 29, 18)
AWAY = (60, 60, 79, 79)


def truth(image_id, *objects, marked=True):
    """ImageAnnotations of objects (box, label, difficult)."""
    boxes, labels, difficult = zip(*objects) if objects else ((), (), ())
    instances = BoxList(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4), SIZE)
    instances.add_field("labels", torch.tensor(labels, dtype=torch.int64))
    instances.add_field("iscrowd", torch.tensor(difficult, dtype=torch.bool))
    if marked:
        instances.add_field("difficult", torch.tensor(difficult, dtype=torch.bool))
    return ImageAnnotations(SIZE, instances, image_id=image_id)


def answer(*objects):
    """ImagePrediction of objects (box, label, score)."""
    boxes, labels, scores = zip(*objects) if objects else ((), (), ())
    instances = BoxList(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4), SIZE)
    instances.add_field("labels", torch.tensor(labels, dtype=torch.int64))
    instances.add_field("scores", torch.tensor(scores, dtype=torch.float32))
    return ImagePrediction(SIZE, instances)


def score(pairs, names=("dog", "cat")):
    evaluator = DetectionAndVocEvaluator(DETECTION, Vocabulary(thing_names=names))
    for prediction, target in pairs:
        evaluator.process([prediction], [target])
    return evaluator.evaluate()


def judged(predicted, annotated):
    columns = [list(zip(*rows)) if rows else [(), (), ()] for rows in (predicted, annotated)]
    kinds = (np.float32, np.int64, np.float64)
    arrays = [[np.array(c, kind) for c, kind in zip(column, kinds)] for column in columns]
    for each in arrays:
        each[0] = each[0].reshape(-1, 4)
    return judge(*arrays)[2].tolist()


def test_half_an_overlap_is_enough_and_less_is_not():
    assert judged([(HALF, 1, 0.9)], [(BOX, 1, 0)]) == [RIGHT]
    assert judged([(LESS, 1, 0.9)], [(BOX, 1, 0)]) == [WRONG]
    assert judged([(BOX, 2, 0.9)], [(BOX, 1, 0)]) == [WRONG]


def test_the_best_scored_prediction_of_an_object_is_right_and_the_others_wrong():
    assert judged([(BOX, 1, 0.3), (HALF, 1, 0.9), (AWAY, 1, 0.8)], [(BOX, 1, 0), (AWAY, 1, 0)]) == [RIGHT, RIGHT, WRONG]


def test_predictions_of_difficult_objects_are_passed_over_however_many():
    assert judged([(BOX, 1, 0.9), (HALF, 1, 0.8), (AWAY, 1, 0.7)], [(BOX, 1, 1)]) == [PASSED_OVER, PASSED_OVER, WRONG]


def test_images_without_objects_or_predictions_are_judged():
    assert judged([(BOX, 1, 0.9)], []) == [WRONG] and judged([], [(BOX, 1, 0)]) == []


def test_average_precision_counted_by_hand():
    # right, wrong, right of three objects: recall 1/3, 1/3, 2/3 at precision 1, 1/2, 2/3
    recall, precision = curve(np.array([RIGHT, WRONG, PASSED_OVER, RIGHT], np.int8), 3)
    assert recall.tolist() == pytest.approx([1 / 3, 1 / 3, 2 / 3])
    assert precision.tolist() == pytest.approx([1, 1 / 2, 2 / 3])
    assert average_precision(recall, precision) == pytest.approx(1 / 3 + 1 / 3 * 2 / 3)
    # recalls 0, 0.1, 0.2, 0.3 see precision 1; 0.4, 0.5, 0.6 see 2/3; the rest see nothing
    assert eleven_point_precision(recall, precision) == pytest.approx((4 + 3 * 2 / 3) / 11)


def test_a_recall_of_exactly_a_tenth_counts_for_it():
    recall, precision = curve(np.array([RIGHT] * 3, np.int8), 10)
    assert eleven_point_precision(recall, precision) == pytest.approx(4 / 11)


def test_metrics_of_several_images_and_classes():
    pairs = [
        (answer((BOX, 1, 0.9), (AWAY, 1, 0.95), (BOX, 2, 0.5)), truth("a", (BOX, 1, False), (BOX, 2, True))),
        (answer((BOX, 1, 0.8)), truth("b", (BOX, 1, False), (AWAY, 2, False))),
        (answer((BOX, 1, 0.99)), truth("c")),
    ]
    metrics = score(pairs)
    # dog: wrong, wrong, right, right of two objects; cat: one object that nobody found
    assert metrics["VOC-AP dog"] == pytest.approx(0.5) and metrics["VOC-AP cat"] == 0
    assert metrics["VOC-mAP"] == pytest.approx(0.25) and metrics["VOC-mAP-11pt"] == pytest.approx(0.25)
    assert list(metrics)[:4] == ["AP", "VOC-mAP", "VOC-mAP-11pt", "AP50"]


def test_a_class_whose_objects_are_all_difficult_has_no_precision():
    metrics = score([(answer((BOX, 1, 0.9)), truth("a", (BOX, 1, False), (AWAY, 2, True)))])
    assert np.isnan(metrics["VOC-AP cat"]) and metrics["VOC-mAP"] == 1
    metrics = score([(answer((BOX, 1, 0.9)), truth("a", (AWAY, 2, True)))])
    assert np.isnan(metrics["VOC-mAP"]) and np.isnan(metrics["VOC-mAP-11pt"])


def test_data_sets_that_mark_nothing_difficult_have_cocos_metrics_alone():
    metrics = score([(answer((BOX, 1, 0.9)), truth("a", (BOX, 1, False), marked=False))])
    assert metrics["AP"] == pytest.approx(1) and not any(name.startswith("VOC") for name in metrics)


def test_merged_halves_equal_one_pass():
    pairs = [(answer((BOX, 1, 0.9 - k / 10)), truth(k, (BOX if k % 2 else AWAY, 1, k == 3))) for k in range(5)]
    names = Vocabulary(thing_names=("dog", "cat"))
    whole, first, second = (DetectionAndVocEvaluator(DETECTION, names) for _ in range(3))
    for k, (prediction, target) in enumerate(pairs):
        for evaluator in (whole, first if k < 3 else second):
            evaluator.process([prediction], [target])
    second.merge([first.state()])
    assert second.evaluate() == pytest.approx(whole.evaluate(), nan_ok=True)


@given(
    st.lists(
        st.tuples(st.integers(0, 79), st.integers(0, 79), st.integers(2, 20), st.integers(1, 2), st.booleans()),
        min_size=1,
        max_size=6,
        unique_by=lambda o: o[:2],
    )
)
def test_a_perfect_answer_scores_one(objects):
    objects = [((x, y, x + side, y + side), label, difficult) for x, y, side, label, difficult in objects]
    prediction = answer(*((box, label, 0.5 + k / 100) for k, (box, label, _) in enumerate(objects)))
    metrics = score([(prediction, truth("a", *objects))])
    expected = 1.0 if not all(difficult for *_, difficult in objects) else np.nan
    assert metrics["VOC-mAP"] == pytest.approx(expected, nan_ok=True)
    assert metrics["VOC-mAP-11pt"] == pytest.approx(expected, nan_ok=True)
