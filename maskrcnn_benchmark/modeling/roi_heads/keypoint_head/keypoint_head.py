"""The keypoint head: a heat map per keypoint and detection."""

from collections.abc import Sequence, Set
from typing import Any

import torch
from torch import nn
from yacs.config import CfgNode

from maskrcnn_benchmark.layers import has_any
from maskrcnn_benchmark.modeling.roi_heads.keypoint_head.inference import KeypointPostProcessor
from maskrcnn_benchmark.modeling.roi_heads.keypoint_head.loss import (
    KeypointRCNNLossComputation,
    make_roi_keypoint_loss_evaluator,
)
from maskrcnn_benchmark.modeling.roi_heads.keypoint_head.roi_keypoint_feature_extractors import (
    make_roi_keypoint_feature_extractor,
)
from maskrcnn_benchmark.modeling.roi_heads.keypoint_head.roi_keypoint_predictors import make_roi_keypoint_predictor
from maskrcnn_benchmark.modeling.roi_heads.regions import check_resolution, region_features, with_labels
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.boxlist_ops import cat_boxlist
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.keypoint import COCO_JOINTS, JointSet


class ROIKeypointHead(nn.Module):
    """Predicts the keypoints of each box that can have them.

    Args:
        feature_extractor: (feature maps, boxes) -> region features.
        predictor: region features -> logits [R, K, M, M].
        post_processor: `KeypointPostProcessor`.
        loss_evaluator: `KeypointRCNNLossComputation`.
        resolution: M.
        keypoint_labels: labels of the classes that have keypoints; None: all.
    """

    def __init__(
        self,
        feature_extractor: nn.Module,
        predictor: Any,
        post_processor: KeypointPostProcessor,
        loss_evaluator: KeypointRCNNLossComputation,
        resolution: int,
        keypoint_labels: Set[int] | None = None,
    ) -> None:
        super().__init__()
        self.feature_extractor = feature_extractor
        self.predictor = predictor
        self.post_processor = post_processor
        self.loss_evaluator = loss_evaluator
        self.resolution = resolution
        self.keypoint_labels = keypoint_labels

    def forward(
        self,
        features: Sequence[torch.Tensor],
        proposals: Sequence[BoxList],
        targets: Sequence[ImageAnnotations] | None = None,
    ) -> tuple[Sequence[BoxList], dict[str, torch.Tensor]]:
        """Detections with keypoints, or the loss.

        Args:
            features: list of feature maps [N, C, H, W], finest first.
            proposals: N `BoxList`s: detections with labels or, in training, any boxes.
            targets: N `ImageAnnotations` in training, else None. The boxes are matched to their `people`.

        Returns:
            Without targets: the detections with field keypoints, and {}. With targets: the proposals, and {"loss_kp"},
            empty where the batch has no region with a visible keypoint.
        """
        if targets is None:
            asked = with_labels(proposals, self.keypoint_labels)
            persons = [boxes.copy_with_fields([])[chosen] for boxes, chosen in zip(proposals, asked)]
            heatmaps, up_scale = self._coarsest_maps(self.feature_extractor(features, persons))
            return self.post_processor(heatmaps, proposals, asked, up_scale), {}
        positives = self.loss_evaluator.select(proposals, targets, self.resolution)
        number = sum(map(len, positives))
        if not has_any(number, self.feature_extractor):
            return proposals, {}
        x = region_features(self.feature_extractor, features, positives)
        if not number:
            return proposals, {}
        logits = self.predictor(x)
        check_resolution(logits, self.resolution, "MODEL.ROI_KEYPOINT_HEAD")
        return proposals, {"loss_kp": self.loss_evaluator(logits, positives)}

    def training_regions(
        self, sampled: Sequence[BoxList], proposals: Sequence[BoxList], targets: Sequence[ImageAnnotations]
    ) -> list[BoxList]:
        """The regions to train on, one `BoxList` per image.

        They are those that the box head sampled; where objects were not annotated but persons were, all proposals and
        the persons' boxes: on such an image the box head samples nothing, yet its persons are there to learn from.
        """
        return [
            cat_boxlist([proposal.copy_with_fields([]), target.people.convert("xyxy").copy_with_fields([])])
            if target.instances is None and target.people is not None
            else boxes
            for boxes, proposal, target in zip(sampled, proposals, targets)
        ]

    def _coarsest_maps(self, x: torch.Tensor) -> tuple[torch.Tensor, int]:
        """Region features -> (heat maps, how many times they are to be enlarged): the maps are large, and many."""
        if hasattr(self.predictor, "coarse"):
            return self.predictor.coarse(x), self.predictor.up_scale
        return self.predictor(x), 1


def build_roi_keypoint_head(
    cfg: CfgNode,
    in_channels: int,
    joints: JointSet | None = None,
    keypoint_labels: Set[int] | None = None,
) -> ROIKeypointHead:
    """The keypoint head that a config describes, on feature maps of `in_channels`.

    Args:
        joints: `JointSet` that names the predicted keypoints; None: COCO's, if there are as many.
        keypoint_labels: labels of the classes that have keypoints; None: all.
    """
    if joints is None and len(COCO_JOINTS) == cfg.MODEL.ROI_KEYPOINT_HEAD.NUM_CLASSES:
        joints = COCO_JOINTS
    feature_extractor: Any = make_roi_keypoint_feature_extractor(cfg, in_channels)
    return ROIKeypointHead(
        feature_extractor,
        make_roi_keypoint_predictor(cfg, feature_extractor.out_channels),
        KeypointPostProcessor(joints),
        make_roi_keypoint_loss_evaluator(cfg),
        cfg.MODEL.ROI_KEYPOINT_HEAD.RESOLUTION,
        keypoint_labels,
    )
