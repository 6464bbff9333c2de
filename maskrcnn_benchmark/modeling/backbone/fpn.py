"""Feature pyramid network (Lin et al. 2017), with the original library's parameter names."""

from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn import functional as F


class FPN(nn.Module):
    """Top-down pathway over the maps of a backbone's body.

    Args:
        in_channels_list: channels of the body's maps, finest first; 0 leaves a map out.
        out_channels: channels of every level.
        conv_block: function (in_channels, out_channels, kernel_size) -> module.
        top_blocks: `LastLevelMaxPool` or `LastLevelP6P7`, which add coarser levels, or None.
    """

    def __init__(
        self,
        in_channels_list: Sequence[int],
        out_channels: int,
        conv_block: Callable[..., nn.Module],
        top_blocks: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.levels: list[tuple[int, str, str]] = []
        for index, in_channels in enumerate(in_channels_list):
            if in_channels == 0:
                continue
            names = (f"fpn_inner{index + 1}", f"fpn_layer{index + 1}")
            self.add_module(names[0], conv_block(in_channels, out_channels, 1))
            self.add_module(names[1], conv_block(out_channels, out_channels, 3))
            self.levels.append((index, *names))
        self.top_blocks = top_blocks

    def forward(self, x: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """List of the body's maps [N, C_i, H_i, W_i], finest first -> tuple of levels, finest first."""
        results: list[torch.Tensor] = []
        merged = None
        for index, inner, layer in reversed(self.levels):
            lateral = getattr(self, inner)(x[index])
            if merged is not None:
                lateral = _add_enlarged(lateral, merged)
            merged = lateral
            results.insert(0, getattr(self, layer)(merged))
        if self.top_blocks is not None:
            results.extend(self.top_blocks(x[-1], results[-1]))
        return tuple(results)


def _add_enlarged(fine, coarse):
    """`fine` [N, C, H, W], whose memory may be reused, plus `coarse` [N, C, h, w] enlarged to its size (nearest)."""
    height, width = coarse.shape[-2:]
    if torch.is_grad_enabled() or fine.shape[-2:] != (2 * height, 2 * width):
        # The sum takes the place of the enlarged map, which no gradient needs
        return F.interpolate(coarse, size=fine.shape[-2:], mode="nearest").add_(fine)
    # Without a gradient each coarse cell goes straight to its four fine ones; a large map less is a tenth of the time
    fine.unflatten(3, (width, 2)).unflatten(2, (height, 2)).add_(coarse[:, :, :, None, :, None])
    return fine


class LastLevelMaxPool(nn.Module):
    """P6 for region proposals: every other cell of P5."""

    def forward(self, c5: torch.Tensor, p5: torch.Tensor) -> list[torch.Tensor]:
        return [F.max_pool2d(p5, 1, 2, 0)]


class LastLevelP6P7(nn.Module):
    """P6 and P7 of RetinaNet (Lin et al. 2017), from C5, or from P5 where `in_channels` is that of the pyramid."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.p6 = nn.Conv2d(in_channels, out_channels, 3, 2, 1)
        self.p7 = nn.Conv2d(out_channels, out_channels, 3, 2, 1)
        for conv in (self.p6, self.p7):
            nn.init.kaiming_uniform_(conv.weight, a=1)
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
        self.use_p5 = in_channels == out_channels

    def forward(self, c5: torch.Tensor, p5: torch.Tensor) -> list[torch.Tensor]:
        p6 = self.p6(p5 if self.use_p5 else c5)
        return [p6, self.p7(F.relu(p6))]
