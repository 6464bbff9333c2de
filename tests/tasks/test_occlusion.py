"""Occlusion metrics of a circle that lies in front, and directions as whole numbers."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from maskrcnn_benchmark.evaluation.protocols import EdgeProtocol
from maskrcnn_benchmark.structures.dense_map import OcclusionMap
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction, ScoreMap
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.occlusion import OCCLUSION, OcclusionEvaluator, decode_direction, encode_direction

SIZE = (160, 128)


def circle():
    """Edges [H, W] and tangent angle [H, W] everywhere, the circle's inside on the left."""
    image = np.zeros((128, 160), np.uint8)
    cv2.circle(image, (80, 64), 40, 1)
    rows, columns = np.mgrid[:128, :160]
    # from occluder to occluded is outwards; the tangent with the occluder on the left is a quarter turn before it
    theta = np.arctan2(rows - 64, columns - 80) - np.pi / 2
    return torch.from_numpy(image), torch.from_numpy(theta).float()


def evaluate(scores, truth, protocol=None):
    evaluator = OcclusionEvaluator(OCCLUSION, Vocabulary(), protocol or EdgeProtocol(9))
    evaluator.process(
        [ImagePrediction(SIZE, occlusion=ScoreMap(scores, SIZE))],
        [ImageAnnotations(SIZE, occlusion=truth, image_id=1)],
    )
    evaluator.evaluate()
    return evaluator


def score(turn, share=1.0, protocol=None):
    """The circle found exactly, with directions turned by an angle on a share of its pixels (from the top)."""
    edges, theta = circle()
    truth = OcclusionMap(edges, torch.stack([theta.sin(), theta.cos()]) * edges)
    claimed = theta + turn * (torch.arange(128)[:, None] < 128 * share)
    return evaluate(torch.stack([edges.float(), claimed.sin(), claimed.cos()]), truth, protocol).scores.metrics


@pytest.mark.parametrize("suppression", [True, False])
@pytest.mark.parametrize("conventions", ["bsds", "seism"])
def test_the_true_edges_and_directions_score_exactly_one(suppression, conventions):
    values = score(0.0, protocol=EdgeProtocol(9, suppress_non_maxima=suppression, conventions=conventions))
    assert {name.split("-")[0] for name in values} == {"EPR", "OPR", "AOR"}
    assert set(values.values()) == {1}


def test_reversed_directions_keep_the_edges_and_lose_the_orientation():
    values = score(np.pi)
    assert all(value == (1 if name.startswith("EPR") else 0) for name, value in values.items())


@pytest.mark.parametrize(("turn", "right"), [(1.57, 1), (-1.57, 1), (1.572, 0), (-1.572, 0)])
def test_directions_within_ninety_degrees_are_right(turn, right):
    assert score(turn)["OPR-ODS-F"] == right


def test_half_the_directions_wrong_halve_the_precision_but_not_the_recall():
    values = score(np.pi, share=0.5)
    # recall 1, precision 1/2
    assert values["EPR-ODS-F"] == 1
    assert values["OPR-ODS-F"] == pytest.approx(2 * 0.5 / 1.5, abs=0.02)
    assert values["AOR-ODS-F"] == values["OPR-ODS-F"]
    assert values["AOR-AP"] == pytest.approx(0.5, abs=0.02)


def test_directions_are_judged_apart_from_false_edges():
    edges, theta = circle()
    truth = OcclusionMap(edges, torch.stack([theta.sin(), theta.cos()]) * edges)
    false = edges.clone()
    false[2, 20 : 20 + int(edges.sum() / 2)] = 1  # half as many again
    values = evaluate(torch.stack([false.float(), theta.sin(), theta.cos()]), truth).scores.metrics
    assert values["EPR-AP"] == values["OPR-AP"] == pytest.approx(2 / 3, abs=0.01)
    assert values["AOR-AP"] == 1


def test_a_prediction_without_direction_is_not_right():
    edges, theta = circle()
    truth = OcclusionMap(edges, torch.stack([theta.sin(), theta.cos()]) * edges)
    scores = torch.stack([edges.float(), torch.zeros(128, 160), torch.zeros(128, 160)])
    values = evaluate(scores, truth).scores.metrics
    assert values["EPR-ODS-F"] == 1
    assert values["OPR-ODS-F"] == values["AOR-ODS-F"] == 0


def test_where_nobody_knows_the_direction_none_is_wrong():
    edges, theta = circle()
    unknown = OcclusionMap(edges, torch.zeros(2, 128, 160))
    scores = torch.stack([edges.float(), theta.sin(), theta.cos()])
    assert evaluate(scores, unknown).scores.metrics["OPR-ODS-F"] == 1
    scores = torch.stack([edges.float(), torch.zeros(128, 160), torch.zeros(128, 160)])
    assert evaluate(scores, unknown).scores.metrics["OPR-ODS-F"] == 1


def test_the_prediction_is_not_thinned():
    edges, theta = circle()
    truth = OcclusionMap(edges, torch.stack([theta.sin(), theta.cos()]) * edges)
    thick = torch.from_numpy(cv2.dilate(edges.numpy(), np.ones((3, 3), np.uint8)))
    values = evaluate(torch.stack([thick.float(), theta.sin(), theta.cos()]), truth).scores.metrics
    assert values["EPR-AP"] == pytest.approx(int(edges.sum()) / int(thick.sum()))


def test_a_shifted_or_missing_circle_and_a_full_map_score_low():
    edges, theta = circle()
    truth = OcclusionMap(edges, torch.stack([theta.sin(), theta.cos()]) * edges)
    shifted = evaluate(torch.stack([edges.float(), theta.sin(), theta.cos()]).roll(6, dims=2), truth)
    assert shifted.scores.metrics["OPR-ODS-F"] < 0.45
    nothing = evaluate(torch.stack([edges.float() * 0, theta.sin(), theta.cos()]), truth)
    assert set(nothing.scores.metrics.values()) == {0}
    everything = evaluate(torch.stack([torch.ones(128, 160), theta.sin(), theta.cos()]), truth)
    assert everything.scores.metrics["EPR-ODS-F"] < 0.05


def test_curves_and_the_score_of_an_image():
    edges, theta = circle()
    truth = OcclusionMap(edges, torch.stack([theta.sin(), theta.cos()]) * edges)
    strength = edges * torch.linspace(0.2, 1, 160)
    claimed = theta + np.pi * (torch.arange(128)[:, None] < 32)
    protocol = EdgeProtocol(9, suppress_non_maxima=False)
    evaluator = evaluate(torch.stack([strength, claimed.sin(), claimed.cos()]), truth, protocol)
    directed, edge, accuracy = evaluator.scores.curves
    assert [curve.name for curve in evaluator.scores.curves] == ["occlusion_OPR", "occlusion_EPR", "occlusion_AOR"]
    assert accuracy.y_range == (0.5, 1.0)
    # All curves have the recall of edges; every predicted pixel has a partner here, so OPR and AOR are the same
    assert edge.lines[0].x.tolist() == directed.lines[0].x.tolist() == accuracy.lines[0].x.tolist()
    assert set(edge.lines[0].y) == {1}
    assert directed.lines[0].y.tolist() == accuracy.lines[0].y.tolist()
    recall, precision = directed.lines[0].x[-1], directed.lines[0].y[-1]
    assert evaluator.image_scores()[1] == pytest.approx(2 * recall * precision / (recall + precision))


def test_nothing_to_score_is_nan_with_a_reason():
    none = OcclusionEvaluator(OCCLUSION, Vocabulary())
    values = none.evaluate()
    assert set(values) == set(score(0.0)) and np.isnan(list(values.values())).all()
    assert none.scores.reason == "no image has annotated occlusion edges"
    empty = evaluate(torch.ones(3, 128, 160), OcclusionMap(circle()[0] * 0, torch.zeros(2, 128, 160)))
    assert np.isnan(list(empty.scores.metrics.values())).all()
    assert empty.scores.reason == "no annotated image has an occlusion edge"


def test_the_protocol_names_what_the_figures_depend_on():
    line = OcclusionEvaluator(OCCLUSION, Vocabulary(), EdgeProtocol(33)).protocol
    for word in ("bsds", "33", "0.0075", "not thinned", "recall of edges", "90 degrees"):
        assert word in line


@given(st.floats(-np.pi, np.pi), st.floats(1e-3, 1e3))
def test_a_direction_survives_to_a_hundredth_of_a_degree(theta, length):
    code = encode_direction(length * np.sin(theta), length * np.cos(theta))
    sin, cos = decode_direction(code)
    difference = np.arctan2(np.sin(theta) * cos - np.cos(theta) * sin, np.cos(theta) * cos + np.sin(theta) * sin)
    assert abs(difference) < np.deg2rad(0.01)
    assert np.hypot(sin, cos) == 1 or abs(np.hypot(sin, cos) - 1) < 1e-12


@given(arrays(np.uint16, (5,), elements=st.integers(0, 65534)))
def test_a_direction_that_was_read_is_written_as_it_was(code):
    assert np.array_equal(encode_direction(*decode_direction(code)), code)


def test_no_direction_is_none_and_due_right_is_the_first():
    assert encode_direction(np.array([0.0, 0.0]), np.array([0.0, 2.0])).tolist() == [0, 1]
    assert decode_direction(np.array([0], np.uint16)).tolist() == [[0.0], [0.0]]
