"""Boundary figures of drawn contours."""

import cv2
import numpy as np
import pytest
import torch

from maskrcnn_benchmark.evaluation.boundary import BoundaryEvaluator, count_reaching, edge_levels
from maskrcnn_benchmark.evaluation.protocols import EdgeProtocol
from maskrcnn_benchmark.structures.dense_map import BoundaryMap
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction, ScoreMap

SIZE = (160, 128)


def ellipse(shift=0):
    image = np.zeros((128, 160), np.uint8)
    cv2.ellipse(image, (80 + shift, 64), (50, 35), 20, 0, 360, 1)
    return torch.from_numpy(image)


def score(probability, truth, num_thresholds=19):
    evaluator = BoundaryEvaluator(EdgeProtocol(num_thresholds))
    evaluator.process(
        [ImagePrediction(SIZE, boundary=ScoreMap(torch.as_tensor(probability).float()[None], SIZE))],
        [ImageAnnotations(SIZE, boundary=BoundaryMap(truth), image_id=1)],
    )
    return evaluator.evaluate()


def test_the_true_contour_scores_one():
    values = score(ellipse(), ellipse())
    assert values["ODS-F"] > 0.99
    assert values["OIS-F"] > 0.99


def test_a_soft_contour_is_as_good_as_a_sharp_one():
    soft = cv2.GaussianBlur(ellipse().float().numpy(), (0, 0), 1.5)
    assert score(soft / soft.max(), ellipse())["ODS-F"] > 0.99


def test_a_thick_contour_is_thinned_on_both_sides():
    thick = torch.from_numpy(cv2.dilate(ellipse().numpy(), np.ones((3, 3), np.uint8)))
    assert score(ellipse(), thick)["ODS-F"] > 0.95
    assert score(thick, ellipse())["ODS-F"] > 0.95


def test_nothing_predicted_scores_zero():
    assert score(torch.zeros(128, 160), ellipse()) == {"ODS-F": 0, "OIS-F": 0, "AP": 0}


def test_a_contour_shifted_beyond_the_tolerance_scores_low():
    # the tolerance is 0.0075 of 205 pixels, 1.5
    assert score(ellipse(1), ellipse())["ODS-F"] > 0.9
    assert score(ellipse(6), ellipse())["ODS-F"] < 0.45


def test_false_contours_cost_precision_by_their_share():
    line = ellipse()
    false = line.clone()
    false[8, 20:140] = 1
    values = score(false, line)
    count, extra = int(line.sum()), 120
    assert values["ODS-F"] == pytest.approx(2 * count / (2 * count + extra), abs=0.01)


def test_levels_count_the_thresholds_reached():
    thresholds = np.array([0.25, 0.5, 0.75])
    levels = edge_levels(np.array([[0.1, 0.25, 0.6, 1.0]]), thresholds)
    assert levels.tolist() == [[0, 1, 2, 3]]
    assert count_reaching(levels, 3).tolist() == [3, 2, 1]
