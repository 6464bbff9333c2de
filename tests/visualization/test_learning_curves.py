"""Learning curves of several runs: each has a colour and a line of its own, and its place in the legend."""

import io

import numpy as np
from PIL import Image

from maskrcnn_benchmark.visualization.learning_curves import COLOURS, Series, draw_learning_curves, style_of

# What people without red and without green cones see, on linear sRGB (Machado, Oliveira, Fernandes 2009, severity 1)
NO_RED = [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
NO_GREEN = [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]

STEPS = np.arange(0, 100, 10)


def drawn(series, count=2, **more):
    names = [f"run{number}" for number in range(count)]
    picture = draw_learning_curves("total loss", "loss", series, list("ABCDEFGHIJKL"[:count]), names, **more)
    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")).astype(int)


def pixels(picture, colour):
    rgb = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)])
    return (abs(picture - rgb) < 24).all(axis=2)


def test_each_run_has_its_line_in_its_colour():
    picture = drawn([Series(0, STEPS, 90.0 - STEPS), Series(1, STEPS, STEPS * 0.5)])
    falling, rising = (pixels(picture, colour)[100:440, 100:500] for colour in COLOURS[:2])
    rows = [np.nonzero(mask)[0] for mask in (falling, rising)]
    columns = [np.nonzero(mask)[1] for mask in (falling, rising)]
    assert np.corrcoef(rows[0], columns[0])[0, 1] > 0.9  # a row further down is a smaller value
    assert np.corrcoef(rows[1], columns[1])[0, 1] < -0.9


def test_raw_values_are_fainter_than_smoothed_ones():
    rough = np.where(STEPS % 20 == 0, 1.0, 0.0)
    flat = drawn([Series(0, STEPS, np.full(10, 0.5))])
    both = drawn([Series(0, STEPS, np.full(10, 0.5), rough)])
    coloured = [(picture[..., 2] - picture[..., 0] > 20).sum() for picture in (flat, both)]
    assert coloured[1] > coloured[0] * 1.5 and pixels(both, COLOURS[0]).sum() < coloured[1] / 1.5


def test_a_single_point_and_marked_points_are_seen():
    assert pixels(drawn([Series(0, [5], [1.0])]), COLOURS[0]).sum() > 20
    line = [Series(0, STEPS, STEPS * 1.0)]
    assert pixels(drawn(line, marked=True), COLOURS[0]).sum() > pixels(drawn(line), COLOURS[0]).sum() + 100


def test_styles_are_distinct_and_many_runs_are_drawn():
    assert len({style_of(number) for number in range(32)}) == 32
    picture = drawn([Series(number, STEPS, STEPS + number) for number in range(12)], 12)
    assert picture.shape == (512, 768, 3)


def test_colours_are_apart_for_colour_blind_readers():
    rgb = np.array([[int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)] for colour in COLOURS])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    for sight in (np.eye(3), NO_RED, NO_GREEN):
        seen = np.clip(linear @ np.transpose(sight), 0, 1) ** (1 / 2.2)
        distances = np.linalg.norm(seen[:, None] - seen[None], axis=2)
        assert distances[np.triu_indices(len(COLOURS), 1)].min() > 0.15
