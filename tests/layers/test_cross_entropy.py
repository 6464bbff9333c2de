"""The mean over pixels is PyTorch's, also in the form that has one order of summation."""

import math

import pytest
import torch
from torch.nn import functional as F

from maskrcnn_benchmark.engine.determinism import deterministic_kernels
from maskrcnn_benchmark.layers import mean_cross_entropy


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("deterministic", [False, True])
def test_it_is_the_mean_over_the_pixels_that_count(deterministic, layout):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 5, 6, 7, generator=generator, dtype=torch.float64).contiguous(memory_format=layout)
    target = torch.randint(0, 5, (2, 6, 7), generator=generator)
    target[0, :3] = 255
    ours, theirs = (logits.clone().requires_grad_() for _ in range(2))
    with deterministic_kernels(deterministic):
        loss = mean_cross_entropy(ours, target, 255)
        loss.backward()
    expected = F.cross_entropy(theirs, target, ignore_index=255)
    expected.backward()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(ours.grad, theirs.grad)


@pytest.mark.parametrize("shape", [(9,), (3, 4), (2, 2, 2, 2)])
def test_there_may_be_any_number_of_sides(shape):
    generator = torch.Generator().manual_seed(0)
    target = torch.randint(0, 5, shape, generator=generator)
    logits = torch.randn(shape[0], 5, *shape[1:], generator=generator, dtype=torch.float64)
    torch.testing.assert_close(mean_cross_entropy(logits, target), F.cross_entropy(logits, target))


@pytest.mark.parametrize("deterministic", [False, True])
def test_weights_multiply_the_losses_and_not_the_number_of_pixels(deterministic):
    logits = torch.zeros(1, 2, 4)  # every pixel loses log 2
    target, weight = torch.tensor([[0, 1, 1, 255]]), torch.tensor([0.5, 3.0])
    with deterministic_kernels(deterministic):
        assert mean_cross_entropy(logits, target, 255, weight).item() == pytest.approx(math.log(2) * 6.5 / 3)
        rare = torch.ones(1, 4, dtype=torch.int64)  # a weight counts also where there is no other class
        assert mean_cross_entropy(logits, rare, 255, weight).item() == pytest.approx(3 * math.log(2))
