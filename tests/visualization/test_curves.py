"""Diagrams come out as pictures that show their lines."""

import io

import numpy as np
from PIL import Image

from maskrcnn_benchmark.evaluation.scores import Curve, Line
from maskrcnn_benchmark.visualization.curves import draw_curve

BLUE = np.array([0x00, 0x72, 0xB2])


def drawn(lines, **options):
    curve = Curve("boundary", "Boundary", "recall", "precision", lines, **options)
    return np.asarray(Image.open(io.BytesIO(draw_curve(curve))).convert("RGB")).astype(int)


def test_a_line_is_drawn_where_its_points_are():
    low, high = (drawn([Line("ours", [0, 1], [level, level])]) for level in (0.1, 0.9))
    assert low.shape == (840, 960, 3)
    rows = [np.nonzero((abs(picture - BLUE) < 40).all(axis=2).sum(axis=1) > 300)[0].mean() for picture in (low, high)]
    assert rows[0] > 600 and rows[1] < 200


def test_a_range_of_its_own_stretches_a_diagram():
    whole, upper = (drawn([Line("ours", [0, 1], [0.6, 0.6])], y_range=r) for r in ((0.0, 1.0), (0.5, 1.0)))
    rows = [np.nonzero((abs(p - BLUE) < 40).all(axis=2).sum(axis=1) > 300)[0].mean() for p in (whole, upper)]
    assert rows[1] > rows[0] + 200


def test_the_best_point_is_marked():
    plain, marked = (drawn([Line("ours", [0, 1], [0.8, 0.2], best)]) for best in (None, (0.5, 0.5)))
    blue = [(abs(picture - BLUE) < 40).all(axis=2).sum() for picture in (plain, marked)]
    assert blue[1] > blue[0] + 40


def test_a_diagram_without_points_is_still_one():
    assert drawn([Line("nothing", [], [])]).shape == (840, 960, 3)
    assert drawn([]).shape == (840, 960, 3)
