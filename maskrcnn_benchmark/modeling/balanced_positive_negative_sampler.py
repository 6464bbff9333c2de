"""Random choice of the anchors or proposals that a step trains on, with a bounded fraction of positives."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Sample:
    """The boxes chosen on each of N images, in rows of one length B.

    Attributes:
        index: int64 [N, B], boxes in ascending order; what follows the chosen ones in a row points anywhere.
        chosen: bool [N, B], which entries are chosen boxes: the first of each row.
        positive: bool [N, B], which entries are chosen positives.
    """

    index: torch.Tensor
    chosen: torch.Tensor
    positive: torch.Tensor


class BalancedPositiveNegativeSampler:
    """Samples a fixed number of boxes per image.

    Args:
        batch_size_per_image: boxes to choose on each image.
        positive_fraction: greatest fraction of positives; negatives fill up the rest.
    """

    def __init__(self, batch_size_per_image: int, positive_fraction: float) -> None:
        self.batch_size_per_image = batch_size_per_image
        self.positive_fraction = positive_fraction

    def __call__(self, matched_idxs: Iterable[torch.Tensor]) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Choose. The draw uses torch's random state of the tensors' device.

        Args:
            matched_idxs: one tensor [P] per image: -1 is ignored, 0 negative, greater is positive.

        Returns:
            Two lists of bool [P], one per image: the chosen positives and the chosen negatives.
        """
        masks: tuple[list[torch.Tensor], list[torch.Tensor]] = [], []  # of positives and of negatives
        for labels in matched_idxs:
            sample = self.choose(labels[None] >= 1, labels[None] == 0)
            for of_kind, which in zip(masks, (sample.positive, sample.chosen & ~sample.positive)):
                of_kind.append(torch.zeros_like(labels, dtype=torch.bool).index_fill(0, sample.index[which], True))
        return masks

    @torch.no_grad()
    def choose(self, positive: torch.Tensor, negative: torch.Tensor) -> Sample:
        """Choose on all images at once. On a GPU nothing waits for the device, whose random numbers are drawn.

        Every candidate draws a number and those with the highest are chosen, which is a random subset.

        Args:
            positive, negative: bool [N, P], the candidates of either kind.
        """
        number = positive.shape[1]
        draws = torch.rand(positive.shape, device=positive.device)
        limit = min(int(self.batch_size_per_image * self.positive_fraction), number)
        draw, first = draws.masked_fill(~positive, -1).topk(limit, dim=1)
        is_positive = draw >= 0
        draw, second = draws.masked_fill(~negative, -1).topk(min(self.batch_size_per_image, number), dim=1)
        room = self.batch_size_per_image - is_positive.sum(dim=1, keepdim=True)
        is_negative = (draw >= 0) & (torch.arange(draw.shape[1], device=draw.device) < room)
        # one beyond the last box stands for nothing, and sorts behind all of them
        index = torch.cat((first, second), 1).masked_fill(~torch.cat((is_positive, is_negative), 1), number)
        index, order = index.sort(dim=1)
        index, order = (part[:, : min(self.batch_size_per_image, number)] for part in (index, order))
        chosen = index < number
        return Sample(index.clamp(max=max(number - 1, 0)), chosen, chosen & (order < limit))
