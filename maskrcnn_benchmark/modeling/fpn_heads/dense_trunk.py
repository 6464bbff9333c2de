"""The dense trunk and its features: what every head with one answer per image reads."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

TRUNK_STRIDE = 4
NUM_TRUNK_LEVELS = 4  # P2..P5; the coarser levels of a pyramid exist for anchors alone


@dataclass
class DenseFeatures:
    """Shared features of one batch.

    Attributes:
        pyramid: the feature pyramid, finest first, each float [N, C, h, w].
        image_sizes: (height, width) of each image inside the padded batch.
        trunk: float [N, CHANNELS, H/4, W/4], or None when no head reads it.
        fine: the edge decoder's output, float [N, EDGE_CHANNELS, H/s, W/s], or None when no head reads it.
    """

    pyramid: list[torch.Tensor]
    image_sizes: list[tuple[int, int]]
    trunk: torch.Tensor | None = None
    fine: torch.Tensor | None = None


def conv_block(in_channels, out_channels, norm, kernel_size=3, stride=1):
    """Convolution, normalisation ("GN", "BN" or "") and ReLU; the spatial size is kept but for the stride."""
    conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, kernel_size // 2, bias=not norm)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    layers = [conv]
    if norm == "GN":
        layers.append(nn.GroupNorm(_num_groups(out_channels), out_channels))
    elif norm == "BN":
        layers.append(nn.BatchNorm2d(out_channels))
    elif norm:
        raise ValueError(f'norm must be "GN", "BN" or "", not {norm!r}')
    layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


def _num_groups(channels):
    """32 groups as in the Group Normalization paper, fewer where that leaves less than four channels in one."""
    groups = 32
    while groups > 1 and (channels % groups or channels // groups < 4):
        groups //= 2
    return groups


class DenseTrunk(nn.Module):
    """Brings P2..P5 to stride 4 and adds them (semantic branch of Panoptic FPN, Kirillov et al. 2019).

    A level at stride 4 * 2^k passes k stages of [3x3 convolution, norm, ReLU, bilinear enlargement by two]; the finest
    passes one without enlargement.

    Args:
        in_channels: channels of the pyramid's levels.
        channels: channels of the result.
        norm: "GN", "BN" or "".
    """

    def __init__(self, in_channels, channels=128, norm="GN"):
        super().__init__()
        self.out_channels = channels
        self.levels = nn.ModuleList(
            nn.ModuleList(
                conv_block(in_channels if stage == 0 else channels, channels, norm) for stage in range(max(1, level))
            )
            for level in range(NUM_TRUNK_LEVELS)
        )

    def forward(self, pyramid):
        """Pyramid maps, finest (stride 4) first, each [N, in_channels, h, w] -> [N, channels, H/4, W/4]."""
        total = None
        for level, (stages, x) in enumerate(zip(self.levels, pyramid)):
            for index, stage in enumerate(stages):
                x = stage(x)
                if level > 0:
                    finer = pyramid[level - 1 - index]  # enlarges to that level's size, which need not be exactly twice
                    x = F.interpolate(x, size=finer.shape[-2:], mode="bilinear", align_corners=False)
            total = x if total is None else total + x
        return total


def valid_mask(sizes, height, width, stride, device):
    """Which cells of a padded map lie in their image: bool [N, height, width] for cells of `stride` pixels."""
    heights = torch.tensor([(h + stride - 1) // stride for h, _ in sizes], device=device)
    widths = torch.tensor([(w + stride - 1) // stride for _, w in sizes], device=device)
    rows = torch.arange(height, device=device)[None, :, None] < heights[:, None, None]
    columns = torch.arange(width, device=device)[None, None, :] < widths[:, None, None]
    return rows & columns


def of_images(features, indices):
    """The rows of a batch [N, ...] that belong to the images `indices` (ascending): itself where these are all."""
    if len(indices) == len(features):
        return features
    # not features[indices], whose gradient is scattered element by element
    return features.index_select(0, torch.tensor(indices, device=features.device))


def stack_padded(maps, height, width, fill):
    """Stack maps [..., h, w] of several sizes into [N, ..., height, width], padded to the right and below by `fill`."""
    out = maps[0].new_full((len(maps), *maps[0].shape[:-2], height, width), fill)
    for slot, single in zip(out, maps):
        slot[..., : single.shape[-2], : single.shape[-1]] = single
    return out
