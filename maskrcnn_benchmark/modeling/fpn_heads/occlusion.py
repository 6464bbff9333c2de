"""The occlusion head: where does one object hide another, and which side is in front?"""

import math

import torch
from torch.nn import functional as F

from maskrcnn_benchmark.modeling.fpn_heads.dense_decoder import DenseFeatures, stack_padded, without_unlabelled
from maskrcnn_benchmark.modeling.fpn_heads.edge_decoder import EdgeHead
from maskrcnn_benchmark.modeling.utils import HeadOutput, LabelFunction, Targets
from maskrcnn_benchmark.structures.image_prediction import ScoreMap


class OcclusionHead(EdgeHead):
    """Occlusion edge probability and direction (sine and cosine of the tangent, occluder on its left) per pixel.

    Args:
        in_channels: channels of the edge decoder.
        stride: stride of the edge decoder.
        label_of: function from `ImageAnnotations` to the `OcclusionMap`, or to None.
        attention_beta, attention_gamma: base and exponent of the attention loss.
    """

    def __init__(
        self,
        in_channels: int,
        stride: int,
        label_of: LabelFunction,
        attention_beta: float = 4.0,
        attention_gamma: float = 0.5,
    ) -> None:
        super().__init__(in_channels, 3, stride, label_of)
        self.attention_beta = attention_beta
        self.attention_gamma = attention_gamma

    def forward(self, features: DenseFeatures, proposals: None = None, targets: Targets = None) -> HeadOutput:
        """`DenseFeatures` -> predictions or losses.

        Returns:
            Without targets one `ScoreMap` per image, [3, H, W]: edge probability, sine, cosine; and {}.
            With targets None and {"loss_occlusion_edge", "loss_occlusion_direction"}, the latter only where there is
            an occlusion edge to learn from.
        """
        if targets is None:
            return [ScoreMap(x, (w, h), 1) for x, (h, w) in zip(self.scores(features), features.image_sizes)], {}
        labels = [self.label_of(target) for target in targets]
        if all(label is None for label in labels):
            return None, {}
        subpixels, stride = self.subpixels(features), self.predictor.stride
        logits = F.pixel_shuffle(subpixels[:, : stride**2], stride).float()[:, 0]
        height, width = logits.shape[-2:]
        edges = stack_padded([None if label is None else label.edges for label in labels], height, width, 0).bool()
        direction = stack_padded([None if label is None else label.direction for label in labels], height, width, 0)
        valid = without_unlabelled(features.inside(height, width, 1), labels)
        losses = {
            "loss_occlusion_edge": attention_loss(logits, edges, valid, self.attention_beta, self.attention_gamma)
        }
        sine, cosine = direction.unbind(1)
        # a pixel where two chains meet head-on has no direction
        image, row, column = (edges & (torch.addcmul(sine * sine, cosine, cosine) > 0.5)).nonzero(as_tuple=True)
        if len(image):
            # Directions are needed at few pixels: they are read where the convolution left them
            cell = (row % stride) * stride + column % stride
            part = torch.arange(1, 3, device=cell.device)[:, None]  # 0 is the edge's probability
            raw = subpixels[image, part * stride**2 + cell, row // stride, column // stride]
            losses["loss_occlusion_direction"] = direction_loss(raw.t().float(), direction[image, :, row, column])
        return None, losses

    def scores(self, features: DenseFeatures) -> torch.Tensor:
        """`DenseFeatures` -> edge probability, sine and cosine, float [N, 3, H, W] of the padded batch."""
        raw = F.pixel_shuffle(self.subpixels(features), self.predictor.stride).float()
        return torch.cat([raw[:, :1].sigmoid(), F.normalize(raw[:, 1:], dim=1)], dim=1)


def attention_loss(
    logits: torch.Tensor, edges: torch.Tensor, valid: torch.Tensor, beta: float, gamma: float
) -> torch.Tensor:
    """Class-balanced cross-entropy with a focus on hard pixels (DOOBNet, Wang et al. 2018), mean over valid pixels.

    Per pixel `a * beta^((1 - p_t)^gamma) * BCE` with p_t the probability of the true class and a the batch's fraction
    of the other one. The paper adds over pixels; the mean keeps the loss's scale independent of the image size.

    Args:
        logits: float [N, H, W]. edges, valid: bool [N, H, W].
    """
    count = valid.sum()
    positive_fraction = (edges & valid).sum() / count
    # the balance and the padding first, which have no gradient
    weight = torch.where(edges, 1 - positive_fraction, positive_fraction) * valid
    cross_entropy = F.binary_cross_entropy_with_logits(logits, edges.to(logits.dtype), reduction="none")
    p_true = torch.exp(-cross_entropy)
    # the power's slope is infinite at 0, where the pixel is right already and its cross-entropy is 0
    focus = torch.exp(math.log(beta) * (1 - p_true).clamp(min=1e-6) ** gamma)
    return (focus * cross_entropy * weight).sum() / count


def direction_loss(raw: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
    """Distance on the unit circle at occlusion edges (OPNet, Feng et al. 2021), free of the wrap-around at pi.

    With f the squared chord between the predicted and the true direction: 0.5 f^2 below 1, f - 0.5 above; mean over
    the edge pixels.

    Args:
        raw: float [E, 2], unnormalised sine and cosine at each edge pixel. direction: float [E, 2].
    """
    chord = (F.normalize(raw, dim=1) - direction).square().sum(dim=1)
    return torch.where(chord < 1, 0.5 * chord.square(), chord - 0.5).mean()
