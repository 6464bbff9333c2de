"""Convolutions and linear layers with the initialisation and normalisation that the FPN and the heads share."""

from collections.abc import Callable
from typing import Any

from torch import nn
from yacs.config import CfgNode

from maskrcnn_benchmark.layers import Conv2d, FrozenBatchNorm2d, SyncBatchNorm2d
from maskrcnn_benchmark.utils.errors import UserError

MakeNorm = Callable[[int], nn.Module]  # of a number of channels


def group_norm(channels: int, num_groups: int = 32, dim_per_group: int = -1, eps: float = 1e-5) -> nn.GroupNorm:
    """Group normalisation of `channels` channels; `dim_per_group` > 0 sets the group size instead of their number."""
    groups = channels // dim_per_group if dim_per_group > 0 else num_groups
    if groups < 1 or channels % groups or (dim_per_group > 0 and channels % dim_per_group):
        raise UserError(
            f"MODEL.GROUP_NORM: {channels} channels do not divide into "
            + (f"groups of {dim_per_group} (DIM_PER_GP)" if dim_per_group > 0 else f"{num_groups} groups (NUM_GROUPS)")
        )
    return nn.GroupNorm(groups, channels, eps)


def group_norm_factory(cfg: CfgNode) -> Callable[[int], nn.GroupNorm]:
    """The `group_norm` that MODEL.GROUP_NORM describes: a function channels -> `nn.GroupNorm`."""
    options = cfg.MODEL.GROUP_NORM
    num_groups, dim_per_group, eps = options.NUM_GROUPS, options.DIM_PER_GP, options.EPSILON
    return lambda channels: group_norm(channels, num_groups, dim_per_group, eps)


def norm_factory(cfg: CfgNode, node: CfgNode) -> MakeNorm | None:
    """What makes the norms of a part of the network: a function channels -> module, or None for none.

    Args:
        cfg: has MODEL.GROUP_NORM.
        node: the part's options: NORM or, where that is "", the original's USE_GN if the part has it.
    """
    norms: dict[str, MakeNorm | None] = {
        "GN": group_norm_factory(cfg),
        "BN": nn.BatchNorm2d,
        "SyncBN": SyncBatchNorm2d,
        "FrozenBN": FrozenBatchNorm2d,
        "": None,
    }
    return norms[node.NORM or ("GN" if node.get("USE_GN") else "")]


def init_small(layer: Any) -> None:
    """Fill the weights of a layer that predicts: normal with deviation 0.01; its biases are 0."""
    nn.init.normal_(layer.weight, std=0.01)
    nn.init.zeros_(layer.bias)


def make_conv3x3(
    in_channels: int,
    out_channels: int,
    dilation: int = 1,
    stride: int = 1,
    use_gn: bool = False,
    use_relu: bool = False,
    kaiming_init: bool = True,
    group_norm: MakeNorm = group_norm,
) -> nn.Module:
    """A 3x3 convolution that keeps the size (at stride 1), then a norm and ReLU if asked for.

    `use_gn` asks for the norm, and `group_norm` makes it: of any kind, in spite of the names, which are the original's.

    Weights: Kaiming normal over the outputs (MSRA fill), or normal with deviation 0.01 without `kaiming_init`.
    """
    conv = Conv2d(in_channels, out_channels, 3, stride, padding=dilation, dilation=dilation, bias=not use_gn)
    if kaiming_init:
        nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    else:
        nn.init.normal_(conv.weight, std=0.01)
    return _finish(conv, out_channels, use_gn, use_relu, group_norm)


def make_fc(dim_in: int, hidden_dim: int, use_gn: bool = False, group_norm: MakeNorm = group_norm) -> nn.Module:
    """A linear layer with Kaiming uniform weights (Caffe2's XavierFill), then group norm if asked for."""
    fc = nn.Linear(dim_in, hidden_dim, bias=not use_gn)
    nn.init.kaiming_uniform_(fc.weight, a=1)
    return _finish(fc, hidden_dim, use_gn, False, group_norm)


def conv_with_kaiming_uniform(
    use_gn: bool = False, use_relu: bool = False, group_norm: MakeNorm = group_norm
) -> Callable[..., nn.Module]:
    """A function (in_channels, out_channels, kernel_size, stride=1, dilation=1) -> convolution, for the FPN.

    The convolution keeps the size at stride 1, has Kaiming uniform weights (Caffe2's XavierFill), and is followed by
    group norm and ReLU if asked for.
    """

    def make_conv(in_channels, out_channels, kernel_size, stride=1, dilation=1):
        padding = dilation * (kernel_size - 1) // 2
        conv = Conv2d(in_channels, out_channels, kernel_size, stride, padding, dilation, bias=not use_gn)
        nn.init.kaiming_uniform_(conv.weight, a=1)
        return _finish(conv, out_channels, use_gn, use_relu, group_norm)

    return make_conv


def _finish(layer, channels, use_gn, use_relu, group_norm):
    """Zero the bias and append what follows the layer; a lone layer stays bare, so that its parameters keep names."""
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    layers = [layer]
    if use_gn:
        layers.append(group_norm(channels))
    if use_relu:
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers) if len(layers) > 1 else layer
