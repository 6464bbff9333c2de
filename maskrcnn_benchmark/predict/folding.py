"""Batch norm folded into the convolutions before it, for a network that only predicts."""

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from maskrcnn_benchmark.layers import Conv2d, FrozenBatchNorm2d


def fold_batch_norm(model: nn.Module) -> int:
    """Fold every frozen or trained batch norm that follows a convolution into it, in place; the numbers stay.

    In evaluation a batch norm is a constant affine map. Pairs are those of a `Sequential` and those called conv1 and
    bn1, conv2 and bn2, ... within one module. The norm's place is taken by an `nn.Identity`, so names in the state dict
    change: fold what will not be saved.

    Args:
        model: any module in evaluation mode.

    Returns:
        the number of norms that were folded.
    """
    if model.training:
        raise ValueError("only a network in evaluation mode can be folded; call model.eval() first")
    folded = 0
    for module in list(model.modules()):
        for convolution, norm in _pairs(module):
            conv = getattr(module, convolution)
            setattr(module, convolution, _fold(conv, getattr(module, norm)))
            setattr(module, norm, nn.Identity())
            folded += 1
    return folded


def _pairs(module):
    """Names of the convolutions of a module and of the norms on them: list of pairs."""
    children = dict(module.named_children())
    if isinstance(module, nn.Sequential):
        candidates = list(zip(children, list(children)[1:]))
    else:
        candidates = [(name, f"bn{name[4:]}") for name in children if name.startswith("conv")]
    return [pair for pair in candidates if pair[1] in children and _foldable(*(children[name] for name in pair))]


def _foldable(conv, norm):
    is_plain = type(conv).forward in (nn.Conv2d.forward, Conv2d.forward) and conv.padding_mode == "zeros"
    return (
        is_plain
        and isinstance(norm, FrozenBatchNorm2d | nn.BatchNorm2d | nn.SyncBatchNorm)
        and norm.running_mean is not None
    )


@torch.no_grad()
def _fold(conv, norm):
    """One convolution in the place of a convolution and a norm."""
    weight, bias = fuse_conv_bn_weights(
        conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    )
    joined = nn.Conv2d(
        conv.in_channels,
        conv.out_channels,
        conv.kernel_size,
        conv.stride,
        conv.padding,
        conv.dilation,
        conv.groups,
        device="meta",
    )
    joined.weight, joined.bias = nn.Parameter(weight, requires_grad=False), nn.Parameter(bias, requires_grad=False)
    return joined.eval()
