"""Depth against numpy by definition."""

import numpy as np
import pytest
import torch

from maskrcnn_benchmark.evaluation.dense.depth import DepthEvaluator
from maskrcnn_benchmark.structures.dense_map import DepthMap
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import TASKS


@pytest.fixture
def evaluator():
    return DepthEvaluator(TASKS["depth"], Vocabulary())


def rmse(truth, predicted):
    return np.sqrt(np.mean((truth - predicted) ** 2))


def target(depth):
    label = DepthMap(torch.from_numpy(np.ascontiguousarray(depth, np.float32)))
    return ImageAnnotations(label.size, image_id=1, labels={"depth": label})


def random_case(seed, size):
    rng = np.random.default_rng(seed)
    depth = rng.uniform(0.4, 9, size).astype(np.float32)
    depth[rng.random(size) < 0.2] = 0
    return (1000 * rng.uniform(0.3, 10, size)).astype(np.uint16), depth


def test_the_metrics_are_those_of_their_definitions(evaluator):
    cases = [random_case(0, (14, 9)), random_case(1, (3, 5)), random_case(2, (30, 21))]
    metrics = evaluator.summarize([evaluator.record(stored, target(depth)) for stored, depth in cases]).metrics
    pairs = [(stored[depth > 0] / 1000, depth[depth > 0].astype(np.float64)) for stored, depth in cases]
    p, g = (np.concatenate(parts) for parts in zip(*pairs))
    assert metrics["RMSE"] == pytest.approx(rmse(g, p), abs=1e-9)
    each = [rmse(truth, predicted) for predicted, truth in pairs]
    assert metrics["RMSE-image"] == pytest.approx(np.mean(each), abs=1e-9)
    assert metrics["absRel"] == pytest.approx(np.mean(np.abs(p - g) / g), abs=1e-9)
    assert metrics["log10"] == pytest.approx(np.mean(np.abs(np.log10(g) - np.log10(p))), abs=1e-9)
    ratio = np.maximum(p / g, g / p)
    for power in (1, 2, 3):
        assert metrics[f"delta{power}"] == pytest.approx((ratio < 1.25**power).mean(), abs=1e-9)


def test_metres_and_millimetres_score_alike_and_a_ratio_of_the_limit_is_not_below_it(evaluator):
    truth = np.array([[1.0, 1.25, 2.0, 0.0]])
    millimetres = np.array([[1250, 1000, 2000, 7]], np.uint16)
    record = evaluator.record(millimetres, target(truth))
    assert np.array_equal(record, evaluator.record((millimetres / 1000).astype(np.float32), target(truth)))
    assert evaluator.image_score(record) == pytest.approx(1 / 3)


def test_nothing_predicted_counts_as_a_millimetre(evaluator):
    metrics = evaluator.summarize([evaluator.record(np.zeros((1, 1), np.uint16), target([[1.0]]))]).metrics
    assert metrics["log10"] == pytest.approx(3) and metrics["RMSE"] == pytest.approx(0.999)


def test_an_image_without_known_depth_does_not_count(evaluator):
    nothing = evaluator.record(np.ones((2, 2), np.uint16), target(np.zeros((2, 2))))
    stored, depth = random_case(3, (4, 4))
    one = evaluator.record(stored, target(depth))
    assert evaluator.summarize([one, nothing]).metrics == evaluator.summarize([one]).metrics
    assert np.isnan(evaluator.image_score(nothing))
    assert evaluator.summarize([nothing]).reason == "no image has a pixel with a known depth"
