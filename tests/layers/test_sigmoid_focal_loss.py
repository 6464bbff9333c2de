"""Focal loss: label 0 is background, negative labels are ignored, classes begin at 1."""

import math

import pytest
import torch

from maskrcnn_benchmark.layers import SigmoidFocalLoss


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def positive(x):
    return -0.25 * (1 - sigmoid(x)) ** 2 * math.log(sigmoid(x))


def negative(x):
    return -0.75 * sigmoid(x) ** 2 * math.log(1 - sigmoid(x))


def test_value_of_a_positive_and_a_background_anchor():
    logits = torch.tensor([[0.0, 2.0], [1.0, -1.0]])
    expected = negative(0) + positive(2) + negative(1) + negative(-1)
    assert SigmoidFocalLoss(2.0, 0.25)(logits, torch.tensor([2, 0])).item() == pytest.approx(expected, rel=1e-5)


def test_ignored_anchors_have_no_loss_and_no_gradient():
    logits = torch.randn(3, 4, requires_grad=True)
    SigmoidFocalLoss(2.0, 0.25)(logits, torch.tensor([-1, 1, -1])).backward()
    assert logits.grad[[0, 2]].abs().sum() == 0
    assert logits.grad[1].abs().sum() > 0
