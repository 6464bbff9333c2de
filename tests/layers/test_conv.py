"""Convolutions that PyTorch's own kernels cannot do without writing past their memory, in a process of its own."""

import copy
import subprocess
import sys

import pytest
import torch
from torch import nn

from maskrcnn_benchmark.layers import Conv2d, FrozenBatchNorm2d, conv_norm

# Steps as of a training: channels-last, and pixels enough that the heap is damaged if a kernel errs
STEPS = """
import torch
from maskrcnn_benchmark.layers import BatchNorm2d, Conv2d, FrozenBatchNorm2d, conv_norm

for channels in (1, 3, 8, 15):
    for norm in (FrozenBatchNorm2d(16), BatchNorm2d(16), None):
        conv = Conv2d(channels, 16, 1, 2, bias=False).to(memory_format=torch.channels_last)
        x = torch.randn(2, channels, 160, 160).to(memory_format=torch.channels_last)
        y = conv(x) if norm is None else conv_norm(conv, norm, x)
        y.square().sum().backward()
        assert conv.weight.grad.isfinite().all()
print("whole")
"""


def test_gradients_of_narrow_strided_convolutions_leave_the_heap_whole():
    run = subprocess.run([sys.executable, "-c", STEPS], capture_output=True, text=True, timeout=300)
    assert (run.returncode, run.stdout) == (0, "whole\n"), run.stderr


@pytest.mark.parametrize("channels", [3, 16])
@pytest.mark.parametrize(
    "geometry",
    [
        {"stride": 2},
        {"stride": (1, 3), "bias": False},
        {"stride": 2, "padding": 1},
        {"stride": 2, "padding": "valid"},
        {"stride": 2, "padding": 1, "padding_mode": "reflect"},
    ],
)
def test_values_and_gradients_are_those_of_torch(channels, geometry):
    torch.manual_seed(0)
    plain = nn.Conv2d(channels, 5, 1, **geometry).double()
    conv = Conv2d(channels, 5, 1, **geometry).double()
    conv.load_state_dict(plain.state_dict())
    x = torch.randn(2, channels, 9, 12, dtype=torch.float64, requires_grad=True)
    expected, output = plain(x), conv(x)
    assert torch.allclose(output, expected)
    factor = torch.randn_like(expected)
    want = torch.autograd.grad(expected, (x, *plain.parameters()), factor)
    got = torch.autograd.grad(output, (x, *conv.parameters()), factor)
    assert all(torch.allclose(a, b) for a, b in zip(got, want, strict=True))


def test_a_frozen_norm_is_folded_into_the_narrow_strided_convolution():
    torch.manual_seed(0)
    conv, norm = Conv2d(3, 5, 1, 2, bias=False), FrozenBatchNorm2d(5)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    x = torch.randn(2, 3, 9, 12)
    assert torch.allclose(conv_norm(conv, norm, x), norm(nn.Conv2d.forward(conv, x)), atol=1e-6)


def test_the_layout_is_kept():
    conv = Conv2d(3, 5, 1, 2).to(memory_format=torch.channels_last)
    x = torch.randn(2, 3, 8, 8).to(memory_format=torch.channels_last)
    assert conv(x).is_contiguous(memory_format=torch.channels_last)
    assert copy.deepcopy(conv).to(memory_format=torch.contiguous_format)(x.contiguous()).is_contiguous()
