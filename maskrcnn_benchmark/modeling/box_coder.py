"""Boxes as offsets from reference boxes: what box regression learns."""

import math
from collections.abc import Sequence

import torch

from maskrcnn_benchmark.structures.bounding_box import TO_REMOVE

# dw and dh at most: a box of 16 pixels grows to 1000.
MAX_GROWTH = math.log(1000.0 / 16)


class BoxCoder:
    """Encodes boxes relative to anchors or proposals, and back (R-CNN, Girshick et al. 2014, appendix C).

    Args:
        weights: factors of (dx, dy, dw, dh), which bring the targets to about unit spread.
        bbox_xform_clip: greatest dw, dh that is decoded; the exponential would run away early in training.
    """

    def __init__(self, weights: Sequence[float], bbox_xform_clip: float = MAX_GROWTH) -> None:
        self.weights = weights
        self.bbox_xform_clip = bbox_xform_clip

    def encode(self, reference_boxes: torch.Tensor, proposals: torch.Tensor) -> torch.Tensor:
        """Offsets that turn `proposals` into `reference_boxes`.

        Args:
            reference_boxes, proposals: float [..., 4], xyxy, inclusive pixels.

        Returns:
            float [..., 4]: (dx, dy, dw, dh) times the weights.
        """
        centre, size = _centre_and_size(proposals)
        target_centre, target_size = _centre_and_size(reference_boxes)
        shift = _times((target_centre - centre) / size, self.weights[:2])
        growth = _times(torch.log(target_size / size), self.weights[2:])
        return torch.cat((shift, growth), dim=-1)

    def decode(self, rel_codes: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
        """Boxes from offsets.

        Args:
            rel_codes: float [..., 4 K], the offsets of K boxes (one per class) from each reference box.
            boxes: float [..., 4], the reference boxes, xyxy, inclusive pixels.

        Returns:
            float [..., 4 K]: boxes, xyxy, inclusive pixels, not clipped to any image.
        """
        boxes = boxes.to(rel_codes.dtype)
        centre, size = (part.unsqueeze(-2) for part in _centre_and_size(boxes))
        codes = rel_codes.unflatten(-1, (-1, 4))
        shift = _over(codes[..., :2], self.weights[:2])
        growth = _over(codes[..., 2:], self.weights[2:]).clamp(max=self.bbox_xform_clip)
        new_centre = centre + shift * size
        half = 0.5 * (torch.exp(growth) * size)
        return torch.cat((new_centre - half, new_centre + half - TO_REMOVE), dim=-1).flatten(-2)


def _centre_and_size(boxes):
    """Centre (x, y) and size (w, h) of inclusive xyxy boxes, each [..., 2]."""
    size = boxes[..., 2:] - boxes[..., :2] + TO_REMOVE
    return boxes[..., :2] + 0.5 * size, size


def _times(pairs, weights):
    """Pairs [..., 2] times one weight each.

    Weights stay Python numbers: a tensor of them would have to be made on the device in every step, or be kept there.
    """
    first, second = weights
    if first == second:
        return pairs if first == 1 else pairs * first
    return torch.stack((pairs[..., 0] * first, pairs[..., 1] * second), dim=-1)


def _over(pairs, weights):
    """Pairs [..., 2] divided by one weight each."""
    first, second = weights
    if first == second:
        return pairs if first == 1 else pairs / first
    return torch.stack((pairs[..., 0] / first, pairs[..., 1] / second), dim=-1)
