"""Non-maximum suppression on inclusive boxes."""

from collections.abc import Sequence

import torch
from torchvision.ops import nms as exclusive_nms

from maskrcnn_benchmark.utils.tensor_cache import TensorCache

# torchvision's boxes end where the next pixel starts; ours end on their last pixel.
TO_REMOVE = 1

# From this many boxes on, a CPU is faster group by group than with all groups at once, whose cost is quadratic.
MANY_BOXES = 1000

# Levels that one call keeps apart: areas of the last are within the range of single precision
MAX_LEVELS = 12

# `_factors_of_levels` of the pyramids that a network sees
_FACTORS = TensorCache(maxsize=64)


def inclusive_to_exclusive(boxes: torch.Tensor) -> torch.Tensor:
    """Boxes [..., 4] whose x2, y2 name the last pixel -> boxes whose x2, y2 are the far edge of that pixel."""
    return torch.cat((boxes[..., :2], boxes[..., 2:] + TO_REMOVE), dim=-1)


def nms(boxes: torch.Tensor, scores: torch.Tensor, threshold: float) -> torch.Tensor:
    """Greedy suppression of boxes whose IoU with a better one exceeds `threshold`.

    Args:
        boxes: float [N, 4], xyxy, inclusive pixels.
        scores: float [N].
        threshold: IoU.

    Returns:
        int64 [K]: indices of the boxes kept, best score first.
    """
    return exclusive_nms(inclusive_to_exclusive(boxes.float()), scores.float(), threshold)


def level_nms(boxes: torch.Tensor, scores: torch.Tensor, sizes: Sequence[int], threshold: float) -> list[torch.Tensor]:
    """`nms` within each level of each image: one call an image on a GPU, a call a level on a CPU, where that is faster.

    Args:
        boxes: float [N, K, 4], level after level, xyxy, inclusive pixels, from 0 up to 2^14.
        scores: float [N, K].
        sizes: number of boxes of each level, K in all.
        threshold: IoU, above 0.

    Returns:
        List of int64 [K_i], the boxes kept of each image, in any order.
    """
    boxes = inclusive_to_exclusive(boxes.float())
    scores = scores.float()
    if boxes.device.type == "cpu":
        return [_nms_level_by_level(*each, sizes, threshold) for each in zip(boxes, scores)]
    return [exclusive_nms(*each, threshold) for each in zip(levels_apart(boxes, sizes), scores)]


def levels_apart(boxes: torch.Tensor, sizes: Sequence[int]) -> torch.Tensor:
    """Boxes moved so that those of different levels do not overlap, while overlaps within a level stay bit for bit.

    Each of four levels is mirrored into a quadrant of its own. The next four are in addition 2^20 times as large, so
    that a box of theirs, unless it is smaller than a thousandth of a square pixel, is met by others in a negligible
    share of its area; and so on. Unlike a shift, which is the usual way, neither rounds a coordinate.

    Args:
        boxes: float32 [..., K, 4], xyxy, exclusive, from 0 up to 2^14 pixels.
        sizes: number of boxes of each level, K in all; twelve levels at most.
    """
    sizes, device = tuple(sizes), boxes.device
    factors = _FACTORS.get((sizes, device), lambda: _factors_of_levels(sizes, device))
    low, high = boxes[..., :2] * factors, boxes[..., 2:] * factors
    return torch.cat((torch.minimum(low, high), torch.maximum(low, high)), dim=-1)


def _factors_of_levels(sizes, device):
    """float32 [K, 2]: what the x and the y of each box are multiplied with."""
    if len(sizes) > MAX_LEVELS:
        raise ValueError(f"{len(sizes)} levels cannot be kept apart in single precision; at most {MAX_LEVELS} can")
    rows = [
        (2.0 ** (20 * (level // 4)) * (-1) ** (level % 2), 2.0 ** (20 * (level // 4)) * (-1) ** (level // 2 % 2))
        for level in range(len(sizes))
    ]
    factors = torch.repeat_interleave(torch.tensor(rows), torch.tensor(sizes), dim=0, output_size=sum(sizes))
    return factors.to(device)


def _nms_level_by_level(boxes, scores, sizes, threshold):
    kept, begin = [], 0
    for level_boxes, level_scores in zip(boxes.split(sizes), scores.split(sizes)):
        kept.append(exclusive_nms(level_boxes, level_scores, threshold) + begin)
        begin += len(level_boxes)
    return torch.cat(kept)


def grouped_nms(boxes: torch.Tensor, scores: torch.Tensor, groups: torch.Tensor, threshold: float) -> torch.Tensor:
    """`nms` among the boxes of each group (an image's level, a class), for all groups together.

    Args:
        boxes: float [N, 4], xyxy, inclusive pixels.
        scores: float [N].
        groups: int64 [N], not negative.
        threshold: IoU; 0 or less keeps all, as `structures.boxlist_ops.boxlist_nms` does.

    Returns:
        int64 [K]: indices of the boxes kept, best score first over all groups.
    """
    if threshold <= 0:
        keep = torch.arange(len(boxes), device=boxes.device)
    elif boxes.device.type == "cpu" and len(boxes) >= MANY_BOXES:
        keep = _nms_group_by_group(boxes, scores, groups, threshold)
    else:
        keep = _nms_apart(boxes, scores, groups, threshold)
    return keep[torch.argsort(scores[keep], descending=True, stable=True)]


def _nms_apart(boxes, scores, groups, threshold):
    """One call over all boxes, with each group moved to a place of its own."""
    if boxes.numel() == 0:
        return groups.new_zeros(0)
    # Doubles hold coordinate and offset without rounding; in single precision distant groups would lose sub-pixels.
    boxes = inclusive_to_exclusive(boxes.double())
    room = boxes.max() - boxes.min() + TO_REMOVE
    return exclusive_nms(boxes + (groups.double() * room)[:, None], scores.double(), threshold)


def _nms_group_by_group(boxes, scores, groups, threshold):
    order = torch.argsort(groups, stable=True)
    sizes = torch.bincount(groups).tolist()
    members = [index for index in order.split(sizes) if len(index)]
    return torch.cat([index[nms(boxes[index], scores[index], threshold)] for index in members])
