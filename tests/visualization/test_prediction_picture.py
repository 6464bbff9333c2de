"""Grids and overlays: where things are, at which size, and in what order."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_prediction import ScoreMap
from maskrcnn_benchmark.tasks.boundary import TRACED
from maskrcnn_benchmark.tasks.keypoint import RIGHT_SIDE
from maskrcnn_benchmark.tasks.task import Task, tasks_of_layout
from maskrcnn_benchmark.visualization.canvas import Canvas
from maskrcnn_benchmark.visualization.palette import class_colours
from maskrcnn_benchmark.visualization.prediction_picture import draw_grid, draw_overlay

TASKS = tasks_of_layout("detail")  # the eight of PASCAL in Detail

THRESHOLDS = {key: task.threshold for key, task in TASKS.items()}


def overlay(image, known, vocabulary, keys, thresholds=THRESHOLDS, scale=3.0):
    return draw_overlay(image, known, vocabulary, [TASKS[key] for key in keys], thresholds, scale)


def has(picture, colour, tolerance=2):
    return (np.abs(picture.astype(int) - np.array(colour)).max(2) <= tolerance).any()


def test_a_grid_holds_every_panel_as_it_is(image, prediction, vocabulary):
    panels = [TASKS[task].draw(image, prediction, vocabulary) for task in ("semantic", "boundary", "detection")]
    grid = draw_grid(image, panels, ["semantic", "boundary", "detection"])
    height, width = panels[0].shape[:2]
    step = 10 + width, 10 + height + 2 * round(width / 26)
    assert grid.shape == (10 + 2 * step[1], 10 + 3 * step[0], 3)
    for place, panel in enumerate([Canvas(image).finish(), *panels]):
        x, y = 10 + place % 3 * step[0], 10 + place // 3 * step[1] + 2 * round(width / 26)
        assert np.array_equal(grid[y : y + height, x : x + width], panel)


def test_a_grid_has_room_for_the_panels_with_legends(image, prediction, vocabulary):
    panels = [TASKS[task].draw(image, prediction, vocabulary) for task in ("semantic", "part", "boundary")]
    plain, high = panels[0].shape[0], panels[1].shape[0]
    assert high > plain
    grid, head = draw_grid(image, panels, ["semantic", "part", "boundary"]), 2 * round(480 / 26)
    assert grid.shape == (10 + 2 * (10 + head + high), 10 + 3 * 490, 3)
    assert np.array_equal(grid[10 + head : 10 + head + high, 10 + 2 * 490 :][:, :480], panels[1])
    assert (grid[10 + head + plain : 10 + head + high, 500:980] == 255).all()


@pytest.mark.parametrize("scale", [1.0, 2.5])
def test_an_overlay_has_the_size_that_is_asked_for(image, prediction, vocabulary, scale):
    for task in TASKS:
        picture = overlay(image, prediction, vocabulary, [task], scale=scale)
        plain = Canvas(image, scale=scale).finish()
        assert plain.shape == (round(120 * scale), round(160 * scale), 3)
        assert not np.array_equal(picture[: len(plain)], plain) or task == "classification"
        has_legend = task in ("part", "occlusion", "classification")
        assert picture.shape[1] == plain.shape[1] and (len(picture) > len(plain)) == has_legend


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sets(st.sampled_from(sorted(TASKS)), min_size=1),
    st.one_of(st.tuples(st.integers(1, 700), st.integers(1, 700)), st.sampled_from([(1200, 20), (20, 1200), (8, 8)])),
)
def test_legends_cover_nothing_of_an_overlay_of_any_tasks_and_size(prediction, vocabulary, keys, size):
    known = prediction.resize(size)
    image = np.full((size[1], size[0], 3), 120, np.uint8)
    legends = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Canvas, "legend", lambda canvas, *legend: legends.append(legend))
        plain = overlay(image, known, vocabulary, keys, scale=None)
    picture = overlay(image, known, vocabulary, keys, scale=None)
    assert np.array_equal(picture[: plain.shape[0], : plain.shape[1]], plain)
    assert bool(legends) == (len(picture) > len(plain))


def test_a_large_image_keeps_its_pixels_and_a_small_one_grows(prediction, vocabulary):
    large = np.zeros((1300, 1200, 3), np.uint8)
    assert overlay(large, prediction, vocabulary, ["semantic"], scale=None).shape == large.shape
    small = np.zeros((30, 40, 3), np.uint8)
    assert overlay(small, prediction, vocabulary, ["semantic"], scale=None).shape == (360, 480, 3)


def test_an_overlay_shows_all_its_tasks(image, prediction, vocabulary):
    dark = np.zeros_like(image)
    colours = class_colours(vocabulary)
    picture = overlay(dark, prediction, vocabulary, ["boundary", "instance", "keypoint"])
    assert has(picture, colours["person"]) and has(picture, TRACED)
    right = next(i for i, name in enumerate(vocabulary.joints.names) if name.startswith("r"))
    prediction.instances.get_field("keypoints").keypoints[0, right] = torch.tensor([30.0, 80.0, 1.0])
    assert has(overlay(dark, prediction, vocabulary, ["keypoint"]), RIGHT_SIDE)
    assert not has(picture, colours["horse"])  # its score is 0.2


def test_an_object_with_a_mask_has_no_box(image, prediction, vocabulary):
    horse = class_colours(vocabulary)["horse"]
    low = THRESHOLDS | {"detection": 0.1, "instance": 0.1}
    prediction.instances.get_field("mask")[1] = 0  # no pixel of a mask
    both = overlay(np.zeros_like(image), prediction, vocabulary, ["detection", "instance"], low)
    assert not has(both, horse)
    box = overlay(np.zeros_like(image), prediction, vocabulary, ["detection", "instance"], low | {"instance": 0.5})
    assert has(box, horse)  # a detection whose mask is not shown is shown as a box


def test_nothing_found_is_said(image, prediction, vocabulary):
    nothing = dict.fromkeys(TASKS, 1.0)
    picture = overlay(np.zeros_like(image), prediction, vocabulary, ["detection", "instance"], nothing)
    rows, columns = np.nonzero(picture.max(2))
    assert rows.min() > 300 and columns.max() < 300


def test_pixels_of_an_improbable_class_are_left_blank(image, prediction, vocabulary):
    plain = TASKS["semantic"].draw(np.zeros_like(image), prediction, vocabulary, threshold=0.9)
    assert (np.abs(plain.astype(int) - round(0.3 * 255)).max(2) <= 1).all()


def test_layers_decide_what_lies_on_top_whatever_the_order_is(image, prediction, vocabulary):
    keys = ["semantic", "instance", "boundary", "keypoint", "detection"]
    assert [TASKS[key].layer for key in keys] == sorted(TASKS[key].layer for key in keys)
    pictures = [overlay(image, prediction, vocabulary, order) for order in (keys, keys[::-1])]
    assert np.array_equal(*pictures)


def test_an_added_task_is_painted_below_objects(image, prediction, vocabulary):
    class Light(Task):
        key = "light"

    prediction.outputs["light"] = ScoreMap(torch.zeros(1, 120, 160), (160, 120))
    tasks, thresholds = [TASKS["detection"], Light()], {"detection": 0.5, "light": 0.5}
    picture = draw_overlay(np.full_like(image, 200), prediction, vocabulary, tasks, thresholds, 3.0)
    assert picture[330, 30].tolist() == [40] * 3 and has(picture, class_colours(vocabulary)["person"])


def test_a_task_of_which_nothing_is_known_is_left_out(image, vocabulary):
    nothing = overlay(image, ImageAnnotations((160, 120)), vocabulary, TASKS)
    assert np.array_equal(nothing, Canvas(image, scale=3.0).finish())
