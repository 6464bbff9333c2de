"""Semantic maps, boundaries, occlusion directions and image labels show what they should, where they should."""

import numpy as np
import pytest
import torch

from maskrcnn_benchmark.structures.dense_map import BoundaryMap
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.visualization.image_drawers import (
    draw_boundary,
    draw_classification,
    draw_occlusion,
    draw_semantic,
)
from maskrcnn_benchmark.visualization.palette import class_colours, direction_colours


def test_semantic_classes_are_tinted_and_unlabelled_pixels_are_not(image, truth, vocabulary):
    picture = draw_semantic(np.zeros_like(image), truth, vocabulary).astype(int)
    person = np.array(class_colours(vocabulary)["person"])
    ground = round(0.3 * 255)
    assert np.abs(picture[110, 100] - (0.72 * person + 0.28 * ground)).max() <= 2
    assert np.abs(picture[340, 240] - ground).max() <= 1


def test_true_boundaries_are_dark_on_white(image, truth, vocabulary):
    picture = draw_boundary(image, truth, vocabulary)
    assert picture[180, 177:180].max() < 40
    assert picture[180, 100].tolist() == [255, 255, 255]


def test_a_predicted_boundary_below_one_half_is_paler_than_any_above(image, prediction, vocabulary):
    scores = prediction.boundary.scores
    scores[:] = 0
    scores[0, :, 20:40], scores[0, :, 60:80] = 0.49, 0.5
    picture = draw_boundary(image, prediction, vocabulary)
    assert 150 < picture[180, 90, 0] < 255
    assert picture[180, 210, 0] < 100


def test_a_one_pixel_boundary_survives_a_large_image_that_is_shown_smaller(vocabulary):
    edges = torch.zeros(1500, 2000, dtype=torch.uint8)
    edges[701] = 1
    picture = draw_boundary(
        np.zeros((1500, 2000, 3), np.uint8), ImageAnnotations((2000, 1500), boundary=BoundaryMap(edges)), vocabulary
    )
    assert picture.shape == (750, 1000, 3)
    assert (picture[349:352].min(0) < 60).all()


@pytest.mark.parametrize("which", ["truth", "prediction"])
def test_the_glow_is_on_the_side_in_front(image, vocabulary, which, request):
    picture = draw_occlusion(image, request.getfixturevalue(which), vocabulary).astype(int)
    assert (picture[120:240, 178] == direction_colours(-np.pi / 2)).all(1).mean() > 0.3  # the rest is under arrows
    chroma = picture.max(2) - picture.min(2)
    assert chroma[120:240, 170:176].mean() > 20  # left of the edge at columns 177..179: the person
    assert chroma[120:240, 182:188].mean() < 8


def test_true_labels_are_ticked_in_their_colours(image, truth, vocabulary):
    picture = draw_classification(image, truth, vocabulary)
    colours = class_colours(vocabulary)
    shown = {name: (picture == colours[name]).all(2).any() for name in vocabulary.image_label_names}
    assert shown == {"person": True, "horse": True, "sky": True, "grass": False}


def test_a_bar_is_as_long_as_its_probability(image, prediction, vocabulary):
    picture = draw_classification(image, prediction, vocabulary)
    colours = class_colours(vocabulary)
    length = {name: np.ptp(np.nonzero((picture == colours[name]).all(2))[1]) for name in ("person", "horse", "sky")}
    assert length["person"] / length["sky"] == pytest.approx(0.9, abs=0.01)
    assert length["horse"] / length["sky"] == pytest.approx(0.6, abs=0.01)
