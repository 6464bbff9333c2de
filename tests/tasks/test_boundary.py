"""Boundary metrics of drawn contours."""

import cv2
import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_bipartite_matching

from maskrcnn_benchmark.evaluation.edges.thinning import thin
from maskrcnn_benchmark.evaluation.protocols import BOUNDARY_PROTOCOLS, EdgeProtocol
from maskrcnn_benchmark.structures.dense_map import BoundaryMap
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction, ScoreMap
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.boundary import BOUNDARY, BoundaryEvaluator

SIZE = (160, 128)
PERFECT = {"ODS-F": 1, "OIS-F": 1, "AP": 1, "R50": 1}
PROTOCOLS = [
    EdgeProtocol(19, suppress_non_maxima=suppression, conventions=conventions)
    for suppression in (True, False)
    for conventions in ("bsds", "seism")
]


def ellipse(shift=0):
    image = np.zeros((128, 160), np.uint8)
    cv2.ellipse(image, (80 + shift, 64), (50, 35), 20, 0, 360, 1)
    return torch.from_numpy(image)


def lines(*columns):
    image = torch.zeros(128, 160, dtype=torch.uint8)
    for column in columns:
        image[20:100, column] = 1
    return image


def evaluate(cases, protocol=None):
    """The evaluator after pairs of (probability [H, W], uint8 [H, W] or BoundaryMap)."""
    evaluator = BoundaryEvaluator(BOUNDARY, Vocabulary(), protocol or EdgeProtocol(19))
    for number, (probability, truth) in enumerate(cases):
        truth = truth if isinstance(truth, BoundaryMap) else BoundaryMap(truth)
        evaluator.process(
            [ImagePrediction(SIZE, boundary=ScoreMap(torch.as_tensor(probability).float()[None], SIZE))],
            [ImageAnnotations(SIZE, boundary=truth, image_id=number)],
        )
    evaluator.evaluate()
    return evaluator


def score(probability, truth, protocol=None):
    return evaluate([(probability, truth)], protocol).scores.metrics


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=str)
def test_the_true_contour_scores_exactly_one(protocol):
    thick = torch.from_numpy(cv2.dilate(ellipse().numpy(), np.ones((3, 3), np.uint8)))
    for truth in (ellipse(), thick, lines(0, 40, 159)):
        assert score(truth, truth, protocol) == PERFECT


def test_a_soft_contour_is_as_good_as_a_sharp_one():
    soft = cv2.GaussianBlur(ellipse().float().numpy(), (0, 0), 1.5)
    assert score(soft / soft.max(), ellipse())["ODS-F"] > 0.99


def test_a_thick_contour_is_thinned_on_both_sides():
    thick = torch.from_numpy(cv2.dilate(ellipse().numpy(), np.ones((3, 3), np.uint8)))
    assert score(ellipse(), thick)["ODS-F"] > 0.95
    assert score(thick, ellipse())["ODS-F"] > 0.95


def test_the_prediction_is_thinned_at_every_threshold():
    # A band of three pixels, strong on one flank: thinned only once, its middle would be left, which does not reach the
    # highest threshold
    band = torch.zeros(128, 160)
    band[20:100, 60], band[20:100, 61], band[20:100, 62] = 0.9, 0.6, 0.6
    protocol = EdgeProtocol(3, suppress_non_maxima=False)
    counts = evaluate([(band, lines(60))], protocol).records()[0]
    assert counts[3][2] == 80 and counts[3][0] < 90
    assert counts[2][2] == 80


@pytest.mark.parametrize("conventions", ["bsds", "seism"])
def test_nothing_predicted_scores_zero(conventions):
    protocol = EdgeProtocol(19, conventions=conventions)
    assert score(torch.zeros(128, 160), ellipse(), protocol) == dict.fromkeys(PERFECT, 0)


def test_a_contour_shifted_beyond_the_tolerance_scores_low():
    # the tolerance is 0.0075 of 205 pixels, 1.5
    assert score(lines(41), lines(40)) == PERFECT
    assert score(lines(42), lines(40)) == dict.fromkeys(PERFECT, 0)
    assert score(lines(42), lines(40), EdgeProtocol(19, max_distance=0.011)) == PERFECT
    assert score(ellipse(6), ellipse())["ODS-F"] < 0.45


def test_false_contours_cost_precision_by_their_share():
    values = score(lines(40, 80, 120), lines(40))
    assert values["ODS-F"] == pytest.approx(2 * 1 / 3 / (1 + 1 / 3))
    assert values["AP"] == pytest.approx(1 / 3)
    assert values["R50"] == 0


def test_of_two_lines_beside_one_only_one_is_right():
    # Both lie within the tolerance of the annotated one
    values = score(lines(39, 41), lines(40))
    assert values["ODS-F"] == pytest.approx(2 * 0.5 / 1.5)
    assert values["AP"] == pytest.approx(0.5)


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=str)
def test_everything_predicted_scores_low(protocol):
    assert score(torch.ones(128, 160), ellipse(), protocol)["ODS-F"] < 0.2
    noise = torch.rand(128, 160, generator=torch.Generator().manual_seed(0))
    assert score(noise, ellipse(), protocol)["ODS-F"] < 0.2


def test_annotators_share_predicted_pixels_and_add_their_own():
    # Both drew line 40, only one of them line 80; the prediction has line 40, line 80, and line 120 that nobody drew
    first, second = lines(40), lines(40, 80)
    truth = BoundaryMap.of_annotators(torch.stack([first, second]))
    evaluator = evaluate([(lines(40, 80, 120), truth)])
    matched_truth, total_truth, matched_predicted, total_predicted = evaluator.records()[0][:, 0]
    assert (matched_truth, total_truth) == (240, 240)
    assert (matched_predicted, total_predicted) == (160, 240)
    # With line 40 alone: two of the three lines that were drawn
    evaluator = evaluate([(lines(40), truth)])
    assert evaluator.records()[0][:, 0].tolist() == [160, 240, 80, 80]
    assert evaluator.scores.metrics["ODS-F"] == pytest.approx(2 * (2 / 3) / (1 + 2 / 3))


def test_images_have_scores_of_their_own():
    evaluator = evaluate([(lines(40), lines(40)), (lines(60), lines(40)), (lines(40), torch.zeros_like(lines(40)))])
    scores = evaluator.image_scores()
    assert scores[0] == 1 and scores[1] == 0 and np.isnan(scores[2])
    # A line on an image without boundaries counts as wrong: recall 1/2, precision 1/3
    assert evaluator.scores.metrics["ODS-F"] == pytest.approx(2 / 5)


def test_the_curve_marks_its_best_point():
    soft = cv2.GaussianBlur(ellipse().float().numpy(), (0, 0), 1.5) + 0.3 * lines(8).numpy()
    scores = evaluate([(soft / soft.max(), ellipse())]).scores
    (curve,) = scores.curves
    (line,) = curve.lines
    recall, precision = line.best
    assert (np.diff(line.x) >= 0).all()
    assert 2 * recall * precision / (recall + precision) == pytest.approx(scores.metrics["ODS-F"])


def test_nothing_to_score_is_nan_with_a_reason():
    none = BoundaryEvaluator(BOUNDARY, Vocabulary())
    assert np.isnan(list(none.evaluate().values())).all()
    assert none.scores.reason == "no image has annotated boundaries"
    empty = evaluate([(lines(40), torch.zeros_like(lines(40)))])
    assert np.isnan(list(empty.scores.metrics.values())).all()
    assert empty.scores.reason == "no annotated image has a boundary pixel"


def test_the_protocol_names_what_the_figures_depend_on():
    line = BoundaryEvaluator(BOUNDARY, Vocabulary(), EdgeProtocol(33, 0.011, False, "seism")).protocol
    for word in ("seism", "33", "0.011", "no non-maximum suppression", "annotated boundaries thinned"):
        assert word in line


SEISM_OPTIONS = EdgeProtocol(conventions="seism")


@pytest.mark.parametrize(
    ("protocol", "f"),
    [(BOUNDARY_PROTOCOLS["seism"], 2 / 3), (BOUNDARY_PROTOCOLS["mti_net"], 1), (SEISM_OPTIONS, 1)],
    ids=str,
)
def test_whether_an_edge_lies_at_a_threshold_or_above_it_decides(protocol, f):
    # the right line is as strong as the threshold 0.2, the wrong one is a step of 8 bits weaker
    strength = lines(40) * (51 / 255) + lines(120) * (50 / 255)
    assert score(strength, lines(40), protocol)["ODS-F"] == pytest.approx(f, abs=1e-9)


@pytest.mark.parametrize(
    ("protocol", "f"),
    [(BOUNDARY_PROTOCOLS["seism"], 1), (BOUNDARY_PROTOCOLS["mti_net"], 0), (SEISM_OPTIONS, 0)],
    ids=str,
)
def test_the_thresholds_beyond_the_99_find_what_is_faintest(protocol, f):
    assert score(lines(40) / 255, lines(40), protocol)["ODS-F"] == f


def test_a_named_protocol_has_a_note_and_its_name_in_the_protocol():
    evaluator = evaluate([(lines(40), lines(40))], BOUNDARY_PROTOCOLS["seism"])
    assert evaluator.scores.protocol.startswith("protocol seism: 101 thresholds 0.001 to 0.999, an edge above each")
    assert "test_new" in evaluator.scores.note and evaluate([], EdgeProtocol()).scores.note == ""


def by_definition(maps, truths, mask_of, thresholds, tolerance):
    """The best F of the thresholds themselves, from counts of maximum matchings added over images."""
    best = 0.0
    for threshold in thresholds:
        found = annotated = predicted = 0
        for strength, truth in zip(maps, truths):
            ours, theirs = np.argwhere(thin(mask_of(strength, threshold))), np.argwhere(thin(truth > 0))
            near = np.hypot(*(ours[:, None] - theirs).transpose(2, 0, 1)) <= tolerance * np.hypot(*truth.shape)
            found += (maximum_bipartite_matching(csr_matrix(near)) >= 0).sum()
            annotated, predicted = annotated + len(theirs), predicted + len(ours)
        recall, precision = found / annotated, found / predicted if predicted else 1.0
        best = max(best, 2 * recall * precision / (recall + precision) if recall + precision else 0.0)
    return best


@pytest.mark.parametrize("seed", range(3))
def test_the_best_f_is_that_of_the_definition_on_random_maps(seed):
    rng = np.random.default_rng(seed)
    truths = [(rng.random((128, 160)) > 0.995).astype(np.uint8) for _ in range(2)]
    blurred = [
        cv2.GaussianBlur(truth.astype(np.float64), (0, 0), 2) + 0.02 * rng.random((128, 160)) for truth in truths
    ]
    maps = [np.rint(255 * each / each.max()) / 255 for each in blurred]
    protocol = BOUNDARY_PROTOCOLS["mti_net"]
    cases = [(torch.from_numpy(each), torch.from_numpy(truth)) for each, truth in zip(maps, truths)]
    expected = by_definition(maps, truths, np.greater_equal, [k / 100 for k in range(5, 100)], 0.0075)
    assert 0.1 < expected < 0.99
    assert evaluate(cases, protocol).scores.metrics["ODS-F"] == pytest.approx(expected, abs=1e-9)
