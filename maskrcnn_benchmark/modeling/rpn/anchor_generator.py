"""Anchors: the reference boxes at each position of each feature map."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from yacs.config import CfgNode

from maskrcnn_benchmark.structures.image_list import sizes_on
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.tensor_cache import TensorCache
from maskrcnn_benchmark.utils.text import counted

# Batches come in a few shapes; beyond this many the oldest are dropped, so that memory stays bounded.
MAX_CACHED_GRIDS = 32


class BufferList(nn.Module):
    """A list of buffers, named 0, 1, ... in the state dict."""

    def __init__(self, buffers: Iterable[torch.Tensor]) -> None:
        super().__init__()
        for index, buffer in enumerate(buffers):
            self.register_buffer(str(index), buffer)

    def __len__(self) -> int:
        return len(self._buffers)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._buffers.values())


class AnchorGrid(NamedTuple):
    """The anchors of a batch, which all its images share. It is cached: not to be written to.

    Attributes:
        levels: per level float [H_l * W_l * A_l, 4], xyxy, inclusive pixels, position by position in rows.
        every: float [A, 4], those of all levels, whose parts `levels` are.
        begins: int64 [L], the first anchor of each level among all.
        widths, counts: int64 [L], positions in a row of each level, and anchors per position.
    """

    levels: list[torch.Tensor]
    every: torch.Tensor
    begins: torch.Tensor
    widths: torch.Tensor
    counts: torch.Tensor

    def level_of(self, anchor: torch.Tensor) -> torch.Tensor:
        """int64 [S]: the level of anchors given by their index among all, int64 [S]."""
        return torch.bucketize(anchor, self.begins, right=True) - 1


class AnchorGenerator(nn.Module):
    """Anchors of every size and shape at every position of a pyramid.

    Args:
        sizes: sides in pixels of a square anchor: one per level (or a tuple per level), or with one stride any number.
        aspect_ratios: height over width.
        anchor_strides: input pixels per position of each level.
        straddle_thresh: anchors that leave the image by this many pixels or more are not visible; -1 keeps all.
    """

    def __init__(
        self,
        sizes: Sequence[Any],
        aspect_ratios: Sequence[float],
        anchor_strides: Sequence[int],
        straddle_thresh: int = 0,
    ) -> None:
        super().__init__()
        if len(anchor_strides) == 1:
            sizes = (sizes,)
        if len(sizes) != len(anchor_strides):
            raise ValueError(f"{len(anchor_strides)} anchor strides but {len(sizes)} anchor sizes")
        self.strides = tuple(anchor_strides)
        self.straddle_thresh = straddle_thresh
        self.cell_anchors = BufferList(
            generate_anchors(stride, size if isinstance(size, tuple | list) else (size,), aspect_ratios)
            for stride, size in zip(anchor_strides, sizes)
        )
        self._grids = TensorCache(MAX_CACHED_GRIDS)
        self.register_load_state_dict_post_hook(_drop_grids)

    def num_anchors_per_location(self) -> list[int]:
        """Anchors per position of each level: list of int."""
        return [len(anchors) for anchors in self.cell_anchors]

    def forward(self, feature_maps: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """`AnchorGrid.levels` of a batch's feature maps [N, C, H_l, W_l]."""
        return self.grid(feature_maps).levels

    def grid(self, feature_maps: Sequence[torch.Tensor]) -> AnchorGrid:
        """The anchors of a batch, which all its images share.

        Args:
            feature_maps: [N, C, H_l, W_l] for each level l.
        """
        if len(feature_maps) != len(self.strides):
            raise ValueError(
                f"anchors have {len(self.strides)} strides, but {counted(len(feature_maps), 'feature map')} came"
            )
        shapes = tuple(tuple(features.shape[-2:]) for features in feature_maps)
        key = (shapes, feature_maps[0].device)
        return self._grids.get(key, lambda: self._make_grid(*key))

    def _make_grid(self, shapes, device):
        levels = [
            grid_anchors(cell.to(device), stride, *shape)
            for cell, stride, shape in zip(self.cell_anchors, self.strides, shapes)
        ]
        every = torch.cat(levels)
        sizes = [len(level) for level in levels]
        begins = [end - size for end, size in zip(accumulate(sizes), sizes)]
        widths = [width for _, width in shapes]
        table = torch.tensor([begins, widths, self.num_anchors_per_location()], device=device)
        return AnchorGrid(list(every.split(sizes)), every, *table)

    def visibility(self, anchors: torch.Tensor, image_sizes: Sequence[tuple[int, int]]) -> torch.Tensor:
        """Which anchors lie in which image, padding excluded.

        Args:
            anchors: float [A, 4].
            image_sizes: N pairs (height, width).

        Returns:
            bool [N, A].
        """
        if self.straddle_thresh < 0:
            return torch.ones(len(image_sizes), len(anchors), dtype=torch.bool, device=anchors.device)
        limits = sizes_on(image_sizes, anchors.device).flip(1) + self.straddle_thresh
        begins_inside = (anchors[:, :2] >= -self.straddle_thresh).all(dim=1)
        return begins_inside & (anchors[:, 2:] < limits[:, None]).all(dim=2)


def _drop_grids(anchor_generator: AnchorGenerator, incompatible_keys: Any) -> None:
    """After loading weights, whose anchors may differ: the cached grids are stale."""
    anchor_generator._grids.clear()


def generate_anchors(stride: int, sizes: Sequence[float], aspect_ratios: Sequence[float]) -> torch.Tensor:
    """Anchors at the position (0, 0), as Faster R-CNN makes them (Ren et al. 2015 and its released code).

    A window of stride x stride is reshaped to each ratio with sides rounded to whole pixels, then scaled to each size,
    so the anchors' areas differ a little from the squares of the sizes. Released weights rely on that.

    Returns:
        float32 [len(aspect_ratios) * len(sizes), 4]: xyxy, inclusive pixels, ratio by ratio.
    """
    ratios, scales = np.array(aspect_ratios, np.float64), np.array(sizes, np.float64) / stride
    widths = np.sqrt(stride * stride / ratios).round()
    heights = np.round(widths * ratios)
    sides = (np.stack((widths, heights), 1)[:, None] * scales[:, None]).reshape(-1, 2)
    centre, reach = 0.5 * (stride - 1), 0.5 * (sides - 1)
    return torch.from_numpy(np.concatenate((centre - reach, centre + reach), 1)).float()


def grid_anchors(cell_anchors: torch.Tensor, stride: int, height: int, width: int) -> torch.Tensor:
    """`cell_anchors` moved to each position of a height x width map: [height * width * A, 4]."""
    y, x = torch.meshgrid(
        torch.arange(height, device=cell_anchors.device) * stride,
        torch.arange(width, device=cell_anchors.device) * stride,
        indexing="ij",
    )
    shifts = torch.stack((x, y, x, y), dim=-1).reshape(-1, 1, 4)
    return (shifts + cell_anchors).reshape(-1, 4)


def make_anchor_generator(cfg: CfgNode) -> AnchorGenerator:
    """The `AnchorGenerator` that MODEL.RPN describes. Raises `UserError` where sizes and strides do not pair."""
    options = cfg.MODEL.RPN
    strides, sizes = options.ANCHOR_STRIDE, options.ANCHOR_SIZES
    if options.USE_FPN and len(strides) != len(sizes):
        raise UserError(
            f"MODEL.RPN.ANCHOR_STRIDE has {len(strides)} levels and MODEL.RPN.ANCHOR_SIZES {len(sizes)}; "
            "with MODEL.RPN.USE_FPN each level has one stride and one size"
        )
    if not options.USE_FPN and len(strides) != 1:
        raise UserError(
            f"MODEL.RPN.ANCHOR_STRIDE has {len(strides)} values; without MODEL.RPN.USE_FPN there is one feature map"
        )
    return AnchorGenerator(sizes, options.ASPECT_RATIOS, strides, options.STRADDLE_THRESH)


def make_anchor_generator_retinanet(cfg: CfgNode) -> AnchorGenerator:
    """The `AnchorGenerator` that MODEL.RETINANET describes: on each level, SCALES_PER_OCTAVE sizes from one on up.

    Raises `UserError` where sizes and strides do not pair.
    """
    options = cfg.MODEL.RETINANET
    if len(options.ANCHOR_STRIDES) != len(options.ANCHOR_SIZES):
        raise UserError(
            f"MODEL.RETINANET.ANCHOR_STRIDES has {len(options.ANCHOR_STRIDES)} levels and "
            f"MODEL.RETINANET.ANCHOR_SIZES {len(options.ANCHOR_SIZES)}; each level has one stride and one size"
        )
    scales = [options.OCTAVE ** (i / options.SCALES_PER_OCTAVE) for i in range(options.SCALES_PER_OCTAVE)]
    sizes = tuple(tuple(size * scale for scale in scales) for size in options.ANCHOR_SIZES)
    return AnchorGenerator(sizes, options.ASPECT_RATIOS, options.ANCHOR_STRIDES, options.STRADDLE_THRESH)
