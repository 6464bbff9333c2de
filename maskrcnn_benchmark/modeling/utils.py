"""Small tensor helpers that several parts of the model share."""

import torch


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
