"""Cross-entropy over the pixels of maps, which has a deterministic form where PyTorch's own mean has none."""

import torch
from torch.nn import functional as F


def mean_cross_entropy(
    logits: torch.Tensor, target: torch.Tensor, ignore_index: int = -100, weight: torch.Tensor | None = None
) -> torch.Tensor:
    """The mean cross-entropy of pixels, as `torch.nn.functional.cross_entropy`.

    Args:
        logits: float [N, C, ...].
        target: int64 [N, ...], classes; at least one is not `ignore_index`.
        weight: float [C], by which the loss of a pixel of each class is multiplied; None: all are 1. Its sum is divided
            by the number of pixels, and not by that of their weights as PyTorch does: parts of a batch then add up to
            the whole, and weights count even where all pixels are of one class.

    Returns:
        scalar. Where deterministic algorithms are demanded (`torch.use_deterministic_algorithms`) it is the sum of the
        pixels' losses over their number, equal up to rounding: PyTorch's mean adds up in any order on CUDA.
    """
    if logits.device.type == "cpu" and logits.ndim > 2:
        # In the channels-last layout a pixel's logits lie together: a softmax along them takes half the time there
        logits, target = logits.movedim(1, -1).flatten(0, -2), target.flatten()
    if weight is None and not torch.are_deterministic_algorithms_enabled():
        return F.cross_entropy(logits, target, ignore_index=ignore_index)
    losses = F.cross_entropy(logits, target, weight, ignore_index=ignore_index, reduction="none")
    return losses.sum() / (target != ignore_index).sum()
