"""The dense decoder and its features: what every head with one output per image reads."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import nn
from torch.nn import functional as F

from maskrcnn_benchmark.layers import SyncBatchNorm2d
from maskrcnn_benchmark.structures.image_list import valid_mask

DENSE_STRIDE = 4
NUM_LEVELS = 4  # P2..P5; the coarser levels of a pyramid exist for anchors alone


@dataclass
class DenseFeatures:
    """Shared features of one batch.

    Attributes:
        pyramid: the feature pyramid, finest first, each float [N, C, h, w].
        image_sizes: (height, width) of each image inside the padded batch.
        dense: float [N, CHANNELS, H/4, W/4], or None when no head reads it.
        fine: the edge decoder's output, float [N, EDGE_CHANNELS, H/s, W/s], or None when no head reads it.
        subpixels: {`EdgePredictor`: its output on `fine`}, of those that were computed together.
        refined: {head: what it reads in place of `dense`}, of the heads that a task exchange has made something for.
        initial: {head: maps float [N, C', h, w] for its initial predictions}, of those that have such.
    """

    pyramid: list[torch.Tensor]
    image_sizes: list[tuple[int, int]]
    dense: torch.Tensor | None = None
    fine: torch.Tensor | None = None
    subpixels: dict[nn.Module, torch.Tensor] = field(default_factory=dict)
    refined: dict[nn.Module, torch.Tensor] = field(default_factory=dict)
    initial: dict[nn.Module, list[torch.Tensor]] = field(default_factory=dict)
    _inside: dict[tuple, torch.Tensor] = field(default_factory=dict, repr=False)

    def inside(self, height: int, width: int, stride: int) -> torch.Tensor:
        """`valid_mask` of a map of the batch, made once for all heads that ask for it: not to be written to."""
        key = height, width, stride
        if torch.compiler.is_compiling():  # where sides may be symbols, which are no keys
            return valid_mask(self.image_sizes, *key, self.pyramid[0].device)
        if key not in self._inside:
            self._inside[key] = valid_mask(self.image_sizes, *key, self.pyramid[0].device)
        return self._inside[key]

    def read_by(self, head: nn.Module) -> "DenseFeatures":
        """The features as a head reads them: with its own `dense` where a task exchange has made one."""
        return replace(self, dense=self.refined[head]) if head in self.refined else self


def conv_block(in_channels: int, out_channels: int, norm: str, kernel_size: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution, normalisation ("GN", "BN", "SyncBN" or "") and ReLU; the spatial size is kept but for the stride."""
    conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, kernel_size // 2, bias=not norm)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    layers: list[nn.Module] = [conv]
    if norm == "GN":
        layers.append(nn.GroupNorm(_num_groups(out_channels), out_channels))
    elif norm in ("BN", "SyncBN"):
        layers.append((nn.BatchNorm2d if norm == "BN" else SyncBatchNorm2d)(out_channels))
    elif norm:
        raise ValueError(f'norm must be "GN", "BN", "SyncBN" or "", not {norm!r}')
    layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


def _num_groups(channels: int) -> int:
    """32 groups as in the Group Normalization paper, fewer where that leaves less than four channels in one."""
    groups = 32
    while groups > 1 and (channels % groups or channels // groups < 4):
        groups //= 2
    return groups


class DenseDecoder(nn.Module):
    """Brings P2..P5 to stride 4 and adds them (semantic branch of Panoptic FPN, Kirillov et al. 2019).

    A level at stride 4 * 2^k passes k stages of [3x3 convolution, norm, ReLU, bilinear enlargement by two]; the finest
    passes one without enlargement.

    Args:
        in_channels: channels of the pyramid's levels.
        channels: channels of the result.
        norm: "GN", "BN", "SyncBN" or "".
    """

    def __init__(self, in_channels: int, channels: int = 128, norm: str = "GN") -> None:
        super().__init__()
        self.out_channels = channels
        self.levels = nn.ModuleList(
            nn.ModuleList(
                conv_block(in_channels if stage == 0 else channels, channels, norm) for stage in range(max(1, level))
            )
            for level in range(NUM_LEVELS)
        )

    def forward(self, pyramid: Sequence[torch.Tensor]) -> torch.Tensor:
        """Pyramid maps, finest (stride 4) first, each [N, in_channels, h, w] -> [N, channels, H/4, W/4]."""
        finest, *coarser = (self._to_second_level(stages, x, pyramid) for stages, x in zip(self.levels, pyramid))
        if not coarser:
            return finest
        # What enlarges a sum enlarges each of its terms: the last enlargement is made once, not once a level
        return finest + enlarge(sum(coarser[1:], coarser[0]), pyramid[0])

    def _to_second_level(self, stages, x, pyramid):
        """A level after all its stages and, but for the last, their enlargements: in the size of the second level."""
        for index, stage in enumerate(stages):
            if index > 0:
                x = enlarge(x, pyramid[len(stages) - index])
            x = stage(x)
        return x


def enlarge(x: torch.Tensor, finer: torch.Tensor) -> torch.Tensor:
    """Bilinearly to the size of a finer map, which need not be exactly twice as large."""
    return F.interpolate(x, size=finer.shape[-2:], mode="bilinear", align_corners=False)


def of_images(features: torch.Tensor, indices: Sequence[int]) -> torch.Tensor:
    """The rows of a batch [N, ...] that belong to the images `indices` (ascending): itself where these are all."""
    if len(indices) == len(features):
        return features
    # not features[indices], whose gradient is scattered element by element
    return features.index_select(0, torch.tensor(indices, device=features.device))


def stack_padded(maps: Sequence[torch.Tensor | None], height: int, width: int, fill: float) -> torch.Tensor:
    """Stack maps [..., h, w] of several sizes into [N, ..., height, width], padded to the right and below by `fill`.

    In the place of a map there may be None, for an image without one: it is all `fill`. One map at least is needed.
    """
    some = next(single for single in maps if single is not None)
    out = some.new_full((len(maps), *some.shape[:-2], height, width), fill)
    for slot, single in zip(out, maps):
        if single is not None:
            slot[..., : single.shape[-2], : single.shape[-1]] = single
    return out


def without_unlabelled(inside: torch.Tensor, labels: Sequence[object]) -> torch.Tensor:
    """`inside` [N, ...], but 0 for the images whose label is None; itself where every image has one."""
    if all(label is not None for label in labels):
        return inside
    inside = inside.clone()
    for image, label in zip(inside, labels):
        if label is None:
            image.fill_(0)
    return inside
