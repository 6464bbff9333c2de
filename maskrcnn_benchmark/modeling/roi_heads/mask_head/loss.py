"""Which regions the mask head trains on, and its loss (Mask R-CNN, He et al. 2017)."""

from collections.abc import Sequence

import torch
from torch.nn import functional as F

from maskrcnn_benchmark.modeling.roi_heads.sampled_regions import positives_of
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.segmentation_mask import crop_and_resize_masks


class MaskRCNNLossComputation:
    """Binary cross-entropy on the map of each region's ground-truth class."""

    def select(self, proposals: Sequence[BoxList], targets: Sequence[ImageAnnotations]) -> list[BoxList]:
        """The regions to train on: positives of images whose instances have masks.

        Where instances have the field "has_mask", bool [N], only the regions of those that have one.

        Args:
            proposals: one `BoxList` per image, as the box head sampled them (fields labels, matched_idxs).
            targets: one `ImageAnnotations` per image.

        Returns:
            One `BoxList` per image.
        """
        return [_with_mask(boxes, target.instances) for boxes, target in zip(proposals, targets)]

    def __call__(
        self, mask_logits: torch.Tensor, proposals: Sequence[BoxList], targets: Sequence[ImageAnnotations]
    ) -> torch.Tensor:
        """The loss.

        Args:
            mask_logits: float [R, M, M], the map of each region's class.
            proposals: what `select` returned, R boxes in all, R > 0.
            targets: one `ImageAnnotations` per image.

        Returns:
            Mean over the cells of the R maps.
        """
        filled = [(boxes, target) for boxes, target in zip(proposals, targets) if len(boxes)]
        ground_truth = crop_and_resize_masks(
            [target.instances.get_field("masks") for _, target in filled],
            [boxes.get_field("matched_idxs") for boxes, _ in filled],
            [boxes.bbox for boxes, _ in filled],
            mask_logits.shape[-1],
        )
        return F.binary_cross_entropy_with_logits(mask_logits.float(), ground_truth)


def _with_mask(boxes: BoxList, instances: BoxList | None) -> BoxList:
    if instances is None or not instances.has_field("masks"):
        return boxes[:0]
    positives = positives_of(boxes)
    if not instances.has_field("has_mask"):
        return positives
    return positives[instances.get_field("has_mask")[positives.get_field("matched_idxs")]]
