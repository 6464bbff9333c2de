"""Which annotated objects were found, and by which detection: to score what is said of each object."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.boxlist_ops import box_iou


def found_objects(
    rows: Sequence[Mapping[str, Any]], objects: BoxList, least_iou: float = 0.5
) -> list[tuple[Mapping[str, Any], int]]:
    """Pair detections with annotated objects of their class, each at most once.

    Detections choose in the order of their scores, each the object with the largest IoU among those that are left.

    Args:
        rows: of detections, with "category_id" (label 1..K), "bbox" [x, y, width, height] in pixels and "score".
        objects: `BoxList` of the annotated ones with field labels.
        least_iou: of a pair.

    Returns:
        List of (row, index of its object), in the order of the scores.
    """
    if not len(rows) or not len(objects):
        return []
    corners = BoxList([row["bbox"] for row in rows], objects.size, mode="xywh").convert("xyxy").bbox
    iou = box_iou(corners, objects.convert("xyxy").bbox.cpu())
    labels = torch.tensor([row["category_id"] for row in rows])
    iou[labels[:, None] != objects.get_field("labels").cpu()[None]] = 0
    chosen = pair_best_first(iou, [row["score"] for row in rows], least_iou)
    return [(rows[row], index) for row, index in chosen]


def pair_best_first(iou: torch.Tensor, scores: Sequence[float], least_iou: float = 0.5) -> list[tuple[int, int]]:
    """Pairs of detections and annotated objects, as `found_objects` has them.

    Args:
        iou: float [N, G], 0 for those of other classes; it is changed.
        scores: N, of the detections.
        least_iou: of a pair.

    Returns:
        List of (detection, object), in the order of the scores.
    """
    pairs: list[tuple[int, int]] = []
    if not iou.numel():
        return pairs
    for k in sorted(range(len(scores)), key=lambda k: -scores[k]):
        overlap, index = iou[k].max(dim=0)
        if overlap >= least_iou:
            pairs.append((k, int(index)))
            iou[:, index] = -1
    return pairs
