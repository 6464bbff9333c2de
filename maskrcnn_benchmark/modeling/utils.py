"""Small tensor helpers that several parts of the model share."""

import torch

from maskrcnn_benchmark.structures.bounding_box import TO_REMOVE


def cat(tensors, dim=0):
    """Concatenate along `dim`, without a copy when there is a single tensor."""
    if len(tensors) == 1:
        return tensors[0]
    return torch.cat(tensors, dim)


def without_crowds(boxes):
    """The boxes of a `BoxList` that are single objects: those whose field "iscrowd", if there is one, is false."""
    if not boxes.has_field("iscrowd"):
        return boxes
    return boxes[~boxes.get_field("iscrowd").bool()]


def box_iou(boxes1, boxes2):
    """Intersection over union of every pair, as `boxlist_iou`, column by column: much faster for many anchors.

    Args:
        boxes1: float [N, 4], boxes2: float [M, 4], xyxy, inclusive pixels.

    Returns:
        float [N, M].
    """
    left1, top1, right1, bottom1 = boxes1.t()[:, :, None]
    left2, top2, right2, bottom2 = boxes2.t().contiguous()
    width = (torch.minimum(right1, right2) - torch.maximum(left1, left2) + TO_REMOVE).clamp(min=0)
    height = (torch.minimum(bottom1, bottom2) - torch.maximum(top1, top2) + TO_REMOVE).clamp(min=0)
    overlap = width * height
    area1 = (right1 - left1 + TO_REMOVE) * (bottom1 - top1 + TO_REMOVE)
    area2 = (right2 - left2 + TO_REMOVE) * (bottom2 - top2 + TO_REMOVE)
    return overlap / (area1 + area2 - overlap)
