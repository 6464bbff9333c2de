"""Boxes, masks, joints and parts appear where they are, in the colours of their names."""

import numpy as np
import pytest
import torch

from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction, ScoreMap
from maskrcnn_benchmark.visualization.palette import LEFT_SIDE, MIDDLE, class_colours, part_colours
from maskrcnn_benchmark.visualization.region_drawers import draw_detection, draw_instance, draw_keypoint, draw_part


def pixels_of(picture, colour):
    return np.argwhere((picture == np.array(colour)).all(2))


def test_a_box_is_drawn_around_its_pixels(image, truth, vocabulary):
    picture = draw_detection(np.zeros_like(image), truth, vocabulary)
    rows, columns = pixels_of(picture, class_colours(vocabulary)["horse"]).T
    # columns 90..139 of the image cover 270..419 of the canvas, three times as large
    assert columns.min() == pytest.approx(270, abs=2)
    assert columns.max() == pytest.approx(419, abs=2)
    assert rows.max() == pytest.approx(269, abs=2)


def test_a_prediction_with_a_low_score_is_left_out(image, prediction, vocabulary):
    picture = draw_detection(image, prediction, vocabulary)
    assert len(pixels_of(picture, class_colours(vocabulary)["person"])) > 500
    assert len(pixels_of(picture, class_colours(vocabulary)["horse"])) == 0


def test_a_mask_tints_its_object_and_nothing_else(image, truth, prediction, vocabulary):
    ground = np.full_like(image, 100)
    mixed = np.round((np.array(class_colours(vocabulary)["person"]) + 100) / 2)
    for answer in (truth, prediction):
        picture = draw_instance(ground, answer, vocabulary).astype(float)
        assert np.abs(picture[200, 80] - mixed).max() <= 1
        assert picture[30, 80].tolist() == [100, 100, 100]


def test_joints_have_the_colour_of_their_side_and_occluded_ones_are_hollow(image, truth, vocabulary):
    picture = draw_keypoint(np.zeros_like(image), truth, vocabulary)
    assert picture[106, 121].tolist() == list(MIDDLE)  # the head, at (40, 35)
    assert picture[181, 166].tolist() == [255, 255, 255]  # the left shoulder, at (55, 60), is occluded
    assert picture[181, 171].tolist() == list(LEFT_SIDE)


def test_predicted_joints_of_other_classes_are_not_drawn(image, prediction, vocabulary):
    prediction.instances.add_field("labels", torch.tensor([2, 2]))
    picture = draw_keypoint(np.zeros_like(image), prediction, vocabulary)
    assert len(pixels_of(picture, LEFT_SIDE)) == 0


def test_parts_are_painted_on_their_pixels(image, truth, prediction, vocabulary):
    head, torso = part_colours(vocabulary)[1:3].astype(int)
    for answer in (truth, prediction):
        picture = draw_part(np.zeros_like(image), answer, vocabulary).astype(int)
        ground = 64  # black, with a quarter of white
        assert np.abs(picture[110, 120] - (0.75 * head + 0.25 * ground)).max() <= 2
        assert np.abs(picture[220, 120] - (0.75 * torso + 0.25 * ground)).max() <= 2
        assert picture[200, 340].tolist() == [ground] * 3  # the horse, whose parts nobody annotated


def test_a_part_map_of_the_whole_image_is_drawn_like_parts_of_regions(image, vocabulary):
    scores = torch.zeros(7, 120, 160)
    scores[0] = 1
    scores[3, 60:, :80] = 2
    answer = ImagePrediction((160, 120), part_map=ScoreMap(scores, (160, 120)))
    picture = draw_part(np.zeros_like(image), answer, vocabulary).astype(int)
    upper_arms = part_colours(vocabulary)[3].astype(int)
    assert np.abs(picture[270, 120] - (0.75 * upper_arms + 16)).max() <= 2
    assert picture[90, 400].tolist() == [64, 64, 64]


def test_an_image_without_objects_says_that_there_are_none(image, vocabulary):
    empty = BoxList(torch.zeros(0, 4), (160, 120))
    empty.add_field("labels", torch.zeros(0, dtype=torch.int64))
    empty.add_field("scores", torch.zeros(0))
    empty.add_field("mask", torch.zeros(0, 1, 28, 28))
    picture = draw_instance(np.zeros_like(image), ImagePrediction((160, 120), empty), vocabulary)
    rows, columns = np.nonzero(picture.max(2))
    assert rows.min() > 300 and columns.max() < 300
