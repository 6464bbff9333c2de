"""Operations on whole BoxLists: suppression, overlap, joining. All count the last pixel of a box as its own."""

from collections.abc import Iterable

import torch

from maskrcnn_benchmark.layers import nms
from maskrcnn_benchmark.structures.bounding_box import TO_REMOVE, BoxList


def boxlist_nms(boxlist: BoxList, nms_thresh: float, max_proposals: int = -1, score_field: str = "scores") -> BoxList:
    """Greedy non-maximum suppression over all boxes, whatever their label.

    Args:
        boxlist: `BoxList` with the field `score_field`, float [N].
        nms_thresh: a box that overlaps a better one by more than this IoU is dropped; 0 or less keeps all.
        max_proposals: the number of boxes kept at most; -1 for no limit.

    Returns:
        `BoxList` of the kept boxes, best first, in the mode of the input.
    """
    if nms_thresh <= 0:
        return boxlist
    keep = nms(boxlist.convert("xyxy").bbox.detach(), boxlist.get_field(score_field).detach(), nms_thresh)
    return boxlist[keep[:max_proposals] if max_proposals > 0 else keep]


def best_boxes(boxlist: BoxList, count: int) -> BoxList:
    """The `count` boxes of the highest field "scores" and those that tie with the last of them, in their order.

    0 or less keeps all.
    """
    scores = boxlist.get_field("scores")
    if not 0 < count < len(scores):
        return boxlist
    return boxlist[torch.nonzero(scores >= torch.topk(scores, count).values[-1]).squeeze(1)]


def remove_small_boxes(boxlist: BoxList, min_size: float) -> BoxList:
    """The boxes of which both sides are at least `min_size` pixels."""
    sides = boxlist.convert("xywh").bbox[:, 2:]
    return boxlist[(sides >= min_size).all(dim=1)]


def boxlist_iou(boxlist1: BoxList, boxlist2: BoxList) -> torch.Tensor:
    """Intersection over union of every pair: float [N, M]. Raises `RuntimeError` where the image sizes differ."""
    if tuple(boxlist1.size) != tuple(boxlist2.size):
        raise RuntimeError(f"boxes of images of different size have no overlap: {boxlist1}, {boxlist2}")
    return box_iou(*(boxlist.convert("xyxy").bbox for boxlist in (boxlist1, boxlist2)))


def box_iou(boxes1: torch.Tensor, boxes2: torch.Tensor) -> torch.Tensor:
    """Intersection over union of every pair of boxes, computed side by side: much faster than corner by corner.

    Args:
        boxes1: float [..., N, 4], boxes2: float [..., M, 4], xyxy, inclusive pixels.

    Returns:
        float [..., N, M].
    """
    low1, high1 = boxes1.transpose(-1, -2).unsqueeze(-1).split(2, -3)
    low2, high2 = boxes2.transpose(-1, -2).contiguous().unsqueeze(-2).split(2, -3)
    # Both axes at once, and large results in place: what takes time here is memory, and on a GPU the number of calls
    sides = torch.minimum(high1, high2).sub_(torch.maximum(low1, low2)).add_(TO_REMOVE).clamp_(min=0)
    overlap = sides.select(-3, 0) * sides.select(-3, 1)
    return overlap / (_area(low1, high1) + _area(low2, high2) - overlap)


def _area(low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    """Low and high corners [..., 2, N, M] (x, y) -> areas [..., N, M]."""
    sides = high - low + TO_REMOVE
    return sides.select(-3, 0) * sides.select(-3, 1)


def cat_boxlist(boxlists: Iterable[BoxList]) -> BoxList:
    """Join BoxLists of one image, which share size, mode and names of fields.

    Raises:
        ValueError: for no boxlist, or where they do not share these.
    """
    boxlists = list(boxlists)
    if not boxlists or not all(isinstance(boxlist, BoxList) for boxlist in boxlists):
        raise ValueError("cat_boxlist joins one or more BoxLists")
    first = boxlists[0]
    for other in boxlists[1:]:
        if tuple(other.size) != tuple(first.size) or other.mode != first.mode:
            raise ValueError(f"cannot join boxes of different size or mode: {first}, {other}")
        if set(other.fields()) != set(first.fields()):
            raise ValueError(f"cannot join boxes with the fields {sorted(first.fields())} and {sorted(other.fields())}")
    joined = BoxList(torch.cat([boxlist.bbox for boxlist in boxlists]), first.size, first.mode, first.is_continuous)
    for name in first.fields():
        joined.add_field(name, _cat([boxlist.get_field(name) for boxlist in boxlists]))
    return joined


def _cat(parts):
    if len(parts) == 1:
        return parts[0]
    if isinstance(parts[0], torch.Tensor):
        return torch.cat(parts)
    return type(parts[0]).cat(parts)
