"""Box heads in a row, each of which learns from the boxes of the one before (Cascade R-CNN, Cai & Vasconcelos 2018)."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional as F

from maskrcnn_benchmark.layers import has_any
from maskrcnn_benchmark.layers.roi_align import MapsToPool
from maskrcnn_benchmark.modeling.roi_heads.box_head.inference import PostProcessor
from maskrcnn_benchmark.modeling.roi_heads.regions import ROI_FEATURES
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations

if TYPE_CHECKING:
    from maskrcnn_benchmark.modeling.roi_heads.box_head.box_head import ROIBoxHead


class CascadeROIBoxHead(nn.Module):
    """Classifies regions and refines their boxes several times over, as detectron2's CascadeROIHeads does.

    The first stage gets the proposals and, in training, samples some of them. Each later one gets the boxes that the
    stage before has refined, without a gradient and clipped to the image, and in training learns all of them but those
    without an area, matched to the ground truth by a threshold of its own. A detection has the last stage's box and the
    mean of all stages' probabilities.

    Args:
        stages: box heads with class-agnostic regression. Of each the extractor, the predictor, the coder, and the
            matcher of its loss count; of the first the sampler, of the last the post-processor as well.
    """

    # Set where another head reads the features of regions: the first stage's then come along as field `ROI_FEATURES`
    keep_roi_features = False

    def __init__(self, stages: Iterable["ROIBoxHead"]) -> None:
        super().__init__()
        self.stages: Any = nn.ModuleList(stages)

    @property
    def feature_extractor(self) -> nn.Module:
        """The first stage's, whose features other heads read where they share the box head's."""
        return self.stages[0].feature_extractor

    @property
    def post_processor(self) -> PostProcessor:
        """The last stage's, which makes detections of `candidates`."""
        return self.stages[-1].post_processor

    def forward(
        self,
        features: Sequence[torch.Tensor],
        proposals: Sequence[BoxList],
        targets: Sequence[ImageAnnotations] | None = None,
    ) -> tuple[Sequence[BoxList], dict[str, torch.Tensor]]:
        """Detections, or the regions that the first stage sampled and the losses.

        The gradient that the S stages have on the feature maps is divided by S, so that they move the backbone as one
        head does; that on their own parameters is not.

        Args:
            features: list of feature maps [N, C, H, W], finest first.
            proposals: N `BoxList`s.
            targets: N `ImageAnnotations` in training, else None.

        Returns:
            As `ROIBoxHead`, with the losses "loss_classifier_stageK" and "loss_box_reg_stageK" of each stage K, from 0.
            A stage that no region reaches has none.
        """
        if targets is None:
            return self.post_processor.select(self.candidates(features, proposals)), {}
        sampled = regions = self.stages[0].loss_evaluator.subsample(proposals, targets)
        if self.keep_roi_features and has_any(sum(map(len, sampled)), self.feature_extractor):
            # pooled once more, so that the gradient of the heads that read them is whole
            parts = self.feature_extractor(features, sampled).split([len(boxes) for boxes in sampled])
            for boxes, part in zip(sampled, parts):
                boxes.add_field(ROI_FEATURES, part)
        features = _with_gradients_times(features, 1 / len(self.stages))
        known_labels = [target.known_labels for target in targets]
        losses: dict[str, torch.Tensor] = {}
        for number, stage in enumerate(self.stages):
            if number:
                regions = stage.loss_evaluator.relabel(regions, targets)
            count = sum(map(len, regions))
            if not has_any(count, stage.feature_extractor):
                break
            logits, codes = stage.predict(features, regions)
            if count:
                found = stage.loss_evaluator(logits, codes, regions, known_labels)
                losses[f"loss_classifier_stage{number}"], losses[f"loss_box_reg_stage{number}"] = found
            if stage is not self.stages[-1]:
                regions = stage.post_processor.refined(codes, regions, without_empty=True)
        return sampled, losses

    def candidates(self, features: Sequence[torch.Tensor], proposals: Sequence[BoxList]) -> list[BoxList]:
        """Every class and refined box of the proposals that scores well enough, duplicates included.

        One `BoxList` per image with fields scores and labels, of which `post_processor.select` makes detections.
        """
        regions, scores = proposals, []
        for stage in self.stages:
            logits, codes = stage.predict(features, regions)
            scores.append(F.softmax(logits.float(), dim=-1))
            if stage is not self.stages[-1]:
                regions = stage.post_processor.refined(codes, regions)
        return self.post_processor.above_threshold(torch.stack(scores).mean(dim=0), codes, regions)


class _ScaledGradient(torch.autograd.Function):
    """The same tensor, whose gradient is multiplied by a factor on its way back."""

    @staticmethod
    def forward(ctx: Any, tensor: torch.Tensor, factor: float) -> torch.Tensor:
        ctx.factor = factor
        return tensor.view_as(tensor)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradients[0] * ctx.factor, None


def _with_gradients_times(features: Sequence[torch.Tensor], factor: float) -> Sequence[torch.Tensor]:
    """Feature maps as they are; pooling is linear in them, so theirs is the place to scale what comes back by it."""
    scaled: list[Any] = [_ScaledGradient.apply(level, factor) for level in features]
    return MapsToPool(scaled, features.dtype) if isinstance(features, MapsToPool) else scaled
