"""Grids and overlays: where things are, at which size, and in what order."""

import numpy as np
import pytest
import torch
from maskrcnn_benchmark.visualization.drawers import DRAWERS

from maskrcnn_benchmark.tasks.task import TASKS
from maskrcnn_benchmark.visualization.canvas import Canvas
from maskrcnn_benchmark.visualization.palette import BOUNDARY, RIGHT_SIDE, class_colours
from maskrcnn_benchmark.visualization.prediction_picture import draw_grid, draw_overlay

THRESHOLDS = dict.fromkeys(TASKS, 0.5) | {"semantic": 0.0}


def has(picture, colour, tolerance=2):
    return (np.abs(picture.astype(int) - np.array(colour)).max(2) <= tolerance).any()


def test_a_grid_holds_every_panel_as_it_is(image, prediction, vocabulary):
    panels = [DRAWERS[task](image, prediction, vocabulary) for task in ("semantic", "boundary", "detection")]
    grid = draw_grid(image, panels, ["semantic", "boundary", "detection"])
    height, width = panels[0].shape[:2]
    step = 10 + width, 10 + height + 2 * round(width / 26)
    assert grid.shape == (10 + 2 * step[1], 10 + 3 * step[0], 3)
    for place, panel in enumerate([Canvas(image).finish(), *panels]):
        x, y = 10 + place % 3 * step[0], 10 + place // 3 * step[1] + 2 * round(width / 26)
        assert np.array_equal(grid[y : y + height, x : x + width], panel)


@pytest.mark.parametrize("scale", [1.0, 2.5])
def test_an_overlay_has_the_size_that_is_asked_for(image, prediction, vocabulary, scale):
    for task in TASKS:
        picture = draw_overlay(image, prediction, vocabulary, [task], THRESHOLDS, scale)
        assert picture.shape == (round(120 * scale), round(160 * scale), 3)
        assert not np.array_equal(picture, Canvas(image, scale=scale).finish()), task


def test_a_large_image_keeps_its_pixels_and_a_small_one_grows(prediction, vocabulary):
    large = np.zeros((1300, 1200, 3), np.uint8)
    assert draw_overlay(large, prediction, vocabulary, ["classification"], THRESHOLDS).shape == large.shape
    small = np.zeros((30, 40, 3), np.uint8)
    assert draw_overlay(small, prediction, vocabulary, ["classification"], THRESHOLDS).shape == (360, 480, 3)


def test_an_overlay_shows_all_its_tasks(image, prediction, vocabulary):
    dark = np.zeros_like(image)
    colours = class_colours(vocabulary)
    picture = draw_overlay(dark, prediction, vocabulary, ["instance", "keypoint", "boundary"], THRESHOLDS, 3.0)
    assert has(picture, colours["person"]) and has(picture, BOUNDARY)
    right = next(i for i, name in enumerate(vocabulary.joints.names) if name.startswith("r"))
    prediction.instances.get_field("keypoints").keypoints[0, right] = torch.tensor([30.0, 80.0, 1.0])
    assert has(draw_overlay(dark, prediction, vocabulary, ["keypoint"], THRESHOLDS, 3.0), RIGHT_SIDE)
    assert not has(picture, colours["horse"])  # its score is 0.2


def test_an_object_with_a_mask_has_no_box(image, prediction, vocabulary):
    horse = class_colours(vocabulary)["horse"]
    low = THRESHOLDS | {"detection": 0.1, "instance": 0.1}
    prediction.instances.get_field("mask")[1] = 0  # no pixel of a mask
    both = draw_overlay(np.zeros_like(image), prediction, vocabulary, ["detection", "instance"], low, 3.0)
    assert not has(both, horse)
    box = draw_overlay(
        np.zeros_like(image), prediction, vocabulary, ["detection", "instance"], low | {"instance": 0.5}, 3.0
    )
    assert has(box, horse)  # a detection whose mask is not shown is shown as a box


def test_nothing_found_is_said(image, prediction, vocabulary):
    nothing = dict.fromkeys(TASKS, 1.0)
    picture = draw_overlay(np.zeros_like(image), prediction, vocabulary, ["detection", "instance"], nothing, 3.0)
    rows, columns = np.nonzero(picture.max(2))
    assert rows.min() > 300 and columns.max() < 300


def test_pixels_of_an_improbable_class_are_left_blank(image, prediction, vocabulary):
    plain = DRAWERS["semantic"](np.zeros_like(image), prediction, vocabulary, threshold=0.9)
    assert (np.abs(plain.astype(int) - round(0.3 * 255)).max(2) <= 1).all()
