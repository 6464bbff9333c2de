"""Small tensor helpers that several parts of the model share."""

from collections.abc import Sequence

import torch


def cat(tensors, dim=0):
    """Concatenate along `dim`, without a copy when there is a single tensor."""
    if len(tensors) == 1:
        return tensors[0]
    return torch.cat(tensors, dim)


def pad_rows(parts: Sequence[torch.Tensor], fill: float = 0) -> torch.Tensor:
    """Tensors [K_i, ...] as one [N, max K_i, ...] of the first one's type, filled up by `fill`."""
    padded = parts[0].new_full((len(parts), max(map(len, parts)), *parts[0].shape[1:]), fill)
    for row, part in zip(padded, parts):
        row[: len(part)] = part
    return padded


def without_crowds(boxes):
    """The boxes of a `BoxList` that are single objects: those whose field "iscrowd", if there is one, is false."""
    if not boxes.has_field("iscrowd"):
        return boxes
    return boxes[~boxes.get_field("iscrowd").bool()]
