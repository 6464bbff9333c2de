"""The mean over pixels is PyTorch's, also in the form that has one order of summation."""

import pytest
import torch
from torch.nn import functional as F

from maskrcnn_benchmark.engine.determinism import deterministic_kernels
from maskrcnn_benchmark.layers import mean_cross_entropy


@pytest.mark.parametrize("deterministic", [False, True])
def test_it_is_the_mean_over_the_pixels_that_count(deterministic):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 5, 6, 7, generator=generator, dtype=torch.float64)
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
