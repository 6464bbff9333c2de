"""The boundary head: is there a boundary at this pixel?"""

import torch
from torch import nn
from torch.nn import functional as F

from maskrcnn_benchmark.modeling.fpn_heads.dense_trunk import of_images, stack_padded, valid_mask
from maskrcnn_benchmark.modeling.fpn_heads.edge_decoder import EdgePredictor
from maskrcnn_benchmark.structures.image_prediction import ScoreMap


class BoundaryHead(nn.Module):
    """One edge probability per pixel.

    Args:
        in_channels: channels of the edge decoder.
        stride: stride of the edge decoder.
        positive_weight: weight of edge pixels in the loss, 1 - it for the others.
    """

    reads = "fine"

    def __init__(self, in_channels, stride, positive_weight=0.95):
        super().__init__()
        self.positive_weight = positive_weight
        self.predictor = EdgePredictor(in_channels, 1, stride)

    def forward(self, features, proposals=None, targets=None):
        """`DenseFeatures` -> (one `ScoreMap` of probabilities [1, H, W] per image, {}) or (None, {loss_boundary})."""
        if targets is None:
            return [ScoreMap(p, (w, h), 1) for p, (h, w) in zip(self.scores(features), features.image_sizes)], {}
        annotated = [i for i, target in enumerate(targets) if target.boundary is not None]
        if not annotated:
            return None, {}
        logits = self.predictor(of_images(features.fine, annotated)).float()
        height, width = logits.shape[-2:]
        edges = stack_padded([targets[i].boundary.edges for i in annotated], height, width, 0)
        valid = valid_mask([features.image_sizes[i] for i in annotated], height, width, 1, logits.device)
        return None, {"loss_boundary": weighted_edge_loss(logits[:, 0], edges, valid, self.positive_weight)}

    def scores(self, features):
        """`DenseFeatures` -> probabilities float [N, 1, H, W] of the padded batch."""
        return self.predictor(features.fine).float().sigmoid()


def weighted_edge_loss(logits, edges, valid, positive_weight):
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
