"""Occlusion figures of a circle that lies in front."""

import cv2
import numpy as np
import pytest
import torch

from maskrcnn_benchmark.evaluation.occlusion import OcclusionEvaluator
from maskrcnn_benchmark.evaluation.protocols import EdgeProtocol
from maskrcnn_benchmark.structures.dense_map import OcclusionMap
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction, ScoreMap

SIZE = (160, 128)


def circle():
    """Edges [H, W] and tangent angle [H, W] everywhere, the circle's inside on the left."""
    image = np.zeros((128, 160), np.uint8)
    cv2.circle(image, (80, 64), 40, 1)
    rows, columns = np.mgrid[:128, :160]
    # from occluder to occluded is outwards; the tangent with the occluder on the left is a quarter turn before it
    theta = np.arctan2(rows - 64, columns - 80) - np.pi / 2
    return torch.from_numpy(image), torch.from_numpy(theta).float()


def score(turn, share=1.0):
    """The circle found exactly, with directions turned by an angle on a share of its pixels (from the top)."""
    edges, theta = circle()
    truth = OcclusionMap(edges, torch.stack([theta.sin(), theta.cos()]) * edges)
    claimed = theta + turn * (torch.arange(128)[:, None] < 128 * share)
    scores = torch.stack([edges.float(), claimed.sin(), claimed.cos()])
    evaluator = OcclusionEvaluator(EdgeProtocol(9))
    evaluator.process(
        [ImagePrediction(SIZE, occlusion=ScoreMap(scores, SIZE))],
        [ImageAnnotations(SIZE, occlusion=truth, image_id=1)],
    )
    return evaluator.evaluate()


def test_the_true_edges_and_directions_score_one():
    values = score(0.0)
    assert values["EPR-ODS-F"] > 0.99
    assert values["OPR-ODS-F"] == pytest.approx(values["EPR-ODS-F"])


def test_reversed_directions_keep_the_edges_and_lose_the_orientation():
    values = score(np.pi)
    assert values["EPR-ODS-F"] > 0.99
    assert values["OPR-ODS-F"] < 0.01


@pytest.mark.parametrize(("turn", "right"), [(1.5, True), (-1.5, True), (1.65, False), (-1.65, False)])
def test_directions_within_ninety_degrees_are_right(turn, right):
    assert (score(turn)["OPR-ODS-F"] > 0.95) == right


def test_half_the_directions_wrong_halve_the_precision_but_not_the_recall():
    values = score(np.pi, share=0.5)
    # recall 1, precision 1/2
    assert values["OPR-ODS-F"] == pytest.approx(2 * 0.5 / 1.5, abs=0.02)


def test_a_prediction_without_direction_is_not_right():
    edges, theta = circle()
    truth = OcclusionMap(edges, torch.stack([theta.sin(), theta.cos()]) * edges)
    scores = torch.stack([edges.float(), torch.zeros(128, 160), torch.zeros(128, 160)])
    evaluator = OcclusionEvaluator(EdgeProtocol(9))
    evaluator.process(
        [ImagePrediction(SIZE, occlusion=ScoreMap(scores, SIZE))],
        [ImageAnnotations(SIZE, occlusion=truth, image_id=1)],
    )
    assert evaluator.evaluate()["OPR-ODS-F"] == 0
