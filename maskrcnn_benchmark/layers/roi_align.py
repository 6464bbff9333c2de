"""ROIAlign: torchvision's; on a CPU the same numbers from weighted sums of feature rows, which take a tenth."""

from collections.abc import Iterable, Sequence

import torch
from torch.nn import functional as F
from torchvision import ops

CONTIGUOUS = torch.contiguous_format


def roi_align(
    input: torch.Tensor,
    boxes: torch.Tensor,
    output_size: int | Sequence[int],
    spatial_scale: float = 1.0,
    sampling_ratio: int = -1,
    aligned: bool = False,
) -> torch.Tensor:
    """Features of boxes by bilinear samples on a grid (Mask R-CNN, He et al. 2017, section 3).

    Args:
        input: float [N, C, H, W].
        boxes: float [R, 5], (index of the image, x1, y1, x2, y2) in image pixels. They get no gradient.
        output_size: bins, a side or (height, width).
        spatial_scale: feature pixels per image pixel.
        sampling_ratio: samples per bin and axis; 0 or less adapts to the size of the box.
        aligned: shift boxes by half a feature pixel, which the original library does not.

    Returns:
        float [R, C, height, width].
    """
    size = (output_size, output_size) if isinstance(output_size, int) else tuple(output_size)
    # Also where deterministic algorithms are demanded: torchvision's CUDA kernel adds its gradients in any order, and
    # what it offers instead wants a compiler; a bag of rows has one order
    by_rows = input.device.type == "cpu" or torch.are_deterministic_algorithms_enabled()
    if by_rows and sampling_ratio > 0 and len(boxes):
        return _align_rows(input, boxes, size, spatial_scale, sampling_ratio, aligned)
    return ops.roi_align(input, boxes, size, spatial_scale, sampling_ratio, aligned)


class MapsToPool(list):
    """Feature maps in the form that `roi_align` reads, as `maps_to_pool` makes them; `dtype` is that of before."""

    def __init__(self, maps: Iterable[torch.Tensor], dtype: torch.dtype) -> None:
        super().__init__(maps)
        self.dtype = dtype


def maps_to_pool(features: Sequence[torch.Tensor], count: int) -> MapsToPool:
    """Maps [N, C, H, W], of which the first `count` become float32 and, on a GPU, contiguous; others stay as they are.

    For several heads that pool from the same maps: each would make that copy of every map for itself.
    """
    layout = torch.preserve_format if features[0].device.type == "cpu" else CONTIGUOUS
    read = [level.to(torch.float32, memory_format=layout) for level in features[:count]]
    return MapsToPool([*read, *features[count:]], features[0].dtype)


class ROIAlign(ops.RoIAlign):
    """`roi_align` as a module: `ROIAlign(output_size, spatial_scale, sampling_ratio)(input, boxes)`."""

    def forward(self, input: torch.Tensor, rois: torch.Tensor) -> torch.Tensor:
        return roi_align(input, rois, self.output_size, self.spatial_scale, self.sampling_ratio, self.aligned)


def _align_rows(features, boxes, size, scale, samples, aligned):
    """Each bin as the weighted sum of the 4 * samples**2 feature rows that its bilinear samples read.

    torchvision's CPU kernel runs on one core and walks channel by channel. A bag of rows reads all channels of a
    pixel at once, on all cores, and takes channels-last maps as they are.
    """
    n, channels, height, width = features.shape
    image, corners = boxes[:, 0].to(torch.int64), boxes[:, 1:] * scale - (0.5 if aligned else 0.0)
    rows, row_weights = _taps(corners[:, 1], corners[:, 3], size[0], samples, height, aligned)
    columns, column_weights = _taps(corners[:, 0], corners[:, 2], size[1], samples, width, aligned)
    cells = ((image[:, None, None] * height + rows) * width)[:, :, None, :, None] + columns[:, None, :, None, :]
    weights = row_weights[:, :, None, :, None] * column_weights[:, None, :, None, :]
    taps = (2 * samples) ** 2
    table = features.permute(0, 2, 3, 1).reshape(n * height * width, channels)
    bags = F.embedding_bag(
        cells.reshape(-1, taps), table, per_sample_weights=weights.reshape(-1, taps).to(table.dtype), mode="sum"
    )
    return bags.view(len(boxes), *size, channels).permute(0, 3, 1, 2)


def _taps(start, end, bins, samples, extent, aligned):
    """What the samples of each bin read along one axis: cells int64 [R, bins, 2 * samples] and their weights.

    Samples more than a pixel outside of the map weigh nothing; others are moved onto it, as in torchvision.
    """
    length = end - start if aligned else (end - start).clamp(min=1)
    bin_size = (length / bins)[:, None, None]
    bin_index = torch.arange(bins, device=start.device)[:, None]
    sample_index = torch.arange(samples, device=start.device) + 0.5
    place = start[:, None, None] + bin_index * bin_size + sample_index * bin_size / samples
    inside = (place >= -1) & (place <= extent)
    place = torch.where(inside, place, 0).clamp(0, extent - 1)
    low = place.floor()
    share = place - low
    low = low.to(torch.int64)
    cells = torch.stack((low, (low + 1).clamp(max=extent - 1)), -1)
    weights = torch.stack((1 - share, share), -1) * (inside / samples)[..., None]
    return cells.flatten(2), weights.flatten(2)
