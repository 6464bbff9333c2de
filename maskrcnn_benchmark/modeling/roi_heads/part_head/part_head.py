"""The part head: a small map of part labels per detection."""

from collections.abc import Collection, Sequence, Set
from typing import Any

import torch
from torch import nn
from yacs.config import CfgNode

from maskrcnn_benchmark.layers import has_any
from maskrcnn_benchmark.modeling.roi_heads.part_head.inference import PartPostProcessor
from maskrcnn_benchmark.modeling.roi_heads.part_head.loss import PartRCNNLossComputation
from maskrcnn_benchmark.modeling.roi_heads.part_head.roi_part_feature_extractors import make_roi_part_feature_extractor
from maskrcnn_benchmark.modeling.roi_heads.part_head.roi_part_predictors import make_roi_part_predictor
from maskrcnn_benchmark.modeling.roi_heads.regions import with_labels
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations


class ROIPartHead(nn.Module):
    """Predicts the part labels inside each box whose class owns parts.

    Args:
        feature_extractor: (feature maps, boxes) -> region features.
        predictor: region features -> logits [R, P + 1, M, M].
        post_processor: `PartPostProcessor`.
        loss_evaluator: `PartRCNNLossComputation`.
        part_labels: labels of the classes that own parts; None: all.
    """

    def __init__(
        self,
        feature_extractor: nn.Module,
        predictor: nn.Module,
        post_processor: PartPostProcessor,
        loss_evaluator: PartRCNNLossComputation,
        part_labels: Set[int] | None = None,
    ) -> None:
        super().__init__()
        self.feature_extractor = feature_extractor
        self.predictor = predictor
        self.post_processor = post_processor
        self.loss_evaluator = loss_evaluator
        self.part_labels = part_labels

    def forward(
        self,
        features: Sequence[torch.Tensor],
        proposals: Sequence[BoxList],
        targets: Sequence[ImageAnnotations] | None = None,
    ) -> tuple[Sequence[BoxList], dict[str, torch.Tensor]]:
        """Detections with parts, or the loss.

        Args:
            features: list of feature maps [N, C, H, W], finest first.
            proposals: N `BoxList`s: detections with labels or, in training, what the box head sampled.
            targets: N `ImageAnnotations` in training, else None.

        Returns:
            Without targets: the detections with field parts, and {}. With targets: the proposals, and {"loss_part"},
            empty where the batch has no region of an object with annotated parts.
        """
        if targets is None:
            asked = with_labels(proposals, self.part_labels)
            owners = [boxes.copy_with_fields([])[chosen] for boxes, chosen in zip(proposals, asked)]
            logits = self.predictor(self.feature_extractor(features, owners))
            return self.post_processor(logits, proposals, asked), {}
        chosen = self.loss_evaluator.select(proposals, targets)
        number = sum(map(len, chosen))
        if not has_any(number, self.feature_extractor):
            return proposals, {}
        x = self.feature_extractor(features, chosen)
        if not number:
            return proposals, {}
        logits = self.predictor(x)
        return proposals, {"loss_part": self.loss_evaluator(logits, chosen, targets)}


def build_roi_part_head(
    cfg: CfgNode, in_channels: int, part_owners: Sequence[Collection[int]] | None = None
) -> ROIPartHead:
    """The part head that a config describes, on feature maps of `in_channels`.

    Args:
        part_owners: for each part label 1..P the labels of the classes that own it; None: every class owns every part.
    """
    node = cfg.MODEL.ROI_PART_HEAD
    part_labels = None if part_owners is None else frozenset().union(*part_owners)
    feature_extractor: Any = make_roi_part_feature_extractor(cfg, in_channels)
    return ROIPartHead(
        feature_extractor,
        make_roi_part_predictor(cfg, feature_extractor.out_channels),
        PartPostProcessor(node.NUM_CLASSES - 1, part_owners),
        PartRCNNLossComputation(node.MAX_ROIS_PER_IMAGE, part_labels),
        part_labels,
    )
