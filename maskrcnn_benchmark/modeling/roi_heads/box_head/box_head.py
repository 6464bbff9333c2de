"""The box head: class and refined box of each proposal."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from yacs.config import CfgNode

from maskrcnn_benchmark.layers import has_any
from maskrcnn_benchmark.modeling.roi_heads.box_head.cascade import CascadeROIBoxHead
from maskrcnn_benchmark.modeling.roi_heads.box_head.inference import PostProcessor, make_roi_box_post_processor
from maskrcnn_benchmark.modeling.roi_heads.box_head.loss import FastRCNNLossComputation, make_roi_box_loss_evaluator
from maskrcnn_benchmark.modeling.roi_heads.box_head.roi_box_feature_extractors import make_roi_box_feature_extractor
from maskrcnn_benchmark.modeling.roi_heads.box_head.roi_box_predictors import make_roi_box_predictor
from maskrcnn_benchmark.modeling.roi_heads.regions import ROI_FEATURES
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations


class ROIBoxHead(nn.Module):
    """Classifies proposals and refines their boxes.

    Args:
        feature_extractor: (feature maps, proposals) -> region features.
        predictor: region features -> (class logits, box codes).
        post_processor: `PostProcessor`.
        loss_evaluator: `FastRCNNLossComputation`.
    """

    # Set where another head reads the same region features: they then come along as field `ROI_FEATURES`
    keep_roi_features = False

    def __init__(
        self,
        feature_extractor: nn.Module,
        predictor: nn.Module,
        post_processor: PostProcessor,
        loss_evaluator: FastRCNNLossComputation,
    ) -> None:
        super().__init__()
        self.feature_extractor = feature_extractor
        self.predictor = predictor
        self.post_processor = post_processor
        self.loss_evaluator = loss_evaluator

    def forward(
        self,
        features: Sequence[torch.Tensor],
        proposals: Sequence[BoxList],
        targets: Sequence[ImageAnnotations] | None = None,
    ) -> tuple[Sequence[BoxList], dict[str, torch.Tensor]]:
        """Detections, or the sampled proposals and the losses.

        Args:
            features: list of feature maps [N, C, H, W], finest first.
            proposals: N `BoxList`s.
            targets: N `ImageAnnotations` in training, else None.

        Returns:
            Without targets: N `BoxList`s with fields scores and labels, and {}. With targets: N `BoxList`s as of
            `FastRCNNLossComputation.subsample`, and {"loss_classifier", "loss_box_reg"}, empty where no image of the
            batch had its objects annotated.
        """
        if targets is None:
            return self.post_processor(self.predict(features, proposals), proposals), {}
        proposals = self.loss_evaluator.subsample(proposals, targets)
        counts = [len(boxes) for boxes in proposals]
        if not has_any(sum(counts), self.feature_extractor):
            return proposals, {}
        x = self.feature_extractor(features, proposals)
        if self.keep_roi_features:
            for boxes, part in zip(proposals, x.split(counts)):
                boxes.add_field(ROI_FEATURES, part)
        if not sum(counts):
            return proposals, {}
        known_labels = [target.known_labels for target in targets]
        class_logits, box_regression = self.predictor(x)
        loss_classifier, loss_box_reg = self.loss_evaluator(class_logits, box_regression, proposals, known_labels)
        return proposals, {"loss_classifier": loss_classifier, "loss_box_reg": loss_box_reg}

    def candidates(self, features: Sequence[torch.Tensor], proposals: Sequence[BoxList]) -> list[BoxList]:
        """Every class and refined box of the proposals that scores well enough, duplicates included.

        One `BoxList` per image with fields scores and labels, of which `post_processor.select` makes detections.
        """
        return self.post_processor.candidates(self.predict(features, proposals), proposals)

    def predict(
        self, features: Sequence[torch.Tensor], regions: Sequence[BoxList]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Class logits [R, num_classes] and box codes [R, 4 * num_bbox_reg_classes] of all regions."""
        return self.predictor(self.feature_extractor(features, regions))

    @property
    def stages(self) -> Sequence["ROIBoxHead"]:
        """The heads that regions go through, one after the other: this one alone. See `CascadeROIBoxHead`."""
        return (self,)


def build_roi_box_head(
    cfg: CfgNode, in_channels: int, class_weights: Sequence[float] | None = None
) -> ROIBoxHead | CascadeROIBoxHead:
    """The box head that a config describes, on feature maps of `in_channels`.

    Weights of classes in its loss, or in that of each stage, are given, background first, for the config knows classes
    by name.
    """
    if not cfg.MODEL.ROI_BOX_HEAD.CASCADE.ENABLED:
        return _build_stage(cfg, in_channels, class_weights)
    stages = range(len(cfg.MODEL.ROI_BOX_HEAD.CASCADE.IOUS))
    return CascadeROIBoxHead([_build_stage(cfg, in_channels, class_weights, stage) for stage in stages])


def _build_stage(cfg, in_channels, class_weights, stage=None):
    feature_extractor: Any = make_roi_box_feature_extractor(cfg, in_channels)
    return ROIBoxHead(
        feature_extractor,
        make_roi_box_predictor(cfg, feature_extractor.out_channels),
        make_roi_box_post_processor(cfg, stage),
        make_roi_box_loss_evaluator(cfg, stage, class_weights),
    )
