"""From heat maps to the keypoints of each detection."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from maskrcnn_benchmark.modeling.roi_heads.regions import spread
from maskrcnn_benchmark.modeling.utils import cat
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.keypoint import JointSet, Keypoints
from maskrcnn_benchmark.utils.precision import float32_precision

# Cells of the largest intermediate tensor: what a processor's cache almost holds, and what keeps a GPU busy
CHUNK_CELLS = 1 << 20
CHUNK_CELLS_ELSEWHERE = 1 << 26

# Coefficient of the bicubic kernel (Keys 1981), the value that OpenCV and torch use
CUBIC_A = -0.75


class KeypointPostProcessor(nn.Module):
    """Gives each detection its keypoints, as field "keypoints" with a score per keypoint as its field "logits".

    Args:
        joints: `JointSet` that names the keypoints, or None.
    """

    def __init__(self, joints: JointSet | None = None) -> None:
        super().__init__()
        self.joints = joints

    def forward(
        self, heatmaps: torch.Tensor, boxes: Sequence[BoxList], asked: Sequence[torch.Tensor], up_scale: int = 1
    ) -> Sequence[BoxList]:
        """Decode.

        Args:
            heatmaps: logits [A, K, M, M] of the boxes asked for, image after image.
            boxes: one `BoxList` per image, which gets the field.
            asked: one int64 [A_i] per image: the boxes that have keypoints. Those of the others are (0, 0, 0).
            up_scale: as `heatmaps_to_keypoints` has it.

        Returns:
            The boxes.
        """
        corners = cat([b.region_corners()[chosen] for b, chosen in zip(boxes, asked)])
        keypoints, scores = heatmaps_to_keypoints(heatmaps.detach(), corners.detach(), up_scale)
        empty = keypoints.new_zeros(keypoints.shape[1:])
        counts = [len(b) for b in boxes]
        places, values = spread(keypoints, asked, counts, empty), spread(scores, asked, counts, empty[:, 0])
        for b, place, logits in zip(boxes, places, values):
            field = Keypoints(place, b.size, joints=self.joints)
            field.add_field("logits", logits)
            b.add_field("keypoints", field)
        return boxes


def heatmaps_to_keypoints(
    maps: torch.Tensor, rois: torch.Tensor, up_scale: int = 1
) -> tuple[torch.Tensor, torch.Tensor]:
    """The place of each keypoint: the greatest cell of its heat map, resized bicubically to the pixels of its box.

    Args:
        maps: float [N, K, M, M], logits.
        rois: float [N, 4], xyxy.
        up_scale: the maps are so many times smaller than those that are meant, which come of them by bilinear
            enlargement; larger than 1 saves making these.

    Returns:
        float [N, K, 3] (x, y in the image, 1) and float [N, K]: the resized map's value there. The numbers are those of
        maskrcnn-benchmark's function of this name, which follows Detectron: a box of size s is ceil(s) pixels large,
        and a keypoint lies in the middle of its pixel.
    """
    maps, rois = maps.float(), rois.float()
    count, num_keypoints = maps.shape[:2]
    extent = (rois[:, 2:] - rois[:, :2]).clamp(min=1)
    pixels = extent.ceil()
    if not count:
        return maps.new_zeros(0, num_keypoints, 3), maps.new_zeros(0, num_keypoints)
    order = pixels.amax(dim=1).argsort(descending=True)
    # boxes that are resized together are of like size; their sizes are all that the device is waited for
    chunks = _chunks(pixels[order].long().tolist(), num_keypoints, maps.device)
    rows_first = maps.transpose(1, 2)
    found = []
    # Mixed precision or TF32 would make the resize, a matrix product, too coarse to tell neighbouring pixels apart
    with torch.autocast(maps.device.type, enabled=False), float32_precision(False):
        for start, end, width, height in chunks:
            chunk = order[start:end]
            found.append(_greatest_cell(rows_first[chunk], pixels[chunk], width, height, up_scale))
    cell, scores = (torch.empty_like(part).index_copy_(0, order, part) for part in map(torch.cat, zip(*found)))
    place = (cell + 0.5) * (extent / pixels)[:, None] + rois[:, None, :2]
    return torch.cat((place, torch.ones_like(scores)[..., None]), dim=-1), scores


def _chunks(sizes, num_keypoints, device):
    """[(first, end, width, height)]: runs of boxes of about `CHUNK_CELLS` cells, and the longest sides in each.

    Args:
        sizes: list of (width, height) of the boxes in pixels, those with the longest side first.
    """
    cells = CHUNK_CELLS if device.type == "cpu" else CHUNK_CELLS_ELSEWHERE
    chunks, start = [], 0
    while start < len(sizes):
        end = start + max(1, cells // (num_keypoints * max(sizes[start]) ** 2))
        chunks.append((start, min(end, len(sizes)), *map(max, zip(*sizes[start:end]))))
        start = end
    return chunks


def _greatest_cell(maps, pixels, width, height, up_scale):
    """(x, y) [n, K, 2] and value [n, K] of the maximum of each map, resized to its own (width, height) in `pixels`.

    Args:
        maps: float [n, M, K, M]: rows, then keypoints, so that each axis is resized by one product for all keypoints.
        pixels: float [n, 2]. width, height: their maxima.
        up_scale: see `heatmaps_to_keypoints`.
    """
    count, _, num_keypoints, side = maps.shape
    rows = _enlarging_weights(pixels[:, 1], height, maps.shape[1], up_scale)
    columns = _enlarging_weights(pixels[:, 0], width, side, up_scale)
    resized = torch.bmm(rows, maps.flatten(2)).view(count, height * num_keypoints, side)
    resized = torch.bmm(resized, columns.transpose(1, 2)).view(count, height, num_keypoints, width)
    # The row first: to find where a maximum is takes several times as long as to find it
    value, y = resized.amax(dim=3).max(dim=1)
    line = resized.gather(1, y[:, None, :, None].expand(-1, -1, -1, width)).squeeze(1)
    return torch.stack((line.max(dim=2).indices, y), dim=-1).to(maps.dtype), value


def _enlarging_weights(lengths, longest, side, up_scale):
    """`bicubic_weights` of `side` cells that are enlarged bilinearly to `up_scale` times as many first."""
    weights = bicubic_weights(lengths, longest, side * up_scale)
    if up_scale == 1:
        return weights
    one_cell_each = torch.eye(side, device=lengths.device)[None]
    return weights @ F.interpolate(one_cell_each, scale_factor=up_scale, mode="linear", align_corners=False)[0].t()


def bicubic_weights(lengths: torch.Tensor, longest: int, side: int) -> torch.Tensor:
    """Weights [n, longest, side] that resize `side` cells to lengths[i] pixels; half-pixel centres, clamped borders.

    Beyond the lengths[i] pixels the last of them is repeated.
    """
    pixel = torch.minimum(torch.arange(longest, device=lengths.device), lengths[:, None] - 1)
    source = (pixel + 0.5) * (side / lengths)[:, None] - 0.5
    first = source.floor()
    t = (source - first)[..., None]
    distance = torch.cat((1 + t, t, 1 - t, 2 - t), dim=-1)
    a = CUBIC_A
    near = ((a + 2) * distance - (a + 3)) * distance * distance + 1
    far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    taps = torch.where(distance <= 1, near, far)
    cells = (first[..., None] + torch.arange(-1, 3, device=lengths.device)).clamp(0, side - 1)
    weights = torch.zeros((*source.shape, side), dtype=source.dtype, device=lengths.device)
    return weights.scatter_add_(-1, cells.to(torch.int64), taps)
