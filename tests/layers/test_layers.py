"""The names that users of the original library import, and the unaligned ROI operations behind two of them."""

import pytest
import torch

from maskrcnn_benchmark import layers


@pytest.mark.parametrize("name", layers.__all__)
def test_every_name_is_there(name):
    assert callable(getattr(layers, name))


def test_roi_align_is_the_unaligned_one():
    features = torch.arange(16.0).reshape(1, 1, 4, 4)
    rois = torch.tensor([[0.0, 0, 0, 2, 2]])
    # One sample in the middle of each 1x1 bin at (0.5, 0.5), ...: unaligned coordinates are pixel indices.
    pooled = layers.ROIAlign((2, 2), 1.0, 1)(features, rois)
    assert pooled[0, 0].tolist() == [[2.5, 3.5], [6.5, 7.5]]


def test_roi_pool_takes_the_greatest_value():
    features = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert layers.ROIPool((1, 1), 1.0)(features, torch.tensor([[0.0, 0, 0, 2, 2]])).item() == 10


def test_interpolate_and_convolutions_accept_an_empty_batch():
    empty = torch.zeros(0, 3, 4, 4)
    assert layers.interpolate(empty, scale_factor=2, mode="bilinear").shape == (0, 3, 8, 8)
    assert layers.Conv2d(3, 5, 3)(empty).shape == (0, 5, 2, 2)
    assert layers.ConvTranspose2d(3, 5, 2, 2)(empty).shape == (0, 5, 8, 8)
