"""Convolution that does not call the kernel by which oneDNN writes past its memory."""

import torch
from torch import nn
from torch.nn import functional as F

# Channels in one block of oneDNN's kernels for AVX-512; for AVX2 they are 8.
_BLOCK = 16


class Conv2d(nn.Conv2d):
    """`torch.nn.Conv2d`; see `conv2d` for where it computes in another way."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """float [N, C, H, W] -> [N, out_channels, H', W']."""
        if self.padding_mode != "zeros":
            return super().forward(input)
        return conv2d(input, self.weight, self.bias, self)


def conv2d(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, conv: nn.Conv2d) -> torch.Tensor:
    """Convolution with the geometry of `conv`, and with zeros as its padding.

    A 1x1 convolution with a stride and fewer than 16 input channels is computed on a CPU as one of stride 1 on the
    pixels that it reads. oneDNN 3.12, which PyTorch 2.14 brings, would take `jit_1x1` for the gradient of the weights
    of such a convolution in the channels-last layout. That kernel first copies those pixels into a buffer of C numbers
    for each, but steps through it by whole blocks of 16 channels (8 with AVX2), so from some hundreds of pixels on it
    runs past the buffer's end: a segmentation fault, or a heap that is corrupt for whoever uses it next
    (https://github.com/uxlfoundation/oneDNN/issues/6035). With stride 1 there is no such buffer.

    Args:
        x: float [N, C, H, W].
        weight: float [out_channels, C / groups, height, width].
        bias: float [out_channels], or None.
        conv: its stride, padding, dilation and groups are used, its parameters are not.

    Returns:
        float [N, out_channels, H', W'].
    """
    stride = conv.stride
    if x.device.type == "cpu" and weight.shape[1] < _BLOCK and _skips_pixels(conv):
        x, stride = x[..., :: stride[0], :: stride[1]], (1, 1)
    return F.conv2d(x, weight, bias, stride, conv.padding, conv.dilation, conv.groups)


def _skips_pixels(conv):
    """Whether it reads one pixel for each of its output, and leaves some out."""
    return conv.kernel_size == (1, 1) and max(conv.stride) > 1 and conv.padding in ((0, 0), "valid")
