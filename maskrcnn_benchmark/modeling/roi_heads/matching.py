"""What the region heads share in training: which ground truth a proposal is matched to, and a bounded random choice."""

from collections.abc import Callable, Sequence

import torch

from maskrcnn_benchmark.modeling.utils import pad_rows
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.boxlist_ops import box_iou


def match_proposals(
    matcher: Callable[[torch.Tensor], torch.Tensor], proposals: torch.Tensor, ground_truth: Sequence[BoxList | None]
) -> torch.Tensor:
    """The best ground-truth box of each proposal of a batch, all images at once.

    Args:
        matcher: `Matcher`.
        proposals: float [N, P, 4], xyxy.
        ground_truth: one `BoxList` per image, or None. Crowds (field "iscrowd") match nothing.

    Returns:
        int64 [N, P]: index into the image's ground truth, or one of the matcher's negative codes.
    """
    corners, single = [], []
    for boxes in ground_truth:
        corners.append(proposals[0, :0] if boxes is None else boxes.convert("xyxy").bbox)
        single.append(torch.ones_like(corners[-1][:, 0], dtype=torch.bool))
        if boxes is not None and boxes.has_field("iscrowd"):
            single[-1] = ~boxes.get_field("iscrowd").bool()
    quality = box_iou(pad_rows(corners), proposals)
    return matcher(quality.masked_fill_(~pad_rows(single, False)[:, :, None], -1))


def draw(candidates: torch.Tensor, limit: int) -> tuple[torch.Tensor, torch.Tensor]:
    """At most `limit` candidates of each row, chosen at random; 0 keeps all. Nothing waits for the device.

    Args:
        candidates: bool [N, P].

    Returns:
        index int64 [N, L] and chosen bool [N, L]: the chosen ones come first in their row, what follows them is not
        meant. Without a limit, or with one of at least P, they are in ascending order.
    """
    if not limit or limit >= candidates.shape[1]:
        order = torch.argsort(candidates.to(torch.uint8), dim=1, descending=True, stable=True)
        return order, candidates.gather(1, order)
    key = torch.rand(candidates.shape, device=candidates.device).masked_fill_(~candidates, -1)
    key, index = key.topk(limit, dim=1)
    return index, key >= 0
