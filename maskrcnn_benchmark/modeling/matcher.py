"""Matching of predicted boxes (anchors, proposals) to ground truth by a quality such as IoU."""

import torch

# Less than any quality above 0: a box that overlaps nothing claims nothing
SMALLEST_QUALITY = torch.finfo(torch.float32).tiny


class Matcher:
    """Gives each prediction the index of its best ground-truth box, or says that it has none.

    Args:
        high_threshold: quality from which a prediction is matched.
        low_threshold: quality below which it is background; between the two it belongs to neither side.
        allow_low_quality_matches: each ground-truth box also claims the predictions of its highest quality, however
            low (Faster R-CNN, Ren et al. 2015, section 3.1.2), unless it overlaps nothing.
    """

    BELOW_LOW_THRESHOLD = -1
    BETWEEN_THRESHOLDS = -2

    def __init__(self, high_threshold: float, low_threshold: float, allow_low_quality_matches: bool = False) -> None:
        if low_threshold > high_threshold:
            raise ValueError(f"low_threshold {low_threshold} exceeds high_threshold {high_threshold}")
        self.high_threshold = high_threshold
        self.low_threshold = low_threshold
        self.allow_low_quality_matches = allow_low_quality_matches

    def __call__(self, match_quality_matrix: torch.Tensor) -> torch.Tensor:
        """Match.

        Args:
            match_quality_matrix: float [..., G, P], quality of each ground-truth box with each prediction. A box of
                quality -1 with everything, such as what fills up a batch, is matched to nothing.

        Returns:
            int64 [..., P]: index of the matched ground-truth box, `BELOW_LOW_THRESHOLD` or `BETWEEN_THRESHOLDS`.
            Without ground truth (G = 0) everything is below.
        """
        quality = match_quality_matrix
        if quality.shape[-2] == 0:
            shape = (*quality.shape[:-2], quality.shape[-1])
            return quality.new_full(shape, self.BELOW_LOW_THRESHOLD, dtype=torch.int64)
        best_quality, best = quality.max(dim=-2)
        matches = best.masked_fill(best_quality < self.high_threshold, self.BETWEEN_THRESHOLDS)
        matches.masked_fill_(best_quality < self.low_threshold, self.BELOW_LOW_THRESHOLD)
        if self.allow_low_quality_matches and quality.shape[-1]:
            # A claimed prediction takes its own best box, which need not be the box that claimed it (as upstream).
            highest = quality.amax(dim=-1, keepdim=True).clamp_(min=SMALLEST_QUALITY)
            claimed = (quality == highest).any(dim=-2)
            matches = torch.where(claimed, best, matches)
        return matches
