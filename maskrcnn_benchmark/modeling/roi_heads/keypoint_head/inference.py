"""From heat maps to the joints of each detection."""

import torch
from torch import nn

from maskrcnn_benchmark.modeling.roi_heads.regions import spread
from maskrcnn_benchmark.modeling.utils import cat
from maskrcnn_benchmark.structures.keypoint import Keypoints

# Cells of the largest intermediate tensor: 16 MiB, which a processor's cache almost holds
CHUNK_CELLS = 1 << 22

# Coefficient of the bicubic kernel (Keys 1981), the value that OpenCV and torch use
CUBIC_A = -0.75


class KeypointPostProcessor(nn.Module):
    """Gives each detection its joints, as field "keypoints" with a score per joint as its field "logits".

    Args:
        joints: `JointSet` that names the joints, or None.
    """

    def __init__(self, joints=None):
        super().__init__()
        self.joints = joints

    def forward(self, heatmaps, boxes, asked):
        """Decode.

        Args:
            heatmaps: logits [A, K, M, M] of the boxes asked for, image after image.
            boxes: one `BoxList` per image, which gets the field.
            asked: one bool [D] per image: the boxes that have joints. The joints of the others are (0, 0, 0).

        Returns:
            The boxes.
        """
        corners = cat([b.bbox[chosen] for b, chosen in zip(boxes, asked)])
        keypoints, scores = heatmaps_to_keypoints(heatmaps.detach(), corners.detach())
        empty = keypoints.new_zeros(keypoints.shape[1:])
        for b, joints, logits in zip(boxes, spread(keypoints, asked, empty), spread(scores, asked, empty[:, 0])):
            field = Keypoints(joints, b.size, joints=self.joints)
            field.add_field("logits", logits)
            b.add_field("keypoints", field)
        return boxes


def heatmaps_to_keypoints(maps, rois):
    """The place of each joint: the greatest cell of its heat map, resized bicubically to the pixels of its box.

    Args:
        maps: float [N, K, M, M], logits.
        rois: float [N, 4], xyxy.

    Returns:
        float [N, K, 3] (x, y in the image, 1) and float [N, K]: the resized map's value there. The numbers are those of
        maskrcnn-benchmark's function of this name, which follows Detectron: a box of size s is ceil(s) pixels large,
        and a joint lies in the middle of its pixel.
    """
    maps, rois = maps.float(), rois.float()
    count, num_keypoints = maps.shape[:2]
    extent = (rois[:, 2:] - rois[:, :2]).clamp(min=1)
    pixels = extent.ceil()
    cell = maps.new_zeros((count, num_keypoints, 2))
    scores = maps.new_zeros((count, num_keypoints))
    # Mixed precision would make the resize, a matrix product, too coarse to tell neighbouring pixels apart
    with torch.autocast(maps.device.type, enabled=False):
        for chunk in _chunks_of_like_size(pixels, num_keypoints):
            cell[chunk], scores[chunk] = _greatest_cell(maps[chunk], pixels[chunk])
    place = (cell + 0.5) * (extent / pixels)[:, None] + rois[:, None, :2]
    return torch.cat((place, torch.ones_like(scores)[..., None]), dim=-1), scores


def _chunks_of_like_size(pixels, num_keypoints):
    """Yield index tensors that together name all boxes, largest first, in portions of about `CHUNK_CELLS` cells."""
    longest, order = pixels.amax(dim=1).sort(descending=True)
    start = 0
    while start < len(order):
        step = max(1, int(CHUNK_CELLS // (num_keypoints * longest[start].item() ** 2)))
        yield order[start : start + step]
        start += step


def _greatest_cell(maps, pixels):
    """(x, y) [n, K, 2] and value [n, K] of the maximum of each map, resized to its own (width, height) in `pixels`."""
    width, height = (int(v) for v in pixels.amax(dim=0))
    columns = bicubic_weights(pixels[:, 0], width, maps.shape[-1])
    rows = bicubic_weights(pixels[:, 1], height, maps.shape[-2])
    resized = torch.matmul(torch.matmul(rows[:, None], maps), columns[:, None].transpose(2, 3))
    outside_x = torch.arange(width, device=maps.device) >= pixels[:, :1]
    outside_y = torch.arange(height, device=maps.device) >= pixels[:, 1:]
    resized.masked_fill_((outside_y[:, :, None] | outside_x[:, None, :])[:, None], -torch.inf)
    value, index = resized.flatten(2).max(dim=2)
    return torch.stack((index % width, torch.div(index, width, rounding_mode="floor")), dim=-1).to(maps.dtype), value


def bicubic_weights(lengths, longest, side):
    """Weights [n, longest, side] that resize `side` cells to lengths[i] pixels; half-pixel centres, clamped borders."""
    target = torch.arange(longest, device=lengths.device) + 0.5
    source = target * (side / lengths)[:, None] - 0.5
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
