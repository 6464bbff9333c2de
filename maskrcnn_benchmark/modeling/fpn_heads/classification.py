"""The image classification head: which classes does the image show?"""

import math

import torch
from torch import nn
from torch.nn import functional as F

from maskrcnn_benchmark.modeling.fpn_heads.dense_decoder import DenseFeatures, without_unlabelled
from maskrcnn_benchmark.modeling.make_layers import init_small
from maskrcnn_benchmark.modeling.utils import HeadOutput, LabelFunction, Targets

LEVELS = (1, 2, 3)  # P3, P4, P5
SHARPNESS = 4.0  # of the soft maximum over places: towards 0 a mean, towards infinity the maximum


class ClassificationHead(nn.Module):
    """Label scores at every place of P3..P5, joined by a soft maximum over places, and a score of the image's mean.

    The soft maximum (log-sum-exp pooling, Pinheiro and Collobert 2015) finds the small thing that a mean drowns, and
    unlike a maximum of features it reads all of them at one place. Padding takes no part, so an image scores the same
    whatever it is batched with.

    Args:
        in_channels: channels of the pyramid.
        num_classes: labels.
        label_of: function from `ImageAnnotations` to the labels, float [num_classes] of 0 and 1, or to None.
    """

    def __init__(self, in_channels: int, num_classes: int, label_of: LabelFunction) -> None:
        super().__init__()
        self.label_of = label_of
        self.hidden = nn.Conv2d(in_channels, 2 * in_channels, 1)
        self.local = nn.Conv2d(2 * in_channels, num_classes, 1)
        self.overall = nn.Linear(len(LEVELS) * in_channels, num_classes)
        nn.init.kaiming_normal_(self.hidden.weight, nonlinearity="relu")
        nn.init.zeros_(self.hidden.bias)  # type: ignore[arg-type]
        for layer in (self.local, self.overall):
            init_small(layer)

    def forward(self, features: DenseFeatures, proposals: None = None, targets: Targets = None) -> HeadOutput:
        """`DenseFeatures` -> (probabilities float [num_classes] per image, {}) or (None, {loss_classification})."""
        if targets is None:
            return list(self.scores(features)), {}
        labels = [self.label_of(target) for target in targets]
        count = sum(label is not None for label in labels)
        if not count:
            return None, {}
        logits = self._logits(features)
        shown = torch.stack([torch.zeros_like(logits[0]) if label is None else label.to(logits) for label in labels])
        known = without_unlabelled(torch.ones_like(logits[:, :1]), labels)
        total = F.binary_cross_entropy_with_logits(logits, shown, known, reduction="sum")
        return None, {"loss_classification": total / (count * logits.shape[1])}

    def scores(self, features: DenseFeatures) -> torch.Tensor:
        """`DenseFeatures` -> probabilities float [N, num_classes]."""
        return self._logits(features).sigmoid()

    def _logits(self, features: DenseFeatures) -> torch.Tensor:
        """float [N, num_classes]."""
        scores, inside_any, means = [], [], []
        for level in LEVELS:
            x = features.pyramid[level]
            inside = features.inside(x.shape[-2], x.shape[-1], 4 * 2**level)[:, None]
            means.append((x * inside).sum(dim=(2, 3)) / inside.sum(dim=(2, 3)))
            scores.append(self.local(F.relu(self.hidden(x))).flatten(2).float())
            inside_any.append(inside.flatten(2))
        return soft_maximum(torch.cat(scores, 2), torch.cat(inside_any, 2)) + self.overall(torch.cat(means, 1)).float()


def soft_maximum(scores: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    """log(mean(exp(r x))) / r over the places inside, r = `SHARPNESS`: between their mean and their maximum.

    Args:
        scores: float [N, C, P]. inside: bool [N, 1, P], at least one place of each image.

    Returns:
        float [N, C].
    """
    sums = torch.logsumexp((SHARPNESS * scores).masked_fill(~inside, -math.inf), dim=2)
    return (sums - inside.sum(dim=2).log()) / SHARPNESS
