"""From heat maps to keypoints in a form that can be traced: box after box, in a loop of the graph."""

import torch
from torch._higher_order_ops.while_loop import while_loop

from maskrcnn_benchmark.modeling.roi_heads.keypoint_head.inference import bicubic_weights


def keypoints_of_heatmaps(maps: torch.Tensor, rois: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """As `keypoint_head.inference.heatmaps_to_keypoints`, with the same numbers.

    That function takes boxes of like size together, as many as fit into a cache. Here each box has a turn of the loop,
    in which its heat maps are resized to its own pixels, so that no map is larger than its box.

    Args:
        maps: float [N, K, M, M], logits. N is 1 or more.
        rois: float [N, 4], xyxy.

    Returns:
        float [N, K, 3] (x, y in the image, 1) and float [N, K]: the resized map's value there.
    """
    extent = (rois[:, 2:] - rois[:, :2]).clamp(min=1)
    pixels = extent.ceil()

    def is_left(box, found):
        return box < maps.shape[0]

    def find(box, found):
        index = box.reshape(1)
        cells = _greatest_cell(maps.index_select(0, index), pixels.index_select(0, index))
        return box + 1, found.index_copy(0, index, cells)

    nothing = maps.new_zeros(maps.shape[0], maps.shape[1], 3)
    _, found = while_loop(is_left, find, (torch.zeros((), dtype=torch.int64), nothing))
    place = (found[..., :2] + 0.5) * (extent / pixels)[:, None] + rois[:, None, :2]
    return torch.cat((place, torch.ones_like(place[..., :1])), dim=-1), found[..., 2]


def _greatest_cell(maps: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
    """(x, y, value) float [1, K, 3] of the maximum of each map [1, K, M, M], resized to (width, height) = pixels[0]."""
    width, height = (pixels[0, axis].to(torch.int64) for axis in (0, 1))
    columns = bicubic_weights(pixels[:, 0], _length(width), maps.shape[-1])
    rows = bicubic_weights(pixels[:, 1], _length(height), maps.shape[-2])
    resized = torch.matmul(torch.matmul(rows[:, None], maps), columns[:, None].transpose(2, 3))
    value, index = resized.flatten(2).max(dim=2)
    y = torch.div(index, width, rounding_mode="floor")
    return torch.stack(((index - y * width).to(maps.dtype), y.to(maps.dtype), value), dim=-1)


def _length(count):
    """A tensor's number as a length that the tracer knows to be 1 or more."""
    number = count.item()
    torch._check(number >= 1)
    return number
