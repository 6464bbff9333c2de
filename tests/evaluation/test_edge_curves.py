"""ODS-F, OIS-F and AP from pixel counts, by hand."""

import numpy as np
import pytest

from maskrcnn_benchmark.evaluation.edge_curves import summarize_curves


def test_single_image_by_hand():
    # thresholds 1 and 2: recall 8/10 and 4/10, precision 8/16 and 4/4
    values = summarize_curves(*np.array([[[8, 4]], [[10, 10]], [[8, 4]], [[16, 4]]]))
    # at s = 0 F is 2*.8*.5/1.3 = .615, at s = 1 .571; between, R = .8 - .4 s and P = .5 + .5 s make more
    s = np.linspace(0, 1, 100)
    f = 2 * (0.8 - 0.4 * s) * (0.5 + 0.5 * s) / (1.3 + 0.1 * s)
    assert values["ODS-F"] == pytest.approx(f.max())
    assert values["ODS-F"] > 0.615
    # without interpolation: the better threshold of the image
    assert values["OIS-F"] == pytest.approx(2 * 0.8 * 0.5 / 1.3)
    # precision falls linearly from 1 at recall .4 to .5 at recall .8, 41 of 101 grid points, sum over 100
    grid = np.arange(40, 81) / 100
    assert values["AP"] == pytest.approx((1 - (grid - 0.4) / 0.4 * 0.5).sum() / 100, abs=0.011)


def test_each_image_takes_its_own_threshold_in_ois():
    matched = np.array([[10, 0], [10, 10]])
    truth = np.array([[10, 10], [10, 10]])
    predicted = np.array([[10, 0], [50, 10]])
    values = summarize_curves(matched, truth, matched, predicted)
    assert values["OIS-F"] == pytest.approx(1.0)
    assert values["ODS-F"] < 0.75


def test_nothing_predicted_scores_zero_and_nothing_annotated_is_nan():
    zero, ten = np.zeros((1, 3)), np.full((1, 3), 10)
    assert summarize_curves(zero, ten, zero, zero) == {"ODS-F": 0, "OIS-F": 0, "AP": 0}
    assert all(np.isnan(value) for value in summarize_curves(zero, zero, zero, ten).values())


def test_a_single_threshold_needs_no_interpolation():
    values = summarize_curves(*np.array([[[5]], [[10]], [[5]], [[5]]]))
    assert values["ODS-F"] == pytest.approx(2 * 0.5 / 1.5)
