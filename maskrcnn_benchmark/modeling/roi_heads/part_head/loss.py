"""Which regions the part head trains on, and its loss."""

from collections.abc import Sequence, Set

import torch

from maskrcnn_benchmark.layers import mean_cross_entropy
from maskrcnn_benchmark.modeling.roi_heads.matching import draw
from maskrcnn_benchmark.modeling.roi_heads.regions import has_label
from maskrcnn_benchmark.modeling.roi_heads.sampled_regions import positives_of
from maskrcnn_benchmark.modeling.utils import pad_rows
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.part_mask import crop_and_resize_parts


class PartRCNNLossComputation:
    """Softmax cross-entropy over the part labels of each cell, background included.

    Args:
        max_rois_per_image: regions trained per image at most, drawn at random; 0 trains every one that qualifies.
        part_labels: labels of the classes that own parts; None: all.
    """

    def __init__(self, max_rois_per_image: int = 0, part_labels: Set[int] | None = None) -> None:
        self.max_rois_per_image = max_rois_per_image
        self.part_labels = part_labels

    @torch.no_grad()
    def select(self, proposals: Sequence[BoxList], targets: Sequence[ImageAnnotations]) -> list[BoxList]:
        """The regions to train on: positives whose object has its parts annotated and is of a class that owns parts.

        Args:
            proposals: one `BoxList` per image, as the box head sampled them (fields labels, matched_idxs).
            targets: one `ImageAnnotations` per image.

        Returns:
            One `BoxList` per image, with field matched_idxs int64 [R]. The device is waited for once, for their
            numbers.
        """
        instances = [_with_parts(target.instances) for target in targets]
        positives = [boxes[:0] if known is None else positives_of(boxes) for boxes, known in zip(proposals, instances)]
        if not any(len(boxes) for boxes in positives):
            return positives
        none = torch.zeros(0, dtype=torch.bool, device=positives[0].bbox.device)
        annotated = pad_rows([none if known is None else known.get_field("parts").annotated for known in instances])
        labels, matched = (pad_rows([b.get_field(name) for b in positives]) for name in ("labels", "matched_idxs"))
        qualifies = (labels > 0) & annotated.gather(1, matched)
        if self.part_labels is not None:
            qualifies &= has_label(labels, self.part_labels)
        index, chosen = draw(qualifies, self.max_rois_per_image)
        corners = pad_rows([boxes.bbox for boxes in positives]).gather(1, index[:, :, None].expand(-1, -1, 4))
        matched = matched.gather(1, index)
        regions = []
        for image, (boxes, count) in enumerate(zip(positives, chosen.sum(dim=1).tolist())):
            of_image = BoxList(corners[image, :count], boxes.size, is_continuous=boxes.is_continuous)
            of_image.add_field("matched_idxs", matched[image, :count])
            regions.append(of_image)
        return regions

    def __call__(
        self, part_logits: torch.Tensor, proposals: Sequence[BoxList], targets: Sequence[ImageAnnotations]
    ) -> torch.Tensor:
        """The loss.

        Args:
            part_logits: float [R, P + 1, M, M].
            proposals: what `select` returned, R boxes in all, R > 0.
            targets: one `ImageAnnotations` per image.

        Returns:
            Mean over all cells of all regions.
        """
        filled = [(boxes, target) for boxes, target in zip(proposals, targets) if len(boxes)]
        ground_truth = crop_and_resize_parts(
            [target.instances.get_field("parts") for _, target in filled],
            [boxes.get_field("matched_idxs") for boxes, _ in filled],
            [boxes.bbox for boxes, _ in filled],
            part_logits.shape[-1],
        )
        return mean_cross_entropy(part_logits.float(), ground_truth)


def _with_parts(instances: BoxList | None) -> BoxList | None:
    """The instances of an image, or None where there are none or their parts are not annotated."""
    return instances if instances is not None and len(instances) and instances.has_field("parts") else None
