"""Dense prediction of numbers per pixel: saliency, surface normals and depth, and their losses."""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from maskrcnn_benchmark.modeling.fpn_heads.dense_decoder import DENSE_STRIDE, DenseFeatures, conv_block, stack_padded
from maskrcnn_benchmark.modeling.make_layers import init_small
from maskrcnn_benchmark.modeling.utils import HeadOutput, LabelFunction, Targets
from maskrcnn_benchmark.structures.dense_map import IGNORE_INDEX
from maskrcnn_benchmark.structures.image_prediction import ScoreMap

# Of values [N, C, h, w] or labels of the same size
TensorFunction = Callable[[torch.Tensor], torch.Tensor]
ValueLoss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class PixelValues(nn.Module):
    """A 3x3 block and a 1x1 convolution on the dense features.

    Args:
        in_channels: channels of the dense features, and of the block.
        out_channels: C, numbers per pixel.
        loss_name: name under which the loss is returned.
        label_of: function from `ImageAnnotations` to a label [..., H, W], or to None where the image was not annotated.
        loss: function (values float [N, C, h, w], labels [N, ..., h, w]) -> scalar. Values are those before
            `activation`, enlarged bilinearly.
        unknown: what labels are padded by, and what stands for those of images without one.
        activation: what makes outputs of values.
        output: the `ScoreMap` that holds those of an image.
        norm: of the block: "GN", "BN", "SyncBN" or "".
        loss_stride: the loss compares every so many pixels along each side: 1, 2 or 4.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        loss_name: str,
        label_of: LabelFunction,
        loss: ValueLoss,
        unknown: float = 0,
        activation: TensorFunction = torch.sigmoid,
        output: type[ScoreMap] = ScoreMap,
        norm: str = "GN",
        loss_stride: int = 1,
    ) -> None:
        super().__init__()
        if loss_stride not in (1, 2, DENSE_STRIDE):
            raise ValueError(f"the stride of the loss must be 1, 2 or 4, not {loss_stride}")
        self.loss_name, self.loss_stride = loss_name, loss_stride
        self.label_of, self.loss, self.unknown = label_of, loss, unknown
        self.activation, self.output = activation, output
        self.block = conv_block(in_channels, in_channels, norm)
        self.predict = nn.Conv2d(in_channels, out_channels, 1)
        init_small(self.predict)

    def forward(self, features: DenseFeatures, proposals: None = None, targets: Targets = None) -> HeadOutput:
        """`DenseFeatures` -> (one `output` [C, h, w] per image, {}) or, with targets, (None, {loss_name: scalar})."""
        if targets is None:
            maps = zip(self.scores(features), features.image_sizes)
            return [self.output(x, (w, h), DENSE_STRIDE) for x, (h, w) in maps], {}
        labels = [self.label_of(target) for target in targets]
        if all(label is None for label in labels):
            return None, {}
        values = self.values(features)
        height, width = (side * DENSE_STRIDE for side in values.shape[-2:])
        first, step = self.loss_stride // 2, self.loss_stride
        ground_truth = stack_padded(labels, height, width, self.unknown)[..., first::step, first::step]
        values = F.interpolate(values.float(), size=ground_truth.shape[-2:], mode="bilinear", align_corners=False)
        return None, {self.loss_name: self.loss(values, ground_truth)}

    def values(self, features: DenseFeatures) -> torch.Tensor:
        """`DenseFeatures` -> float [N, C, H / 4, W / 4] of the padded batch."""
        return self.predict(self.block(features.dense))

    def scores(self, features: DenseFeatures) -> torch.Tensor:
        """As `values`, after the activation; what an export runs."""
        return self.activation(self.values(features).float())


def balanced_cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of two classes, each weighted by the batch's share of the other; mean over the labelled pixels.

    As the multi-task literature has it for saliency (Maninis et al. 2019, Vandenhende et al. 2020). Where all of a
    batch is of one class that has no weight, and the loss is 0.

    Args:
        logits: float [N, 1, h, w], of class 1. One logit is the difference of two: the same function as a softmax.
        labels: uint8 [N, h, w], 0 or 1, and IGNORE_INDEX where the pixel is not labelled.
    """
    labelled = labels != IGNORE_INDEX
    is_one = labels == 1
    count = labelled.sum().clamp(min=1)
    share = is_one.sum() / count
    weight = torch.where(is_one, 1 - share, share) * labelled
    loss = F.binary_cross_entropy_with_logits(logits[:, 0], is_one.to(logits.dtype), weight, reduction="sum")
    return loss / count


def unit_vector_loss(vectors: torch.Tensor, normals: torch.Tensor) -> torch.Tensor:
    """Absolute difference of unit vectors, added over the components; mean over the labelled pixels.

    Args:
        vectors: float [N, 3, h, w], of any length but 0.
        normals: float [N, 3, h, w], unit vectors, zeros where the pixel is not labelled.
    """
    labelled = (normals != 0).any(dim=1, keepdim=True)
    apart = (F.normalize(vectors, dim=1) - normals).abs() * labelled
    return apart.sum() / labelled.sum().clamp(min=1)


def metre_loss(values: torch.Tensor, depth: torch.Tensor) -> torch.Tensor:
    """Absolute difference in metres; mean over the pixels whose depth is known.

    Args:
        values: float [N, 1, h, w], of which `F.softplus` makes metres.
        depth: float [N, h, w] in metres, 0 where it is not known.
    """
    known = depth > 0
    return ((F.softplus(values[:, 0]) - depth).abs() * known).sum() / known.sum().clamp(min=1)


def unit_vectors(vectors: torch.Tensor) -> torch.Tensor:
    """Vectors [N, 3, h, w] of length one."""
    return F.normalize(vectors, dim=1)
