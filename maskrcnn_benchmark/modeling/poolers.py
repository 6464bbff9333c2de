"""Pooling of box features from a feature pyramid: each box is read from the level that fits its size."""

import math
from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import nn
from yacs.config import CfgNode

from maskrcnn_benchmark.layers import roi_align
from maskrcnn_benchmark.modeling.box_convention import box_convention
from maskrcnn_benchmark.modeling.utils import cat
from maskrcnn_benchmark.structures.bounding_box import TO_REMOVE, BoxList


class LevelMapper:
    """Level of each box: floor(4 + log2(sqrt(area) / 224 + 1e-6)), clamped (FPN, Lin et al. 2017, equation 1).

    Args:
        k_min, k_max: finest and coarsest level, log2 of their strides.
        canonical_scale, canonical_level: a box of this side is read from this level.
    """

    def __init__(
        self, k_min: float, k_max: float, canonical_scale: float = 224, canonical_level: float = 4, eps: float = 1e-6
    ) -> None:
        self.k_min = k_min
        self.k_max = k_max
        self.canonical_scale = canonical_scale
        self.canonical_level = canonical_level
        self.eps = eps

    def __call__(self, boxlists: Sequence[BoxList]) -> torch.Tensor:
        """int64 [R]: the level of each box of a list of `BoxList`, counted from the finest."""
        return self.of_areas(cat([boxes.area() for boxes in boxlists]))

    def of_areas(self, areas: torch.Tensor) -> torch.Tensor:
        """int64 [R]: the level of boxes of these areas, float [R] in pixels, counted from the finest."""
        side = torch.sqrt(areas)
        level = torch.floor(self.canonical_level + torch.log2(side / self.canonical_scale + self.eps))
        return (level.clamp(self.k_min, self.k_max) - self.k_min).to(torch.int64)


class Pooler(nn.Module):
    """ROIAlign over one feature map or over a pyramid.

    Args:
        output_size: (height, width) of the pooled features.
        scales: feature pixels per image pixel of each level, finest first, each half of the one before.
        sampling_ratio: samples per bin and axis; 0 adapts to the size of the box.
        aligned: as of `layers.roi_align`; the original's is not.
    """

    def __init__(
        self, output_size: Sequence[int], scales: Sequence[float], sampling_ratio: int, aligned: bool = False
    ) -> None:
        super().__init__()
        self.output_size = tuple(output_size)
        self.scales = tuple(scales)
        self.sampling_ratio = sampling_ratio
        self.aligned = aligned
        self.map_levels = LevelMapper(-math.log2(self.scales[0]), -math.log2(self.scales[-1]))

    def forward(self, x: Sequence[torch.Tensor], boxes: Sequence[BoxList]) -> torch.Tensor:
        """Pool.

        Args:
            x: feature maps [N, C, H, W], finest first, or `MapsToPool`; only the first `len(scales)` are read.
            boxes: N `BoxList`s, in input pixels.

        Returns:
            [R, C, *output_size]: features of all boxes, image after image, in the dtype of the maps.
        """
        return self._pool_levels(x, boxes).to(getattr(x, "dtype", x[0].dtype))

    def _pool_levels(self, x, boxes):
        if len(x) < len(self.scales):
            raise ValueError(f"the pooler has {len(self.scales)} scales, but only {len(x)} feature maps came")
        rois = convert_to_roi_format(boxes)
        if len(self.scales) == 1:
            return self._pool(x[0], rois, self.scales[0])
        corners = rois[:, 1:]
        beyond = TO_REMOVE - boxes[0].region_end
        width, height = (corners[:, 2:] - corners[:, :2] + beyond).unbind(1)
        levels = self.map_levels.of_areas(width * height)
        order = torch.argsort(levels, stable=True)
        # all that the device is waited for
        counts = (levels[:, None] == torch.arange(len(self.scales), device=levels.device)).sum(dim=0).tolist()
        parts = zip(x, rois[order].split(counts), self.scales)
        # A level without boxes costs a pass over its whole gradient, so it is left out; for no box at all one stays.
        filled = [part for part in parts if len(part[1])] or [(x[0], rois, self.scales[0])]
        pooled = cat([self._pool(*part) for part in filled])
        return torch.empty_like(pooled).index_copy_(0, order, pooled)

    def _pool(self, features, rois, scale):
        # In single precision whatever the features are in: half of it cannot tell neighbouring pixels apart.
        return roi_align(features.float(), rois.float(), self.output_size, scale, self.sampling_ratio, self.aligned)


def convert_to_roi_format(boxlists: Sequence[BoxList]) -> torch.Tensor:
    """float [R, 5]: (index of the image, *`BoxList.region_corners`) of all boxes of a list of `BoxList`."""
    boxes = cat([boxlist.region_corners() for boxlist in boxlists])
    rois = boxes.new_empty(len(boxes), 5)
    rois[:, 1:] = boxes
    ends = list(accumulate(len(boxlist) for boxlist in boxlists))
    for image, (begin, end) in enumerate(zip([0, *ends], ends)):
        rois[begin:end, 0] = image
    return rois


def make_pooler(cfg: CfgNode, head_name: str) -> Pooler:
    """The `Pooler` that MODEL.<head_name> (such as "ROI_BOX_HEAD") describes."""
    options = cfg.MODEL[head_name]
    side, aligned = options.POOLER_RESOLUTION, box_convention(cfg).aligned_regions
    return Pooler((side, side), options.POOLER_SCALES, options.POOLER_SAMPLING_RATIO, aligned)
