"""ODS-F, OIS-F, AP and R50 from pixel counts, by hand."""

import numpy as np
import pytest

from maskrcnn_benchmark.evaluation.edges.curves import best_f, summarize_curves

PERFECT = {"ODS-F": 1, "OIS-F": 1, "AP": 1, "R50": 1}
ZERO = dict.fromkeys(PERFECT, 0)


def test_single_image_by_hand():
    # thresholds 1 and 2: recall 8/10 and 4/10, precision 8/16 and 4/4
    curve = summarize_curves(*np.array([[[8, 4]], [[10, 10]], [[8, 4]], [[16, 4]]]))
    # at s = 0 F is 2*.8*.5/1.3 = .615, at s = 1 .571; between, R = .8 - .4 s and P = .5 + .5 s make more
    s = np.linspace(0, 1, 100)
    f = 2 * (0.8 - 0.4 * s) * (0.5 + 0.5 * s) / (1.3 + 0.1 * s)
    assert curve.metrics["ODS-F"] == pytest.approx(f.max())
    assert curve.metrics["ODS-F"] > 0.615
    assert curve.best == pytest.approx((0.8 - 0.4 * s[f.argmax()], 0.5 + 0.5 * s[f.argmax()]))
    # without interpolation: the better threshold of the image
    assert curve.metrics["OIS-F"] == pytest.approx(2 * 0.8 * 0.5 / 1.3)
    # precision falls linearly from 1 at recall .4 to .5 at recall .8, 41 of 101 grid points, sum over 100
    grid = np.arange(40, 81) / 100
    assert curve.metrics["AP"] == pytest.approx((1 - (grid - 0.4) / 0.4 * 0.5).sum() / 100, abs=0.011)
    assert curve.metrics["R50"] == pytest.approx(0.8)


def test_each_image_takes_its_own_threshold_in_ois():
    matched = np.array([[10, 0], [10, 10]])
    truth = np.array([[10, 10], [10, 10]])
    predicted = np.array([[10, 0], [50, 10]])
    metrics = summarize_curves(matched, truth, matched, predicted).metrics
    assert metrics["OIS-F"] == pytest.approx(1.0)
    assert metrics["ODS-F"] < 0.75


def test_seism_takes_the_best_threshold_itself():
    counts = np.array([[[8, 4]], [[10, 10]], [[8, 4]], [[16, 4]]])
    curve = summarize_curves(*counts, "seism")
    assert curve.metrics["ODS-F"] == pytest.approx(2 * 0.8 * 0.5 / 1.3)
    assert curve.best == pytest.approx((0.8, 0.5))


def test_where_nothing_is_predicted_seism_has_a_precision_of_one():
    # nothing reaches the second threshold: recall 0 there; at the first one recall 1/2 and precision 1/2
    counts = np.array([[[5, 0]], [[10, 10]], [[5, 0]], [[10, 0]]])
    grid = np.arange(51) / 100
    assert summarize_curves(*counts, "seism").metrics["AP"] == pytest.approx((1 - grid).sum() / 100)
    assert summarize_curves(*counts, "bsds").metrics["AP"] == pytest.approx(grid.sum() / 100)


def test_recall_at_precision_one_half_is_interpolated():
    # (recall, precision) (.8, .4) and (.4, .8): precision is .5 a quarter of the way
    curve = summarize_curves(*np.array([[[8, 4]], [[10, 10]], [[8, 4]], [[20, 5]]]))
    assert curve.metrics["R50"] == pytest.approx(0.7)
    never = summarize_curves(*np.array([[[8, 4]], [[10, 10]], [[8, 4]], [[80, 10]]]))
    assert never.metrics["R50"] == 0


@pytest.mark.parametrize("conventions", ["bsds", "seism"])
def test_perfect_is_one_nothing_predicted_is_zero_and_nothing_annotated_is_nan(conventions):
    zero, ten = np.zeros((2, 3)), np.full((2, 3), 10)
    assert summarize_curves(ten, ten, ten, ten, conventions).metrics == PERFECT
    assert summarize_curves(zero, ten, zero, zero, conventions).metrics == ZERO
    assert all(np.isnan(value) for value in summarize_curves(zero, zero, zero, ten, conventions).metrics.values())


def test_a_curve_of_a_single_point_has_the_area_below_it():
    metrics = summarize_curves(*np.array([[[5, 5]], [[10, 10]], [[5, 5]], [[20, 20]]])).metrics
    assert metrics["AP"] == pytest.approx(0.5 * 0.25)
    single = summarize_curves(*np.array([[[5]], [[10]], [[5]], [[5]]])).metrics
    assert single["ODS-F"] == pytest.approx(2 * 0.5 / 1.5)
    assert single["AP"] == pytest.approx(0.5)


def test_the_line_runs_by_rising_recall_where_anything_is_predicted_and_marks_the_best_point():
    curve = summarize_curves(*np.array([[[8, 4, 0]], [[10, 10, 10]], [[8, 4, 0]], [[16, 4, 0]]]))
    line = curve.line("ours")
    assert line.label == "ours"
    assert line.x.tolist() == [0.4, 0.8] and line.y.tolist() == [1.0, 0.5]
    recall, precision = line.best
    assert 2 * recall * precision / (recall + precision) == pytest.approx(curve.metrics["ODS-F"])


def test_best_f_of_one_image():
    assert best_f(np.array([[8, 4], [10, 10], [8, 4], [16, 4]])) == pytest.approx(2 * 0.8 * 0.5 / 1.3)
    assert best_f(np.array([[0, 0], [10, 10], [0, 0], [0, 0]])) == 0
    assert np.isnan(best_f(np.array([[0, 0], [0, 0], [0, 0], [5, 5]])))
