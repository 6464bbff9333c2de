"""What the region heads share in training: which ground truth a proposal answers to, and a bounded random choice."""

import torch

from maskrcnn_benchmark.structures.boxlist_ops import boxlist_iou


def match_proposals(matcher, proposals, truth):
    """The best ground-truth box of each proposal.

    Args:
        matcher: `Matcher`.
        proposals, truth: `BoxList`s of one image. Crowds (field "iscrowd" of `truth`) match nothing.

    Returns:
        int64 [P]: index into `truth`, or one of the matcher's negative codes.
    """
    quality = boxlist_iou(truth, proposals)
    if truth.has_field("iscrowd"):
        quality = quality.masked_fill(truth.get_field("iscrowd").bool()[:, None], 0)
    return matcher(quality)


def draw(indices, limit):
    """At most `limit` of the indices, chosen at random; 0 keeps all."""
    if not limit or len(indices) <= limit:
        return indices
    return indices[torch.randperm(len(indices), device=indices.device)[:limit]]
