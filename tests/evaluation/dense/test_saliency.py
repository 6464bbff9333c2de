"""Saliency's three measures, each against its definition, and the defect that tells two of them apart."""

import numpy as np
import pytest
import torch

from maskrcnn_benchmark.evaluation.dense.saliency import SaliencyEvaluator
from maskrcnn_benchmark.structures.dense_map import IGNORE_INDEX, SemanticMap
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import TASKS


def target(labels, image_id=1):
    label = SemanticMap(torch.from_numpy(np.ascontiguousarray(labels, np.uint8)))
    return ImageAnnotations(label.size, image_id=image_id, labels={"saliency": label})


@pytest.fixture
def evaluator():
    return SaliencyEvaluator(TASKS["saliency"], Vocabulary())


def random_maps(number=4):
    rng = np.random.default_rng(3)
    labels = [rng.choice([0, 1, IGNORE_INDEX], (13, 17), p=[0.6, 0.3, 0.1]).astype(np.uint8) for _ in range(number)]
    strengths = [rng.integers(0, 256, (13, 17)).astype(np.uint8) for _ in range(number)]
    strengths[1] |= 100 * (labels[1] == 1).astype(np.uint8)
    return labels, strengths


def f_by_definition(labels, shares, thresholds):
    known = [label != IGNORE_INDEX for label in labels]
    truth = np.concatenate([label[here] == 1 for label, here in zip(labels, known)])
    share = np.concatenate([share[here] for share, here in zip(shares, known)])
    found = []
    for threshold in thresholds:
        right = np.sum((share >= threshold) & truth)
        precision = right / max(np.sum(share >= threshold), 1)
        recall = right / truth.sum()
        found.append(1.3 * precision * recall / (0.3 * precision + recall) if right else 0)
    return max(found)


def jaccard(truth, predicted):
    return np.sum(truth & predicted) / np.sum(truth | predicted)


def test_the_measures_are_those_of_their_definitions(evaluator):
    labels, strengths = random_maps()
    records = [evaluator.record(strength, target(label)) for label, strength in zip(labels, strengths)]
    metrics = evaluator.summarize(records).metrics
    shares = [strength / 255 for strength in strengths]
    thresholds = [k / 20 for k in range(1, 20)]
    assert metrics["maxF"] == pytest.approx(f_by_definition(labels, shares, thresholds), abs=1e-9)
    twice = [1 / (1 + np.exp(-share)) for share in shares]
    assert metrics["maxF-invpt"] == pytest.approx(f_by_definition(labels, twice, thresholds), abs=1e-9)
    known = [label != IGNORE_INDEX for label in labels]
    ious = [
        np.mean([jaccard(label[k] == 1, share[k] > t) for label, share, k in zip(labels, shares, known)])
        for t in np.linspace(0.2, 0.9, 15)
    ]
    assert metrics["max-mIoU"] == pytest.approx(max(ious), abs=1e-9)
    errors = [np.abs(share - label)[k].mean() for label, share, k in zip(labels, shares, known)]
    assert metrics["MAE"] == pytest.approx(np.mean(errors), abs=1e-9)


def test_the_second_sigmoid_leaves_four_thresholds(evaluator):
    # 0.5 and 0.6 are told apart by true thresholds, but both lie between 0.4055 and 0.6190
    strength = np.array([[round(0.6 * 255), round(0.5 * 255)]], np.uint8)
    metrics = evaluator.summarize([evaluator.record(strength, target([[1, 0]]))]).metrics
    assert metrics["maxF"] == 1
    assert metrics["maxF-invpt"] == pytest.approx(1.3 * 0.5 / (0.3 * 0.5 + 1))
    for edge in (0.2007, 0.4055, 0.6190, 0.8473):
        apart = np.array([[np.ceil(edge * 255), np.floor(edge * 255)]]).astype(np.uint8)
        assert evaluator.summarize([evaluator.record(apart, target([[1, 0]]))]).metrics["maxF-invpt"] == 1
    beyond = np.array([[255, round(0.86 * 255)]], np.uint8)
    assert evaluator.summarize([evaluator.record(beyond, target([[1, 0]]))]).metrics["maxF-invpt"] < 1


def test_a_strength_at_a_threshold_reaches_it_for_f_and_not_for_the_mean_iou(evaluator):
    # 204 / 255 is 0.8
    strength = np.array([[204, 203]], np.uint8)
    record = evaluator.record(strength, target([[1, 0]]))
    assert evaluator.summarize([record]).metrics["maxF"] == 1
    assert evaluator.summarize([record]).metrics["max-mIoU"] == 0.5


def test_nothing_predicted_where_nothing_is_salient_is_right_in_the_mean_iou_alone(evaluator):
    empty, salient = np.zeros((2, 2), np.uint8), np.ones((2, 2), np.uint8)
    records = [evaluator.record(empty, target(empty)), evaluator.record(salient * 255, target(salient))]
    assert evaluator.summarize(records).metrics == {"maxF": 1, "maxF-invpt": 1, "max-mIoU": 1, "MAE": 0}
    scores = evaluator.summarize(records[:1])
    assert scores.reason == "no image has a salient pixel" and np.isnan(scores.metrics["maxF"])
    assert scores.metrics["max-mIoU"] == 1 and evaluator.image_score(records[0]) == 1
    nothing = evaluator.record(empty, target(np.full((2, 2), IGNORE_INDEX)))
    assert np.isnan(evaluator.image_score(nothing)) and "no image has a pixel" in evaluator.summarize([nothing]).reason
