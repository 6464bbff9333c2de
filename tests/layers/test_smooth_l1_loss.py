"""Smooth L1 is quadratic up to beta and linear beyond."""

import pytest
import torch

from maskrcnn_benchmark.layers import smooth_l1_loss


@pytest.mark.parametrize("difference, value", [(0.05, 0.5 * 0.05**2 * 9), (1.0, 1 - 0.5 / 9), (-1.0, 1 - 0.5 / 9)])
def test_both_branches(difference, value):
    loss = smooth_l1_loss(torch.tensor([difference]), torch.zeros(1))
    assert loss.item() == pytest.approx(value, abs=1e-6)


def test_sum_or_mean():
    x, zero = torch.tensor([1.0, 2.0]), torch.zeros(2)
    assert smooth_l1_loss(x, zero, beta=1.0, size_average=False).item() == pytest.approx(0.5 + 1.5)
    assert smooth_l1_loss(x, zero, beta=1.0).item() == pytest.approx(1.0)


def test_sum_over_nothing_is_zero():
    assert smooth_l1_loss(torch.zeros(0, 4), torch.zeros(0, 4), size_average=False).item() == 0
