"""Where strides, dilation and groups of a block lie."""

import pytest
import torch

from maskrcnn_benchmark.modeling.backbone.resnet import BasicBlock, BlockStyle, Bottleneck, ResNetHead, StageSpec


@pytest.mark.parametrize("in_1x1, expected", [(True, (2, 1)), (False, (1, 2))])
def test_stride_lies_in_the_1x1_or_in_the_3x3(in_1x1, expected):
    block = Bottleneck(16, 8, 32, BlockStyle(stride_in_1x1=in_1x1), stride=2)
    assert (block.conv1.stride[0], block.conv2.stride[0]) == expected
    assert block(torch.rand(1, 16, 8, 8)).shape == (1, 32, 4, 4)


def test_a_dilated_block_has_no_stride():
    for block in (
        Bottleneck(16, 8, 32, BlockStyle(), stride=2, dilation=2),
        BasicBlock(16, 32, BlockStyle(kind="BasicBlock"), stride=2, dilation=2),
    ):
        assert block(torch.rand(1, 16, 8, 8)).shape == (1, 32, 8, 8)


def test_groups_divide_the_3x3():
    block = Bottleneck(16, 32, 32, BlockStyle(num_groups=8, width_per_group=4))
    assert tuple(block.conv2.weight.shape) == (32, 4, 3, 3)


def test_a_block_adds_its_input():
    block = BasicBlock(4, 4, BlockStyle(kind="BasicBlock"))
    torch.nn.init.zeros_(block.conv2.weight)
    x = torch.rand(1, 4, 5, 5)
    assert block.downsample is None
    assert torch.equal(block(x), x)


def test_batch_norm_trunks_start_as_he_et_al():
    torch.manual_seed(0)
    scratch = BasicBlock(64, 64, BlockStyle(kind="BasicBlock", norm="BatchNorm")).conv1.weight
    assert scratch.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.05)
    caffe2 = BasicBlock(64, 64, BlockStyle(kind="BasicBlock")).conv1.weight
    assert caffe2.abs().max().item() == pytest.approx((3 / (64 * 9)) ** 0.5, rel=0.01)


@pytest.mark.parametrize("stride_init, dilation, side", [(None, 1, 7), (1, 1, 14), (None, 2, 14)])
def test_layer4_as_the_head_of_a_region(stride_init, dilation, side):
    spec = StageSpec(index=4, block_count=3, return_features=False)
    head = ResNetHead(
        *("BottleneckWithFixedBatchNorm", (spec,), 1, 8),
        stride_init=stride_init,
        res2_out_channels=32,
        dilation=dilation,
    )
    assert head.out_channels == 256
    assert head(torch.rand(3, 128, 14, 14)).shape == (3, 256, side, side)
    assert "layer4.2.bn3.running_var" in head.state_dict()
