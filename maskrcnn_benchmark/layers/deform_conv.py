"""Deformable convolution that predicts its own offsets."""

import torch
from torch import nn
from torchvision.ops import deform_conv2d

from maskrcnn_benchmark.layers.conv import Conv2d


class DFConv2d(nn.Module):
    """Deformable convolution (Dai et al. 2017), or modulated (Zhu et al. 2019), with the convolution of its offsets.

    Args:
        in_channels, out_channels, kernel_size, stride, groups, dilation, bias: as of `torch.nn.Conv2d`.
        with_modulated_dcn: weigh each sample by a predicted factor as well.
        deformable_groups: groups of input channels that have offsets of their own.
        padding: None keeps the size at stride 1.

    The offsets come from `offset`, ordinary convolution with 2 (3 if modulated) channels per kernel cell and group,
    in the order (y, x) per cell and then the factors.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        with_modulated_dcn: bool = True,
        kernel_size: int = 3,
        stride: int = 1,
        groups: int = 1,
        dilation: int = 1,
        deformable_groups: int = 1,
        bias: bool = False,
        padding: int | None = None,
    ) -> None:
        super().__init__()
        if padding is None:
            padding = dilation * (kernel_size - 1) // 2
        self.with_modulated_dcn = with_modulated_dcn
        cells = kernel_size * kernel_size * deformable_groups
        self.offset_channels = 2 * cells
        channels = 3 * cells if with_modulated_dcn else 2 * cells
        self.offset = Conv2d(in_channels, channels, kernel_size, stride, padding, dilation)
        nn.init.kaiming_uniform_(self.offset.weight, a=1)
        nn.init.zeros_(self.offset.bias)  # type: ignore[arg-type]
        # Holds the weights and the geometry; its forward is never called.
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups=groups, bias=bias
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, C, H, W] -> [N, out_channels, H', W']."""
        offset, mask = self.offset(x), None
        if self.with_modulated_dcn:
            offset, mask = offset.tensor_split([self.offset_channels], dim=1)
            mask = torch.sigmoid(mask)
        conv = self.conv
        return deform_conv2d(x, offset, conv.weight, conv.bias, conv.stride, conv.padding, conv.dilation, mask)
