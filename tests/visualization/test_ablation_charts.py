"""The picture of an ablation: bars as long as Delta_m, cells coloured by their sign."""

import io

import numpy as np
from PIL import Image

from maskrcnn_benchmark.visualization.ablation_charts import draw_ablation

BLUE, ORANGE = np.array([0x00, 0x72, 0xB2]), np.array([0xD5, 0x5E, 0x00])


def drawn(bars, matrices=()):
    return np.asarray(Image.open(io.BytesIO(draw_ablation(bars, dict(matrices)))).convert("RGB")).astype(int)


def columns(picture, colour):
    return np.nonzero((abs(picture - colour) < 30).all(axis=2).sum(axis=0) > 8)[0]


def test_bars_go_to_either_side_of_zero():
    picture = drawn([("all", "fixed", 0.04, np.nan), ("all", "pcgrad", -0.02, np.nan)])
    gain, loss = columns(picture, BLUE), columns(picture, ORANGE)
    assert loss.max() <= gain.min() + 3
    assert 1.8 < len(gain) / len(loss) < 2.2


def test_a_method_keeps_its_colour_and_a_deviation_is_a_line():
    bars = [("a", "fixed", 0.04, np.nan), ("b", "pcgrad", 0.01, np.nan), ("c", "fixed", 0.04, np.nan)]
    blue = (abs(drawn(bars) - BLUE) < 30).all(axis=2).any(axis=1)
    assert np.count_nonzero(np.diff(blue.astype(int)) == 1) == 2
    whiskers = [(drawn([("a", "fixed", 0.04, deviation)]) < 90).all(axis=2).sum() for deviation in (np.nan, 0.02)]
    assert whiskers[1] > whiskers[0] + 200


def test_cells_are_blue_for_gains_and_red_for_losses():
    matrix = (("semantic", "boundary"), [[np.nan, 0.1], [-0.1, np.nan]])
    plain = drawn([("all", "fixed", 0.04, np.nan)])
    picture = drawn([("all", "fixed", 0.04, np.nan)], [("fixed", matrix)])
    assert picture.shape[0] > plain.shape[0] + 200
    below = picture[plain.shape[0] :]
    blue, red = below[..., 2] - below[..., 0] > 70, below[..., 0] - below[..., 2] > 50
    # the gain is in the first row and the second column
    assert np.nonzero(blue)[0].mean() < np.nonzero(red)[0].mean()
    assert np.nonzero(blue)[1].mean() > np.nonzero(red)[1].mean()


def test_a_matrix_without_a_figure_is_still_drawn():
    assert drawn([], [("fixed", (("semantic", "boundary"), np.full((2, 2), np.nan)))]).shape[2] == 3
