"""From mask logits to the mask of each detection, and to masks in the image."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pycocotools.mask as mask_utils
import torch
from torch import nn
from yacs.config import CfgNode

from maskrcnn_benchmark.layers.mask_paste import paste_masks, paste_soft_masks
from maskrcnn_benchmark.modeling.utils import cat
from maskrcnn_benchmark.structures.bounding_box import BoxList


class Masker:
    """Pastes the small masks of detections into the image (see `layers.mask_paste`).

    Args:
        threshold: pixels with a higher probability belong to the object; negative keeps probabilities, in 0..255.
        padding: border of zeros around the small mask, in its cells.
    """

    def __init__(self, threshold: float = 0.5, padding: int = 1) -> None:
        self.threshold = threshold
        self.padding = padding

    def forward_single_image(self, masks: torch.Tensor, boxes: BoxList) -> torch.Tensor:
        """Masks float [N, 1, M, M] of a `BoxList` of N -> [N, 1, height, width], bool or, unthresholded, uint8."""
        corners = boxes.region_corners()
        if self.threshold < 0:
            return paste_soft_masks(masks, corners, boxes.size, self.padding)[:, None]
        return paste_masks(masks, corners, boxes.size, self.threshold, self.padding)[:, None]

    def __call__(self, masks: Sequence[torch.Tensor], boxes: BoxList | Sequence[BoxList]) -> list[torch.Tensor]:
        """As `forward_single_image` for the lists of masks and `BoxList`s of several images; a list in return."""
        if isinstance(boxes, BoxList):
            boxes = [boxes]
        if len(masks) != len(boxes):
            raise ValueError(f"masks of {len(masks)} images, but boxes of {len(boxes)}")
        return [self.forward_single_image(mask, box) for mask, box in zip(masks, boxes)]


class MaskPostProcessor(nn.Module):
    """Gives each detection the mask of its class, as field "mask".

    Args:
        masker: `Masker` to paste the masks into the image; None leaves them as probabilities [N, 1, M, M].
    """

    def __init__(self, masker: Masker | None = None) -> None:
        super().__init__()
        self.masker = masker

    def forward(self, x: torch.Tensor, boxes: Sequence[BoxList]) -> Sequence[BoxList]:
        """Mask logits [R, num_classes, M, M] and one `BoxList` with labels per image -> the same boxes with masks."""
        return self.attach(of_labels(x, cat([b.get_field("labels") for b in boxes])), boxes)

    def attach(self, logits: torch.Tensor, boxes: Sequence[BoxList]) -> Sequence[BoxList]:
        """As `forward` with the logits [R, M, M] of each region's own class."""
        probabilities = logits.float().sigmoid()[:, None]
        masks = list(probabilities.split([len(b) for b in boxes]))
        if self.masker is not None:
            masks = self.masker(masks, boxes)
        for detections, mask in zip(boxes, masks):
            detections.add_field("mask", mask)
        return boxes


class MaskPostProcessorCOCOFormat(MaskPostProcessor):
    """As `MaskPostProcessor` with a masker, but field "mask" holds COCO's run-length code of each mask."""

    def attach(self, logits: torch.Tensor, boxes: Sequence[BoxList]) -> Sequence[BoxList]:
        boxes = super().attach(logits, boxes)
        for detections in boxes:
            detections.add_field("mask", encode_masks(detections.get_field("mask")))
        return boxes


def of_labels(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The map of each region's own class: logits [R, num_classes, M, M] and labels int64 [R] -> [R, M, M]."""
    return logits[torch.arange(len(labels), device=labels.device), labels]


def encode_masks(masks: torch.Tensor) -> list[dict[str, Any]]:
    """bool [N, 1, height, width] -> list of N run-length codes {"size": [height, width], "counts": str}."""
    stack = np.asfortranarray(masks[:, 0].permute(1, 2, 0).cpu().numpy().astype(np.uint8))
    return [{**code, "counts": code["counts"].decode()} for code in mask_utils.encode(stack)]


def make_roi_mask_post_processor(cfg: CfgNode) -> MaskPostProcessor:
    """The post-processor that MODEL.ROI_MASK_HEAD describes."""
    node = cfg.MODEL.ROI_MASK_HEAD
    return MaskPostProcessor(Masker(node.POSTPROCESS_MASKS_THRESHOLD, padding=1) if node.POSTPROCESS_MASKS else None)
