"""A deformable convolution without offsets is a convolution; with them it reads elsewhere."""

import pytest
import torch
from torch.nn import functional as F

from maskrcnn_benchmark.layers import DFConv2d


@pytest.mark.parametrize("modulated, factor", [(False, 1.0), (True, 0.5)])
def test_without_offsets_it_is_a_convolution(modulated, factor):
    conv = DFConv2d(4, 6, with_modulated_dcn=modulated, stride=2, groups=2)
    torch.nn.init.zeros_(conv.offset.weight)
    x = torch.randn(1, 4, 9, 9)
    plain = F.conv2d(x, conv.conv.weight, stride=2, padding=1, groups=2)
    assert torch.allclose(conv(x), factor * plain, atol=1e-5)


def test_offsets_are_row_then_column():
    conv = DFConv2d(1, 1, with_modulated_dcn=False, kernel_size=1)
    torch.nn.init.zeros_(conv.offset.weight)
    torch.nn.init.ones_(conv.conv.weight)
    conv.offset.bias.data = torch.tensor([1.0, 0.0])
    x = torch.arange(9.0).reshape(1, 1, 3, 3)
    assert conv(x)[0, 0].tolist() == [[3, 4, 5], [6, 7, 8], [0, 0, 0]]


@pytest.mark.parametrize("modulated, channels", [(False, 36), (True, 54)])
def test_parameter_names_and_shapes(modulated, channels):
    state = DFConv2d(8, 16, with_modulated_dcn=modulated, deformable_groups=2).state_dict()
    assert {name: tuple(value.shape) for name, value in state.items()} == {
        "offset.weight": (channels, 8, 3, 3),
        "offset.bias": (channels,),
        "conv.weight": (16, 8, 3, 3),
    }
