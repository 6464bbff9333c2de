"""The top-down pathway and the levels on top of it."""

import pytest
import torch

from maskrcnn_benchmark.modeling.backbone.fpn import FPN, LastLevelMaxPool, LastLevelP6P7
from maskrcnn_benchmark.modeling.make_layers import conv_with_kaiming_uniform


def identity_fpn(levels, top_blocks=None):
    """An FPN of one channel whose convolutions copy their input."""
    fpn = FPN([1] * levels, 1, conv_with_kaiming_uniform(), top_blocks)
    for name, weight in fpn.named_parameters():
        if "weight" in name and "fpn" in name:
            torch.nn.init.dirac_(weight)
    return fpn


def test_coarse_levels_are_added_to_fine_ones():
    fine, coarse = torch.ones(1, 1, 4, 4), torch.arange(4.0).reshape(1, 1, 2, 2)
    p_fine, p_coarse = identity_fpn(2)([fine, coarse])
    assert torch.equal(p_coarse, coarse)
    assert p_fine[0, 0].tolist() == [[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]]


@pytest.mark.parametrize("size", [(5, 7), (3, 3)])
def test_sizes_need_not_be_even(size):
    maps = [torch.rand(1, 1, *size), torch.rand(1, 1, -(-size[0] // 2), -(-size[1] // 2))]
    assert [tuple(p.shape[-2:]) for p in identity_fpn(2)(maps)] == [tuple(m.shape[-2:]) for m in maps]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_levels_are_the_same_with_and_without_gradients(layout):
    fpn = FPN([2, 3, 4], 8, conv_with_kaiming_uniform(use_relu=True))
    maps = [
        torch.rand(2, channels, size, size + 4).contiguous(memory_format=layout)
        for channels, size in ((2, 16), (3, 8), (4, 4))
    ]
    with_gradients = fpn(maps)
    with torch.no_grad():
        without = fpn(maps)
    for one, other in zip(with_gradients, without):
        torch.testing.assert_close(one, other)


def test_levels_without_channels_are_left_out():
    fpn = FPN([0, 4, 8], 16, conv_with_kaiming_uniform())
    assert sorted({name.split(".")[0] for name in fpn.state_dict()}) == [
        *("fpn_inner2", "fpn_inner3", "fpn_layer2", "fpn_layer3")
    ]
    assert len(fpn([None, torch.rand(1, 4, 4, 4), torch.rand(1, 8, 2, 2)])) == 2


def test_max_pool_level_takes_every_other_cell():
    p5 = torch.arange(9.0).reshape(1, 1, 3, 3)
    assert identity_fpn(1, LastLevelMaxPool())([p5])[-1][0, 0].tolist() == [[0, 2], [6, 8]]


@pytest.mark.parametrize("in_channels, reads_p5", [(8, False), (4, True)])
def test_p6_and_p7(in_channels, reads_p5):
    top = LastLevelP6P7(in_channels, 4)
    c5, p5 = torch.rand(1, 8, 8, 8), torch.rand(1, 4, 8, 8)
    p6, p7 = top(c5, p5)
    assert torch.equal(p6, top.p6(p5 if reads_p5 else c5))
    assert (p6.shape, p7.shape) == ((1, 4, 4, 4), (1, 4, 2, 2))
