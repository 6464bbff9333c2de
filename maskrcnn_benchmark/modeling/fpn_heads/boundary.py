"""The boundary head: is there a boundary at this pixel?"""

import torch
from torch.nn import functional as F

from maskrcnn_benchmark.modeling.fpn_heads.dense_decoder import DenseFeatures, stack_padded, without_unlabelled
from maskrcnn_benchmark.modeling.fpn_heads.edge_decoder import EdgeHead
from maskrcnn_benchmark.modeling.utils import HeadOutput, LabelFunction, Targets
from maskrcnn_benchmark.structures.image_prediction import ScoreMap


class BoundaryHead(EdgeHead):
    """One edge probability per pixel.

    Args:
        in_channels: channels of the edge decoder.
        stride: stride of the edge decoder.
        label_of: function from `ImageAnnotations` to the `BoundaryMap`, or to None.
        positive_weight: weight of edge pixels in the loss, 1 - it for the others.
    """

    def __init__(self, in_channels: int, stride: int, label_of: LabelFunction, positive_weight: float = 0.95) -> None:
        super().__init__(in_channels, 1, stride, label_of)
        self.positive_weight = positive_weight

    def forward(self, features: DenseFeatures, proposals: None = None, targets: Targets = None) -> HeadOutput:
        """`DenseFeatures` -> (one `ScoreMap` of probabilities [1, H, W] per image, {}) or (None, {loss_boundary})."""
        if targets is None:
            return [ScoreMap(p, (w, h), 1) for p, (h, w) in zip(self.scores(features), features.image_sizes)], {}
        labels = [self.label_of(target) for target in targets]
        if all(label is None for label in labels):
            return None, {}
        logits = F.pixel_shuffle(self.subpixels(features), self.predictor.stride).float()[:, 0]
        height, width = logits.shape[-2:]
        edges = stack_padded([None if label is None else label.edges for label in labels], height, width, 0)
        valid = without_unlabelled(features.inside(height, width, 1), labels)
        return None, {"loss_boundary": weighted_edge_loss(logits, edges, valid, self.positive_weight)}

    def scores(self, features: DenseFeatures) -> torch.Tensor:
        """`DenseFeatures` -> probabilities float [N, 1, H, W] of the padded batch."""
        return F.pixel_shuffle(self.subpixels(features), self.predictor.stride).float().sigmoid()


def weighted_edge_loss(
    logits: torch.Tensor, edges: torch.Tensor, valid: torch.Tensor, positive_weight: float
) -> torch.Tensor:
    """Cross-entropy with fixed weights for edge and other pixels, mean over the valid pixels.

    Weights as in the multi-task literature on PASCAL-Context (Maninis et al. 2019): 0.95 and 0.05.

    Args:
        logits: float [N, H, W].
        edges: [N, H, W], 1 at an edge.
        valid: bool [N, H, W], False in the padding.
    """
    target = edges.to(logits.dtype)
    weight = torch.where(edges.bool(), positive_weight, 1 - positive_weight) * valid
    return F.binary_cross_entropy_with_logits(logits, target, weight, reduction="sum") / valid.sum()
