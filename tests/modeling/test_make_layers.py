"""Group counts, and layers that keep bare parameter names when nothing follows them."""

import pytest
import torch
from torch import nn

from maskrcnn_benchmark.config import cfg
from maskrcnn_benchmark.layers import Conv2d
from maskrcnn_benchmark.modeling.make_layers import (
    conv_with_kaiming_uniform,
    group_norm,
    group_norm_factory,
    make_conv3x3,
    make_fc,
)
from maskrcnn_benchmark.utils.errors import UserError


def test_groups_by_number_or_by_size():
    assert group_norm(64).num_groups == 32
    assert group_norm(64, dim_per_group=16).num_groups == 4


def test_config_decides_the_groups():
    options = cfg.clone()
    options.merge_from_list(["MODEL.GROUP_NORM.NUM_GROUPS", 8, "MODEL.GROUP_NORM.EPSILON", 0.1])
    norm = group_norm_factory(options)(24)
    assert (norm.num_groups, norm.eps) == (8, 0.1)


@pytest.mark.parametrize("options", [{"num_groups": 32}, {"dim_per_group": 7}])
def test_channels_that_do_not_divide_are_the_users_error(options):
    with pytest.raises(UserError, match=r"MODEL\.GROUP_NORM: 48 channels"):
        group_norm(48, **options)


def test_bare_layers_have_bare_names_and_zero_bias():
    for layer in (make_conv3x3(4, 8), make_fc(4, 8), conv_with_kaiming_uniform()(4, 8, 1)):
        assert list(layer.state_dict()) == ["weight", "bias"]
        assert layer.bias.abs().sum() == 0


def test_group_norm_and_relu_follow_the_layer():
    layer = conv_with_kaiming_uniform(use_gn=True, use_relu=True)(4, 64, 3)
    assert [type(part) for part in layer] == [Conv2d, nn.GroupNorm, nn.ReLU]
    assert list(layer.state_dict()) == ["0.weight", "1.weight", "1.bias"]
    assert layer(torch.randn(1, 4, 5, 5)).shape == (1, 64, 5, 5)
    assert list(make_fc(4, 64, use_gn=True).state_dict()) == ["0.weight", "1.weight", "1.bias"]


def test_dilation_keeps_the_size():
    x = torch.randn(1, 4, 9, 9)
    assert make_conv3x3(4, 8, dilation=2)(x).shape == (1, 8, 9, 9)
    assert make_conv3x3(4, 8, stride=2)(x).shape == (1, 8, 5, 5)


def test_initial_spread():
    torch.manual_seed(0)
    assert make_conv3x3(64, 64).weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.05)
    assert make_conv3x3(64, 64, kaiming_init=False).weight.std().item() == pytest.approx(0.01, rel=0.05)
    assert make_fc(300, 200).weight.abs().max().item() == pytest.approx((3 / 300) ** 0.5, rel=0.01)
