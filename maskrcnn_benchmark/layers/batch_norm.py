"""Batch norm with fixed statistics, for trunks that start from trained weights."""

from torch import nn
from torch.nn import functional as F
from torchvision import ops


class FrozenBatchNorm2d(ops.FrozenBatchNorm2d):
    """Batch norm whose statistics and affine parameters are buffers.

    The original library adds no epsilon to the variance, unlike torchvision; released weights rely on it.
    """

    def __init__(self, num_features, eps=0.0):
        super().__init__(num_features, eps)

    def affine(self):
        """The norm as x * scale + shift: two float [C], in single precision whatever the network computes in."""
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        return scale, self.bias - self.running_mean * scale

    def forward(self, x):
        """[N, C, H, W] -> the same shape and dtype."""
        scale, shift = self.affine()
        # Nothing of x or of the product is kept for the gradient, so the sum can take the product's place.
        return (x * scale.to(x.dtype)[:, None, None]).add_(shift.to(x.dtype)[:, None, None])


def conv_norm(conv, norm, x):
    """`norm(conv(x))`, in a single convolution where the norm is frozen.

    A frozen norm is a constant affine map, so it can be folded into the convolution's weight at every step: exact but
    for rounding, the weight still gets its gradient, and no pass over the activations is spent on the norm, neither
    forward nor backward.

    Args:
        conv: `nn.Conv2d`, or another module that only has to be callable.
        norm: any module; `FrozenBatchNorm2d` is folded.
        x: float [N, C, H, W].

    Returns:
        float [N, conv.out_channels, H', W'].
    """
    if not isinstance(norm, FrozenBatchNorm2d) or not isinstance(conv, nn.Conv2d) or conv.padding_mode != "zeros":
        return norm(conv(x))
    scale, shift = norm.affine()
    if conv.bias is not None:
        shift = shift + conv.bias * scale
    weight = conv.weight * scale[:, None, None, None]
    return F.conv2d(x, weight, shift, conv.stride, conv.padding, conv.dilation, conv.groups)
