"""The loss of box regression."""

import torch
from torch.nn import functional as F


def smooth_l1_loss(
    input: torch.Tensor, target: torch.Tensor, beta: float = 1.0 / 9, size_average: bool = True
) -> torch.Tensor:
    """Smooth L1 (Fast R-CNN, Girshick 2015): quadratic up to `beta`, linear beyond.

    Args:
        input, target: float tensors of one shape.
        beta: where the two parts meet.
        size_average: mean over all elements rather than their sum.
    """
    return F.smooth_l1_loss(input, target, beta=beta, reduction="mean" if size_average else "sum")
