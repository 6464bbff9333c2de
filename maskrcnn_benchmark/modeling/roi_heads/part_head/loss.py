"""Which regions the part head trains on, and its loss."""

import torch

from maskrcnn_benchmark.layers import mean_cross_entropy
from maskrcnn_benchmark.modeling.roi_heads.matching import draw
from maskrcnn_benchmark.modeling.roi_heads.regions import has_label
from maskrcnn_benchmark.modeling.utils import cat


class PartRCNNLossComputation:
    """Softmax cross-entropy over the part labels of each cell, background included.

    Args:
        max_rois_per_image: regions trained per image at most, drawn at random; 0 trains every one that qualifies.
        part_labels: labels of the classes that own parts; None: all.
    """

    def __init__(self, max_rois_per_image=0, part_labels=None):
        self.max_rois_per_image = max_rois_per_image
        self.part_labels = part_labels

    @torch.no_grad()
    def select(self, proposals, targets):
        """The regions to train on: positives whose object has its parts annotated and is of a class that owns parts.

        Args:
            proposals: one `BoxList` per image, as the box head sampled them (fields labels, matched_idxs).
            targets: one `ImageAnnotations` per image.

        Returns:
            One `BoxList` per image.
        """
        return [self._select(boxes, target.instances) for boxes, target in zip(proposals, targets)]

    def _select(self, boxes, instances):
        if instances is None or not len(instances) or not instances.has_field("parts"):
            return boxes[:0]
        annotated = instances.get_field("parts").annotated.to(boxes.bbox.device)
        qualifies = (boxes.get_field("labels") > 0) & has_label(boxes, self.part_labels)
        qualifies &= annotated[boxes.get_field("matched_idxs").clamp(min=0)]
        return boxes[draw(torch.nonzero(qualifies).squeeze(1), self.max_rois_per_image)]

    def __call__(self, part_logits, proposals, targets):
        """The loss.

        Args:
            part_logits: float [R, P + 1, M, M].
            proposals: what `select` returned, R boxes in all, R > 0.
            targets: one `ImageAnnotations` per image.

        Returns:
            Mean over all cells of all regions.
        """
        truth = cat(self._targets(proposals, targets, part_logits.shape[-1])).to(part_logits.device)
        return mean_cross_entropy(part_logits.float(), truth)

    @torch.no_grad()
    def _targets(self, proposals, targets, resolution):
        return [
            target.instances.get_field("parts")[boxes.get_field("matched_idxs")].crop_and_resize(boxes.bbox, resolution)
            for boxes, target in zip(proposals, targets)
            if len(boxes)
        ]
