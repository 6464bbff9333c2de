"""Dense classification of pixels: the semantic head, and that of parts for a whole image."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from maskrcnn_benchmark.layers import mean_cross_entropy
from maskrcnn_benchmark.modeling.fpn_heads.dense_decoder import DENSE_STRIDE, DenseFeatures, stack_padded
from maskrcnn_benchmark.modeling.make_layers import init_small
from maskrcnn_benchmark.modeling.utils import HeadOutput, LabelFunction, Targets
from maskrcnn_benchmark.structures.dense_map import IGNORE_INDEX
from maskrcnn_benchmark.structures.image_prediction import ScoreMap


class PixelClassifier(nn.Module):
    """1x1 convolution on the dense features, trained by cross-entropy.

    Args:
        in_channels: channels of the dense features.
        num_classes: maps to predict.
        loss_name: name under which the loss is returned.
        label_of: function from `ImageAnnotations` to a label map uint8 [H, W] with 255 for "ignore", or to None where
            the image was not annotated for this task.
        loss_stride: the loss compares every so many pixels along each side: 1, 2 or 4.
        class_weights: the weight of each class's pixels in the loss; None: all are 1. No state dict holds them.
    """

    class_weights: torch.Tensor | None

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        loss_name: str,
        label_of: LabelFunction,
        loss_stride: int = 1,
        class_weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        if loss_stride not in (1, 2, DENSE_STRIDE):
            raise ValueError(f"the stride of the loss must be 1, 2 or 4, not {loss_stride}")
        self.loss_stride = loss_stride
        self.loss_name = loss_name
        self.label_of = label_of
        weights = None if class_weights is None else torch.tensor(class_weights, dtype=torch.float32)
        self.register_buffer("class_weights", weights, persistent=False)
        self.predict = nn.Conv2d(in_channels, num_classes, 1)
        init_small(self.predict)

    def forward(self, features: DenseFeatures, proposals: None = None, targets: Targets = None) -> HeadOutput:
        """`DenseFeatures` -> (one `ScoreMap` of logits per image, {}) or, with targets, (None, {loss_name: scalar})."""
        if targets is None:
            maps = zip(self.scores(features), features.image_sizes)
            return [ScoreMap(x, (w, h), DENSE_STRIDE) for x, (h, w) in maps], {}
        labels = [self.label_of(target) for target in targets]
        if all(label is None for label in labels):
            return None, {}
        logits = self.predict(features.dense)
        loss = pixel_cross_entropy(logits, labels, DENSE_STRIDE, self.loss_stride, self.class_weights)
        return None, {} if loss is None else {self.loss_name: loss}

    def scores(self, features: DenseFeatures) -> torch.Tensor:
        """`DenseFeatures` -> logits [N, num_classes, H / 4, W / 4] of the padded batch."""
        return self.predict(features.dense)


def pixel_cross_entropy(
    logits: torch.Tensor,
    labels: Sequence[torch.Tensor | None],
    stride: int,
    loss_stride: int = 1,
    weight: torch.Tensor | None = None,
) -> torch.Tensor | None:
    """Mean cross-entropy over the labelled pixels of a batch.

    Args:
        logits: float [N, C, h, w], one cell per `stride` pixels.
        labels: N label maps uint8 [H_i, W_i], 255 where nothing is known, or None where that holds everywhere.
        loss_stride: logits are enlarged bilinearly to one cell per so many pixels and compared with every such pixel.
        weight: float [C], of the pixels of each class, see `mean_cross_entropy`.

    Returns:
        Scalar, or None when no pixel of the batch is labelled.
    """
    height, width = logits.shape[-2] * stride, logits.shape[-1] * stride
    target = stack_padded(labels, height, width, IGNORE_INDEX)[
        :, loss_stride // 2 :: loss_stride, loss_stride // 2 :: loss_stride
    ]
    if not (target != IGNORE_INDEX).any():
        return None
    logits = F.interpolate(logits.float(), size=target.shape[-2:], mode="bilinear", align_corners=False)
    return mean_cross_entropy(logits, target.long(), IGNORE_INDEX, weight)
