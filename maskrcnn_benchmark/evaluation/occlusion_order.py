"""The order of occlusion between objects: accuracy over pairs, and precision and recall as InstaOrder has them."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from pycocotools import mask as coco_mask

from maskrcnn_benchmark.evaluation.coco.rows import encode
from maskrcnn_benchmark.evaluation.evaluator import Evaluator
from maskrcnn_benchmark.evaluation.found_objects import pair_best_first
from maskrcnn_benchmark.evaluation.scores import Scores
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.occlusion_order import ANNOTATED, OcclusionOrder

NOT_FOUND = -1
TRIVIAL_RULES = ("smaller", "lower", "lowest", "score")


class OrderCounts(NamedTuple):
    """What is counted of an image, or of several.

    Attributes:
        pairs, found, right: pairs of annotated objects, those of which both objects were found, and those of these
            whose order is predicted as annotated: none, one in front, or both.
        occluded, occluded_found, occluded_right: the same of pairs that have an order.
        smaller, lower, lowest, score: occluded pairs that each of `TRIVIAL_RULES` gets right.
        claimed, true, hits: ordered pairs (i in front of j) that are predicted, annotated, and both.
    """

    pairs: int
    found: int
    right: int
    occluded: int
    occluded_found: int
    occluded_right: int
    smaller: int
    lower: int
    lowest: int
    score: int
    claimed: int
    true: int
    hits: int

    def precision_recall_f1(self) -> tuple[float, float, float]:
        """Of an image, 1 where there is nothing to be right about (scikit-learn's zero_division of 1)."""
        return (
            self.hits / self.claimed if self.claimed else 1.0,
            self.hits / self.true if self.true else 1.0,
            2 * self.hits / (self.claimed + self.true) if self.claimed + self.true else 1.0,
        )


class OcclusionOrderEvaluator(Evaluator):
    """Accuracy over pairs of annotated objects, and InstaOrder's precision, recall and F1 (Lee and Park 2022).

    Predicted objects are paired with annotated ones of their class whose masks have an IoU of at least a half, the best
    score first, each at most once; others count for nothing. A pair is right where it is predicted as annotated: no
    order, one in front, or both. One of which an object was not found is wrong; metrics with "-found" leave it out.

    accuracy is over all pairs, occluded-accuracy over those with an order, as of Zhan et al. 2020. precision, recall
    and F1 are of the ordered pairs of each image, averaged over images with at least two objects. Beside them stands
    what trivial rules get right of the occluded pairs, asked about the same objects: in front is the smaller, what is
    lower in the image by the mean of its mask (both as in Zhan et al.) or by its lowest pixel, and the higher score.
    """

    protocol = (
        "objects found: same class, mask IoU >= 0.5, best score first; a pair with a missing object is wrong, but left "
        f"out of -found; order of annotations: by votes within {ANNOTATED.reach:g} of the diagonal, both ways from "
        f"{100 * ANNOTATED.share:g} % of a pair's votes; precision, recall, F1: InstaOrder, mean over images with two "
        "objects"
    )

    def record(self, stored: Mapping[str, Any], target: ImageAnnotations) -> OrderCounts:
        """The counts of an image."""
        annotated = OcclusionOrder.of_annotations(target)
        of_annotated = matched_rows(stored["objects"], annotated)
        predicted, rules = _of_found(stored, of_annotated)
        return count_order(annotated.in_front, predicted, rules, of_annotated)

    def summarize(self, records: list[OrderCounts]) -> Scores:
        several = [record for record in records if record.pairs]
        total = OrderCounts(*map(sum, zip(OrderCounts(*[0] * len(OrderCounts._fields)), *several)))
        each = [record.precision_recall_f1() for record in several] or [(math.nan,) * 3]
        metrics = {
            "occluded-accuracy": _share(total.occluded_right, total.occluded),
            "occluded-accuracy-found": _share(total.occluded_right, total.occluded_found),
            **{f"occluded-accuracy-{name}": _share(getattr(total, name), total.occluded) for name in TRIVIAL_RULES},
            "occluded-found": _share(total.occluded_found, total.occluded),
            "accuracy": _share(total.right, total.pairs),
            "accuracy-found": _share(total.right, total.found),
            **dict(zip(("precision", "recall", "F1"), np.mean(each, axis=0).tolist())),
        }
        reason = ""
        if not total.occluded:
            reason = "no annotated object hides another" if several else "no annotated image has two objects"
        return Scores(metrics, reason=reason)

    def image_score(self, record: OrderCounts) -> float:
        """The share of the image's occluded pairs that are right."""
        return _share(record.occluded_right, record.occluded)


def matched_rows(rows: list[Mapping[str, Any]], annotated: OcclusionOrder) -> np.ndarray:
    """Which of predicted rows each annotated object was found as: int64 [G], `NOT_FOUND` of those that were not.

    Args:
        rows: N with "category_id" (label), "score" and "segmentation" (run lengths with counts as bytes).
        annotated: the G objects.
    """
    found = np.full(len(annotated), NOT_FOUND, np.int64)
    if not rows or not len(annotated):
        return found
    codes = [row["segmentation"] for row in rows]
    iou = np.asarray(coco_mask.iou(codes, encode(annotated.masks), [0] * len(annotated)), np.float64)
    iou[np.array([row["category_id"] for row in rows])[:, None] != annotated.labels[None]] = 0
    for row, index in pair_best_first(torch.from_numpy(iou), [row["score"] for row in rows]):
        found[index] = row
    return found


def count_order(
    annotated: np.ndarray, predicted: np.ndarray, rules: Mapping[str, np.ndarray], found: np.ndarray
) -> OrderCounts:
    """The counts of an image.

    Args:
        annotated: bool [G, G], whether the row's object is in front of the column's.
        predicted: the same of the predicted objects that these were found as; what it says of others is not read.
        rules: the same by each of `TRIVIAL_RULES`.
        found: int64 [G], `NOT_FOUND` of objects that were not.
    """
    both = (found[:, None] != NOT_FOUND) & (found[None] != NOT_FOUND)
    claimed = predicted & both
    i, j = np.triu_indices(len(annotated), 1)
    known, occluded = both[i, j], annotated[i, j] | annotated[j, i]

    def right(order):
        return known & (order[i, j] == annotated[i, j]) & (order[j, i] == annotated[j, i])

    def count(which):
        return int(np.count_nonzero(which))

    is_right = right(claimed)
    return OrderCounts(
        pairs=len(i),
        found=count(known),
        right=count(is_right),
        occluded=count(occluded),
        occluded_found=count(known & occluded),
        occluded_right=count(is_right & occluded),
        **{name: count(right(rules[name]) & occluded) for name in TRIVIAL_RULES},
        claimed=count(claimed),
        true=count(annotated),
        hits=count(claimed & annotated),
    )


def _of_found(stored, found):
    """What is predicted of the objects that annotated ones were found as, bool [G, G], and by rule the trivial one."""
    count = len(stored["objects"])
    in_front = np.zeros((count + 1, count + 1), bool)  # the last is of those that were not found
    for i, j, _ in stored["order"]:
        in_front[i, j] = True
    area, mean, lowest, score = np.full((4, len(found)), math.nan)
    for place, row in enumerate(found.tolist()):
        if row != NOT_FOUND:
            rows = coco_mask.decode(stored["objects"][row]["segmentation"]).sum(axis=1, dtype=np.int64)
            area[place], mean[place] = rows.sum(), np.average(np.arange(len(rows)), weights=rows)
            lowest[place], score[place] = np.flatnonzero(rows)[-1], stored["objects"][row]["score"]
    values = zip(TRIVIAL_RULES, (-area, mean, lowest, score))
    return in_front[np.ix_(found, found)], {name: value[:, None] > value[None] for name, value in values}


def _share(part, whole):
    return part / whole if whole else math.nan
