"""The mask head: a small binary mask per detection."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from yacs.config import CfgNode

from maskrcnn_benchmark.layers import has_any
from maskrcnn_benchmark.modeling.roi_heads.mask_head.inference import (
    MaskPostProcessor,
    make_roi_mask_post_processor,
    of_labels,
)
from maskrcnn_benchmark.modeling.roi_heads.mask_head.loss import MaskRCNNLossComputation
from maskrcnn_benchmark.modeling.roi_heads.mask_head.roi_mask_feature_extractors import make_roi_mask_feature_extractor
from maskrcnn_benchmark.modeling.roi_heads.mask_head.roi_mask_predictors import make_roi_mask_predictor
from maskrcnn_benchmark.modeling.roi_heads.regions import check_resolution, region_features
from maskrcnn_benchmark.modeling.utils import cat
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations


class ROIMaskHead(nn.Module):
    """Predicts the mask of each box.

    Args:
        feature_extractor: (feature maps, boxes) -> region features.
        predictor: region features -> logits [R, num_classes, M, M]. If it has a method `of_labels` as well (see
            `MaskPredictor`), only the maps of the regions' own classes are computed.
        post_processor: `MaskPostProcessor`.
        loss_evaluator: `MaskRCNNLossComputation`.
        resolution: M.
    """

    def __init__(
        self,
        feature_extractor: nn.Module,
        predictor: Any,
        post_processor: MaskPostProcessor,
        loss_evaluator: MaskRCNNLossComputation,
        resolution: int,
    ) -> None:
        super().__init__()
        self.feature_extractor = feature_extractor
        self.predictor = predictor
        self.post_processor = post_processor
        self.loss_evaluator = loss_evaluator
        self.resolution = resolution

    def forward(
        self,
        features: Sequence[torch.Tensor],
        proposals: Sequence[BoxList],
        targets: Sequence[ImageAnnotations] | None = None,
    ) -> tuple[Sequence[BoxList], dict[str, torch.Tensor]]:
        """Detections with masks, or the loss.

        Args:
            features: list of feature maps [N, C, H, W], finest first.
            proposals: N `BoxList`s: detections with labels or, in training, what the box head sampled.
            targets: N `ImageAnnotations` in training, else None.

        Returns:
            Without targets: the detections with field mask, and {}. With targets: the proposals, and {"loss_mask"},
            empty where the batch has no positive region with a mask.
        """
        if targets is None:
            logits = self.own_logits(self.feature_extractor(features, proposals), _labels(proposals))
            return self.post_processor.attach(logits, proposals), {}
        positives = self.loss_evaluator.select(proposals, targets)
        number = sum(map(len, positives))
        if not has_any(number, self.feature_extractor):
            return proposals, {}
        x = region_features(self.feature_extractor, features, positives)
        if not number:
            return proposals, {}
        logits = self.own_logits(x, _labels(positives))
        check_resolution(logits, self.resolution, "MODEL.ROI_MASK_HEAD")
        return proposals, {"loss_mask": self.loss_evaluator(logits, positives, targets)}

    def own_logits(self, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """[R, M, M]: the map of each region's own class, which is all that a mask or its loss reads.

        Args:
            x: region features [R, C, s, s].
            labels: int64 [R].
        """
        if hasattr(self.predictor, "of_labels"):
            return self.predictor.of_labels(x, labels)
        return of_labels(self.predictor(x), labels)


def _labels(boxes: Sequence[BoxList]) -> torch.Tensor:
    return cat([b.get_field("labels") for b in boxes])


def build_roi_mask_head(cfg: CfgNode, in_channels: int) -> ROIMaskHead:
    """The mask head that a config describes, on feature maps of `in_channels`."""
    feature_extractor: Any = make_roi_mask_feature_extractor(cfg, in_channels)
    return ROIMaskHead(
        feature_extractor,
        make_roi_mask_predictor(cfg, feature_extractor.out_channels),
        make_roi_mask_post_processor(cfg),
        MaskRCNNLossComputation(),
        cfg.MODEL.ROI_MASK_HEAD.RESOLUTION,
    )
