"""How orders of occlusion are scored."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from maskrcnn_benchmark.evaluation.coco.rows import encode
from maskrcnn_benchmark.evaluation.occlusion_order import (
    NOT_FOUND,
    TRIVIAL_RULES,
    OcclusionOrderEvaluator,
    count_order,
    matched_rows,
)
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.computed import Computed
from maskrcnn_benchmark.structures.dense_map import OcclusionMap
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.structures.occlusion_order import OcclusionOrder
from maskrcnn_benchmark.structures.segmentation_mask import SegmentationMask
from maskrcnn_benchmark.tasks.task import TASKS

SIZE = 12, 6
SILENT = {name: np.zeros((3, 3), bool) for name in TRIVIAL_RULES}


def matrix(count, *pairs):
    order = np.zeros((count, count), bool)
    for i, j in pairs:
        order[i, j] = True
    return order


def evaluator(vocabulary):
    return OcclusionOrderEvaluator(TASKS["occlusion_order"], vocabulary)


def test_the_example_of_the_metrics_definitions(vocabulary):
    counts = count_order(matrix(3, (0, 1), (1, 2)), matrix(3, (0, 1), (0, 2), (2, 1)), SILENT, np.arange(3))
    assert counts.precision_recall_f1() == (pytest.approx(1 / 3), 0.5, pytest.approx(0.4))
    metrics = evaluator(vocabulary).summarize([counts]).metrics
    assert metrics["accuracy"] == pytest.approx(1 / 3) and metrics["occluded-accuracy"] == 0.5
    assert (metrics["precision"], metrics["recall"]) == (pytest.approx(1 / 3), 0.5)
    assert metrics["F1"] == pytest.approx(0.4)


def test_nothing_to_be_right_about_counts_as_right():
    none, one = matrix(2), matrix(2, (0, 1))
    silent = dict.fromkeys(TRIVIAL_RULES, none)
    assert count_order(none, none, silent, np.arange(2)).precision_recall_f1() == (1, 1, 1)
    assert count_order(one, none, silent, np.arange(2)).precision_recall_f1() == (1, 0, 0)
    assert count_order(none, one, silent, np.arange(2)).precision_recall_f1() == (0, 1, 0)


def test_a_mutual_occlusion_is_right_both_ways_alone():
    both, one = matrix(2, (0, 1), (1, 0)), matrix(2, (0, 1))
    silent = dict.fromkeys(TRIVIAL_RULES, one)
    assert count_order(both, both, silent, np.arange(2)).occluded_right == 1
    counts = count_order(both, one, silent, np.arange(2))
    assert (counts.occluded, counts.occluded_right, counts.smaller) == (1, 0, 0)
    assert counts.precision_recall_f1() == (1, 0.5, pytest.approx(2 / 3))


def test_an_object_that_was_not_found_makes_its_pairs_wrong(vocabulary):
    annotated = matrix(3, (0, 1))
    counts = count_order(annotated, annotated, SILENT, np.array([4, 0, NOT_FOUND]))
    assert (counts.pairs, counts.found, counts.right) == (3, 1, 1)
    counts = count_order(annotated, annotated, SILENT, np.array([4, NOT_FOUND, 0]))
    assert (counts.occluded, counts.occluded_found, counts.occluded_right, counts.claimed) == (1, 0, 0, 0)
    metrics = evaluator(vocabulary).summarize([counts]).metrics
    assert metrics["accuracy"] == pytest.approx(1 / 3) and metrics["accuracy-found"] == 1
    assert metrics["occluded-accuracy"] == 0 and math.isnan(metrics["occluded-accuracy-found"])


@given(st.integers(0, 2**32 - 1), st.integers(2, 5))
def test_counts_are_those_of_a_slow_computation(seed, count):
    rng = np.random.default_rng(seed)
    annotated, predicted, trivial = rng.random((3, count, count)) < 0.4
    for order in (annotated, predicted, trivial):
        np.fill_diagonal(order, False)
    found = np.where(rng.random(count) < 0.7, rng.permutation(count), NOT_FOUND)
    counts = count_order(annotated, predicted, dict.fromkeys(TRIVIAL_RULES, trivial), found)
    expected = dict.fromkeys(counts._fields, 0)
    for i in range(count):
        for j in range(count):
            known = found[i] >= 0 and found[j] >= 0
            expected["claimed"] += bool(known and predicted[i, j])
            expected["true"] += bool(annotated[i, j])
            expected["hits"] += bool(known and predicted[i, j] and annotated[i, j])
            if i >= j:
                continue
            state = annotated[i, j], annotated[j, i]
            right = known and state == (predicted[i, j], predicted[j, i])
            expected["pairs"] += 1
            expected["found"] += known
            expected["right"] += right
            if any(state):
                expected["occluded"] += 1
                expected["occluded_found"] += known
                expected["occluded_right"] += right
                for name in TRIVIAL_RULES:
                    expected[name] += known and state == (trivial[i, j], trivial[j, i])
    assert counts._asdict() == expected


def masks_of(*columns):
    """bool [n, H, W], each True from a column to another, excluded, in all rows or in those given."""
    masks = np.zeros((len(columns), SIZE[1], SIZE[0]), bool)
    for mask, (left, right, *rows) in zip(masks, columns):
        mask[slice(*rows) if rows else slice(None), left:right] = True
    return masks


def order_of(masks, labels, scores=None, in_front=None):
    count = len(masks)
    in_front = np.zeros((count, count), bool) if in_front is None else in_front
    scores = np.ones(count) if scores is None else np.asarray(scores, float)
    return OcclusionOrder(np.arange(count), np.asarray(labels), scores, masks, in_front * 5.0, in_front)


def rows_of(order):
    return [
        {"category_id": int(label), "score": float(score), "segmentation": code}
        for label, score, code in zip(order.labels, order.scores, encode(order.masks))
    ]


def test_objects_are_found_by_the_best_score_of_their_class():
    annotated = order_of(masks_of((0, 6), (6, 12)), [1, 2])
    predicted = order_of(
        masks_of((0, 6), (0, 5), (6, 12), (6, 9), (6, 8)), [1, 1, 1, 2, 2], scores=[0.3, 0.9, 0.8, 0.2, 0.7]
    )
    assert matched_rows(rows_of(predicted), annotated).tolist() == [1, 3]
    assert matched_rows([], annotated).tolist() == [NOT_FOUND] * 2
    assert matched_rows(rows_of(predicted), order_of(masks_of(), [])).tolist() == []


def target(image_id=1):
    """A large object behind a small one at its foot, and another one apart from both."""
    masks = masks_of((0, 6), (6, 9, 2, 6), (10, 12))
    boxes = torch.tensor([[0.0, 0, 5, 5], [6, 2, 8, 5], [10, 0, 11, 5]])
    objects = BoxList(boxes, SIZE)
    objects.add_field("labels", torch.tensor([1, 1, 2]))
    objects.add_field("masks", SegmentationMask(torch.from_numpy(masks).to(torch.uint8), SIZE, mode="mask"))
    places = torch.arange(2, 6) * SIZE[0] + 6
    tangents = torch.tensor([1.0, 0.0])[:, None].expand(2, 4)  # down: in front is what lies on the right
    occlusion = OcclusionMap.of_edges(places, tangents, SIZE)
    return ImageAnnotations(SIZE, objects, occlusion=occlusion, image_id=image_id), masks


def scored(vocabulary, *orders):
    scorer = evaluator(vocabulary)
    for number, order in enumerate(orders):
        annotations, _ = target(number)
        outputs = {"occlusion_order": Computed(lambda order=order: order, SIZE)}
        scorer.process([ImagePrediction(SIZE, outputs=outputs)], [annotations])
    return scorer.evaluate(), scorer


def test_the_annotated_order_scores_one(vocabulary):
    annotations, _ = target()
    metrics, scorer = scored(vocabulary, OcclusionOrder.of_annotations(annotations))
    names = ("occluded-accuracy", "accuracy", "precision", "recall", "F1", "occluded-found", "accuracy-found")
    assert [metrics[name] for name in names] == [1] * 7
    assert scorer.image_scores() == {0: 1.0} and "-found" in scorer.scores.protocol


def test_trivial_rules_are_asked_of_the_same_objects(vocabulary):
    _, masks = target()
    metrics, _ = scored(vocabulary, order_of(masks, [1, 1, 2], scores=[0.9, 0.8, 0.7]))
    assert metrics["occluded-accuracy"] == 0 and metrics["accuracy"] == pytest.approx(2 / 3)
    assert metrics["occluded-accuracy-smaller"] == metrics["occluded-accuracy-lower"] == 1
    assert metrics["occluded-accuracy-score"] == 0
    assert metrics["occluded-accuracy-lowest"] == 0  # both end in the same row: it cannot decide
    metrics, _ = scored(vocabulary, order_of(masks[[0, 2]], [1, 2]))
    assert metrics["occluded-accuracy-smaller"] == 0 and metrics["occluded-found"] == 0


def test_without_pairs_it_says_why(vocabulary):
    scores = evaluator(vocabulary).summarize([])
    assert math.isnan(scores.metrics["occluded-accuracy"]) and "two objects" in scores.reason
    none = count_order(matrix(2), matrix(2), {name: matrix(2) for name in TRIVIAL_RULES}, np.arange(2))
    scores = evaluator(vocabulary).summarize([none])
    assert scores.metrics["accuracy"] == 1 and "hides another" in scores.reason
