"""Random choice of the anchors or proposals that a step trains on, with a bounded share of positives."""

import torch


class BalancedPositiveNegativeSampler:
    """Samples a fixed number of boxes per image.

    Args:
        batch_size_per_image: boxes to choose on each image.
        positive_fraction: greatest share of positives; negatives fill up the rest.
    """

    def __init__(self, batch_size_per_image, positive_fraction):
        self.batch_size_per_image = batch_size_per_image
        self.positive_fraction = positive_fraction

    def __call__(self, matched_idxs):
        """Choose. The draw uses torch's random state of the tensors' device.

        Args:
            matched_idxs: one tensor [P] per image: -1 is ignored, 0 negative, greater is positive.

        Returns:
            Two lists of bool [P], one per image: the chosen positives and the chosen negatives.
        """
        positives, negatives = [], []
        for labels in matched_idxs:
            positive = torch.nonzero(labels >= 1).squeeze(1)
            negative = torch.nonzero(labels == 0).squeeze(1)
            num_positive = min(positive.numel(), int(self.batch_size_per_image * self.positive_fraction))
            num_negative = min(negative.numel(), self.batch_size_per_image - num_positive)
            positives.append(_draw(positive, num_positive, labels))
            negatives.append(_draw(negative, num_negative, labels))
        return positives, negatives


def _draw(candidates, count, labels):
    """bool mask over `labels` of `count` candidates chosen at random."""
    chosen = candidates[torch.randperm(candidates.numel(), device=labels.device)[:count]]
    mask = torch.zeros_like(labels, dtype=torch.bool)
    mask[chosen] = True
    return mask
