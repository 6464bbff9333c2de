"""The image classification head: which classes does the image show?"""

import torch
from torch import nn
from torch.nn import functional as F

from maskrcnn_benchmark.modeling.fpn_heads.dense_trunk import valid_mask

LEVELS = (1, 2, 3)  # P3, P4, P5


class ClassificationHead(nn.Module):
    """Independent label probabilities from the mean and the maximum of P3..P5 over the image.

    The maximum finds the small thing that the mean drowns. Padding takes no part, so an image scores the same whatever
    it is batched with.

    Args:
        in_channels: channels of the pyramid.
        num_classes: labels.
    """

    reads = "pyramid"

    def __init__(self, in_channels, num_classes):
        super().__init__()
        self.hidden = nn.Linear(2 * len(LEVELS) * in_channels, in_channels)
        self.predict = nn.Linear(in_channels, num_classes)
        nn.init.kaiming_normal_(self.hidden.weight, nonlinearity="relu")
        nn.init.normal_(self.predict.weight, std=0.01)
        nn.init.zeros_(self.hidden.bias)
        nn.init.zeros_(self.predict.bias)

    def forward(self, features, proposals=None, targets=None):
        """`DenseFeatures` -> (probabilities float [num_classes] per image, {}) or (None, {loss_classification})."""
        logits = self.predict(F.relu(self.hidden(self._pool(features)))).float()
        if targets is None:
            return list(logits.sigmoid()), {}
        annotated = [i for i, target in enumerate(targets) if target.classes is not None]
        if not annotated:
            return None, {}
        truth = torch.stack([targets[i].classes for i in annotated]).to(logits)
        return None, {"loss_classification": F.binary_cross_entropy_with_logits(logits[annotated], truth)}

    @staticmethod
    def _pool(features):
        pooled = []
        for level in LEVELS:
            x = features.pyramid[level]
            inside = valid_mask(features.image_sizes, *x.shape[-2:], 4 * 2**level, x.device)[:, None]
            pooled.append((x * inside).sum(dim=(2, 3)) / inside.sum(dim=(2, 3)))
            pooled.append(x.masked_fill(~inside, -torch.inf).amax(dim=(2, 3)))
        return torch.cat(pooled, dim=1)
