"""Angles of normals against numpy by definition; the median to within a bin."""

import numpy as np
import pytest
import torch

from maskrcnn_benchmark.evaluation.dense.normals import BIN, NormalsEvaluator
from maskrcnn_benchmark.structures.dense_map import NO_NORMAL, NormalMap
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import TASKS


@pytest.fixture
def evaluator():
    return NormalsEvaluator(TASKS["normals"], Vocabulary())


def target(label):
    return ImageAnnotations(label.size, image_id=1, labels={"normals": label})


def random_case(seed, size=(23, 31)):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 256, (3, *size)).astype(np.uint8)
    codes[:, :3] = NO_NORMAL
    noise = rng.integers(-40, 40, codes.shape)
    return np.clip(codes.astype(int) + noise, 0, 255).astype(np.uint8), NormalMap.of_codes(torch.from_numpy(codes))


def angles_by_definition(stored, label):
    truth = label.normals.numpy().astype(np.float64)
    known = (truth != 0).any(axis=0)
    vectors = (2 * stored.astype(np.float64) / 255 - 1) if stored.dtype == np.uint8 else stored.astype(np.float64)
    p, g = vectors[:, known].T, truth[:, known].T
    p = p / np.linalg.norm(p, axis=1, keepdims=True)
    half = np.arctan2(np.linalg.norm(p - g, axis=1), np.linalg.norm(p + g, axis=1))
    return np.degrees(2 * half)


def test_the_metrics_are_those_of_all_pixels_together(evaluator):
    cases = [random_case(0), random_case(1, (5, 8)), random_case(2, (40, 11))]
    angles = np.concatenate([angles_by_definition(*case) for case in cases])
    metrics = evaluator.summarize([evaluator.record(stored, target(label)) for stored, label in cases]).metrics
    assert metrics["mean-error"] == pytest.approx(angles.mean(), abs=1e-9)
    assert metrics["median-error"] == pytest.approx(np.median(angles), abs=BIN)
    for limit in (11.25, 22.5, 30):
        assert metrics[f"within-{limit:g}"] == pytest.approx((angles < limit).mean(), abs=1e-9)


def test_arrays_of_any_length_score_as_their_directions(evaluator):
    stored, label = random_case(4)
    vectors = (2 * stored.astype(np.float32) / 255 - 1) * np.float32(3)
    metrics = evaluator.summarize([evaluator.record(vectors, target(label))]).metrics
    assert metrics["mean-error"] == pytest.approx(angles_by_definition(vectors, label).mean(), abs=1e-9)


def test_right_opposite_and_no_direction(evaluator):
    normals = torch.zeros(3, 1, 3)
    normals[2] = 1
    stored = np.zeros((3, 1, 3), np.float32)
    stored[2, 0] = 5, -1, 0
    record = evaluator.record(stored, target(NormalMap(normals)))
    assert evaluator.summarize([record]).metrics["mean-error"] == pytest.approx((0 + 180 + 90) / 3)
    assert evaluator.image_score(record) == pytest.approx(0)
    exact = evaluator.record(np.where(stored != 0, 1, stored), target(NormalMap(normals)))
    assert evaluator.summarize([exact]).metrics["median-error"] < BIN


def test_an_image_without_labelled_pixels_does_not_count(evaluator):
    nothing = evaluator.record(np.zeros((3, 2, 2), np.uint8), target(NormalMap(torch.zeros(3, 2, 2))))
    assert np.isnan(evaluator.image_score(nothing))
    assert evaluator.summarize([nothing]).reason == "no image has a pixel with a normal"
    assert np.isnan(evaluator.summarize([]).metrics["mean-error"])
    stored, label = random_case(5)
    one = evaluator.record(stored, target(label))
    assert evaluator.summarize([one, nothing]).metrics == evaluator.summarize([one]).metrics
