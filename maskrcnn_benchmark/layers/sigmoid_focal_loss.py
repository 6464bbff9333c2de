"""The classification loss of RetinaNet."""

import torch
from torch import nn
from torchvision.ops import sigmoid_focal_loss


class SigmoidFocalLoss(nn.Module):
    """Focal loss over independent classes (Lin et al. 2017, equation 5), summed.

    Args:
        gamma: exponent that turns down well-classified anchors.
        alpha: weight of the positive class, 1 - alpha for the others.
    """

    def __init__(self, gamma: float, alpha: float) -> None:
        super().__init__()
        self.gamma = gamma
        self.alpha = alpha

    def forward(
        self, logits: torch.Tensor, targets: torch.Tensor, left_out: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Loss.

        Args:
            logits: float [N, C], one column per class without background.
            targets: integer [N]: 0 background, 1..C the class, negative is ignored.
            left_out: bool [N, C], pairs of anchor and class that take no part; None leaves out none.

        Returns:
            Scalar tensor, the sum over anchors and classes.
        """
        classes = torch.arange(1, logits.shape[1] + 1, device=logits.device)
        is_class = (targets[:, None] == classes).to(logits.dtype)
        loss = sigmoid_focal_loss(logits, is_class, self.alpha, self.gamma, reduction="none")
        if left_out is not None:
            loss = loss.masked_fill(left_out, 0)
        return loss.masked_fill((targets < 0)[:, None], 0).sum()

    def extra_repr(self) -> str:
        return f"gamma={self.gamma}, alpha={self.alpha}"
