"""Non-maximum suppression on inclusive boxes."""

import torch
from torchvision.ops import nms as exclusive_nms

# torchvision's boxes end where the next pixel starts; ours end on their last pixel.
TO_REMOVE = 1

# From this many boxes on, a CPU is faster group by group than with all groups at once, whose cost is quadratic.
MANY_BOXES = 1000


def inclusive_to_exclusive(boxes):
    """Boxes [..., 4] whose x2, y2 name the last pixel -> boxes whose x2, y2 are the far edge of that pixel."""
    return torch.cat((boxes[..., :2], boxes[..., 2:] + TO_REMOVE), dim=-1)


def nms(boxes, scores, threshold):
    """Greedy suppression of boxes whose IoU with a better one exceeds `threshold`.

    Args:
        boxes: float [N, 4], xyxy, inclusive pixels.
        scores: float [N].
        threshold: IoU.

    Returns:
        int64 [K]: indices of the boxes kept, best score first.
    """
    return exclusive_nms(inclusive_to_exclusive(boxes.float()), scores.float(), threshold)


def grouped_nms(boxes, scores, groups, threshold):
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
