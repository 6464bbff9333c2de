"""What is drawn of values whose meaning nobody explained."""

import numpy as np
import pytest
import torch

from maskrcnn_benchmark.visualization.maps import enlarge_edges, text_of, vector_panel
from maskrcnn_benchmark.visualization.palette import class_colours


@pytest.mark.parametrize(
    ("value", "names", "text"),
    [
        (torch.tensor(0.456), (), "0.46"),
        (torch.tensor(3), (), "3"),
        (torch.tensor([1]), ("red", "green"), "green"),
        (torch.tensor([0.5, -2.0]), (), "0.50, -2.00"),
        (torch.tensor([0.1, 0.9]), ("red", "green"), "green 0.90"),
        (torch.tensor([0.1, 0.2, 0.7, 0.0, 0.0]), (), "2 0.70"),
    ],
)
def test_a_value_in_a_word(value, names, text):
    assert text_of(value, names) == text


def test_no_edge_is_lost_where_the_canvas_is_smaller():
    edges = np.zeros((90, 120), np.uint8)
    edges[40] = 1
    assert enlarge_edges(edges, (40, 30)).any(0).all()
    assert enlarge_edges(edges, (240, 180)).sum() == 2 * 240


def test_only_a_label_of_zeros_and_ones_is_ticked(image, vocabulary):
    values, names = torch.tensor([1.0, 0.0]), ("person", "sky")
    ticked, bars = (vector_panel(image, values, names, vocabulary, predicted, None) for predicted in (False, True))
    colour = class_colours(vocabulary)["person"]
    assert (bars == colour).all(2).sum() > 10 * (ticked == colour).all(2).sum() > 0
    measured = vector_panel(image, values / 2, names, vocabulary, False, None)
    assert (measured == colour).all(2).sum() == pytest.approx((bars == colour).all(2).sum() / 2, rel=0.02)
    empty = vector_panel(image, torch.zeros(0), (), vocabulary, True, None)
    assert empty.shape == (360, 480, 3) and (empty < 128).any()
