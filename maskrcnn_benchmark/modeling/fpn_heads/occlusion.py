"""The occlusion head: where does one thing hide another, and which side is in front?"""

import math

import torch
from torch import nn
from torch.nn import functional as F

from maskrcnn_benchmark.modeling.fpn_heads.dense_trunk import of_images, stack_padded, valid_mask
from maskrcnn_benchmark.modeling.fpn_heads.edge_decoder import EdgePredictor
from maskrcnn_benchmark.structures.image_prediction import ScoreMap


class OcclusionHead(nn.Module):
    """Occlusion edge probability and direction (sine and cosine of the tangent, occluder on its left) per pixel.

    Args:
        in_channels: channels of the edge decoder.
        stride: stride of the edge decoder.
        attention_beta, attention_gamma: base and exponent of the attention loss.
    """

    reads = "fine"

    def __init__(self, in_channels, stride, attention_beta=4.0, attention_gamma=0.5):
        super().__init__()
        self.attention_beta = attention_beta
        self.attention_gamma = attention_gamma
        self.predictor = EdgePredictor(in_channels, 3, stride)

    def forward(self, features, proposals=None, targets=None):
        """`DenseFeatures` -> predictions or losses.

        Returns:
            Without targets one `ScoreMap` per image, [3, H, W]: edge probability, sine, cosine; and {}.
            With targets None and {"loss_occlusion_edge", "loss_occlusion_direction"}, the latter only where there is
            an occlusion edge to learn from.
        """
        if targets is None:
            return [ScoreMap(x, (w, h), 1) for x, (h, w) in zip(self.scores(features), features.image_sizes)], {}
        annotated = [i for i, target in enumerate(targets) if target.occlusion is not None]
        if not annotated:
            return None, {}
        raw = self.predictor(of_images(features.fine, annotated)).float()
        height, width = raw.shape[-2:]
        edges = stack_padded([targets[i].occlusion.edges for i in annotated], height, width, 0).bool()
        direction = stack_padded([targets[i].occlusion.direction for i in annotated], height, width, 0)
        valid = valid_mask([features.image_sizes[i] for i in annotated], height, width, 1, raw.device)
        losses = {
            "loss_occlusion_edge": attention_loss(raw[:, 0], edges, valid, self.attention_beta, self.attention_gamma)
        }
        turned = edges & (direction.square().sum(dim=1) > 0.5)  # a pixel where two chains meet head-on has no direction
        if turned.any():
            losses["loss_occlusion_direction"] = direction_loss(raw[:, 1:], direction, turned)
        return None, losses

    def scores(self, features):
        """`DenseFeatures` -> edge probability, sine and cosine, float [N, 3, H, W] of the padded batch."""
        raw = self.predictor(features.fine).float()
        return torch.cat([raw[:, :1].sigmoid(), F.normalize(raw[:, 1:], dim=1)], dim=1)


def attention_loss(logits, edges, valid, beta, gamma):
    """Class-balanced cross-entropy with a focus on hard pixels (DOOBNet, Wang et al. 2018), mean over valid pixels.

    Per pixel `a * beta^((1 - p_t)^gamma) * BCE` with p_t the probability of the truth and a the batch's share of the
    other class. The paper adds over pixels; the mean keeps the loss's scale independent of the image size.

    Args:
        logits: float [N, H, W]. edges, valid: bool [N, H, W].
    """
    target = edges.to(logits.dtype)
    count = valid.sum()
    positive_share = (edges & valid).sum() / count
    cross_entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    p_true = torch.exp(-cross_entropy)
    balance = torch.where(edges, 1 - positive_share, positive_share)
    # the power's slope is infinite at 0, where the pixel is right already and its cross-entropy is 0
    focus = torch.exp(math.log(beta) * (1 - p_true).clamp(min=1e-6) ** gamma)
    return (balance * focus * cross_entropy * valid).sum() / count


def direction_loss(raw, direction, edges):
    """Distance on the unit circle at occlusion edges (OPNet, Feng et al. 2021), free of the wrap-around at pi.

    With f the squared chord between the predicted and the true direction: 0.5 f^2 below 1, f - 0.5 above; mean over
    the edge pixels.

    Args:
        raw: float [N, 2, H, W], unnormalised sine and cosine. direction: float [N, 2, H, W]. edges: bool [N, H, W].
    """
    image, row, column = edges.nonzero(as_tuple=True)
    predicted = F.normalize(raw[image, :, row, column], dim=1)
    chord = (predicted - direction[image, :, row, column]).square().sum(dim=1)
    return torch.where(chord < 1, 0.5 * chord.square(), chord - 0.5).mean()
