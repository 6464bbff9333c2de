"""Non-maximum suppression that can be exported: as torchvision's operation, and as ONNX's."""

from collections.abc import Callable

import torch
from torchvision.ops import nms as exclusive_nms

from maskrcnn_benchmark.layers.nms import inclusive_to_exclusive

# What both functions are
Suppression = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, int, float, int], torch.Tensor]


def apart_nms(
    boxes: torch.Tensor, scores: torch.Tensor, groups: torch.Tensor, num_groups: int, threshold: float, room: int
) -> torch.Tensor:
    """`layers.grouped_nms` of some boxes, in operations that a program of `torch.export` may hold.

    Args:
        boxes: float [N, 4], xyxy, inclusive pixels, within 0 .. room - 1.
        scores: float [N], not negative.
        groups: int64 [N], 0 .. num_groups - 1.
        threshold: IoU, greater than 0.
        room: pixels by which the groups are moved apart.

    Returns:
        int64 [K]: indices of the boxes kept, best score first over all groups.
    """
    return _apart_nms(inclusive_to_exclusive(boxes), scores, groups, num_groups, threshold, room + 1)


def onnx_nms(
    boxes: torch.Tensor, scores: torch.Tensor, groups: torch.Tensor, num_groups: int, threshold: float, room: int
) -> torch.Tensor:
    """As `apart_nms`, for a graph that becomes ONNX: its operation keeps classes apart, but in single precision alone.

    `export.onnx_operations` says what this becomes.
    """
    exclusive = inclusive_to_exclusive(boxes)
    return torch.ops.maskrcnn_benchmark.grouped_nms(exclusive, scores, groups, num_groups, threshold)


def _apart_nms(boxes, scores, groups, num_groups, threshold, room):
    # Two boxes of groups of their own, which come out last: a tracer takes it that suppression leaves two or more
    boxes = torch.cat((boxes, boxes.new_zeros(2, 4)))
    scores = torch.cat((scores, torch.tensor([-1.0, -2.0])))
    groups = torch.cat((groups, torch.tensor([num_groups, num_groups + 1])))
    # Doubles hold coordinate and offset without rounding
    moved = boxes.double() + (groups.double() * room)[:, None]
    return exclusive_nms(moved, scores.double(), threshold)[:-2]


@torch.library.custom_op("maskrcnn_benchmark::grouped_nms", mutates_args=())
def _grouped_nms(
    boxes: torch.Tensor, scores: torch.Tensor, groups: torch.Tensor, num_groups: int, threshold: float
) -> torch.Tensor:
    """Of exclusive boxes."""
    return _apart_nms(boxes, scores, groups, num_groups, threshold, boxes.max().item() + 1 if len(boxes) else 1)


@_grouped_nms.register_fake
def _shape_of_grouped_nms(boxes, scores, groups, num_groups, threshold):
    return groups.new_empty(torch.library.get_ctx().new_dynamic_size())
