"""Recall of region proposals, as Detectron measures it: what a detector on top of them could find at best."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from maskrcnn_benchmark.evaluation.coco.rows import FILE_ROWS, annotated_areas
from maskrcnn_benchmark.evaluation.evaluator import Evaluator
from maskrcnn_benchmark.evaluation.scores import Scores
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.boxlist_ops import box_iou
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.vocabulary import Vocabulary

# Areas in pixels of the objects that count, both ends included
AREA_RANGES = {
    "all": (0, 1e5**2),
    "small": (0, 32**2),
    "medium": (32**2, 96**2),
    "large": (96**2, 1e5**2),
    "96-128": (96**2, 128**2),
    "128-256": (128**2, 256**2),
    "256-512": (256**2, 512**2),
    "512-inf": (512**2, 1e5**2),
}
_PREFIXES = {"all": "", "small": "s", "medium": "m", "large": "l"}

# In single precision, as overlaps are
IOU_THRESHOLDS = np.arange(0.5, 0.95 + 1e-5, 0.05, dtype=np.float32)


# Of an image's proposals this many are kept and scored
MOST_PROPOSALS = 1000


class ProposalEvaluator(Evaluator):
    """Average recall over IoU .50:.05:.95 of the best proposals: AR@100 is that of an image's best hundred.

    Proposals are paired with objects one to one, the best overlap first. Crowd regions are left out. An object's area
    is the file's where the data set has it (field "coco_records"), else its mask's, else its box's.

    Args:
        task: the task that is scored.
        vocabulary: the data set's names.
        limits: numbers of proposals per image.
        areas: keys of `AREA_RANGES`; ARs, ARm and ARl are those of small, medium and large objects.
    """

    def __init__(
        self,
        task: Any,
        vocabulary: Vocabulary,
        limits: Sequence[int] = (100, MOST_PROPOSALS),
        areas: Sequence[str] = ("all", "small", "medium", "large"),
    ) -> None:
        self.limits = tuple(limits)
        self.areas = {name: AREA_RANGES[name] for name in areas}
        super().__init__(task, vocabulary)

    def record(self, stored: np.ndarray, target: ImageAnnotations) -> dict[tuple[str, int], np.ndarray]:
        """{(area, limit): float [G], the overlap that each object of that area was found with, 0 for none}."""
        proposals = torch.from_numpy(stored)
        objects, areas = _objects(target.instances)
        overlaps = box_iou(proposals, objects)
        return {
            (name, limit): _found(overlaps[:limit, (areas >= low) & (areas <= high)])
            for name, (low, high) in self.areas.items()
            for limit in self.limits
        }

    def summarize(self, records: list[dict[tuple[str, int], np.ndarray]]) -> Scores:
        return Scores(
            {
                f"AR{_PREFIXES.get(name, name)}@{limit}": _recall([record[name, limit] for record in records])
                for limit in self.limits
                for name in self.areas
            }
        )


def _objects(instances):
    """Boxes float [G, 4] xyxy, not clipped where the file's own are known, and areas float64 [G], without crowds."""
    boxes, areas = instances.convert("xyxy").bbox.cpu(), torch.as_tensor(annotated_areas(instances))
    crowd = torch.zeros(len(instances), dtype=torch.bool)
    if instances.has_field(FILE_ROWS):
        rows = instances.get_field(FILE_ROWS)
        boxes = BoxList([row["bbox"] for row in rows], instances.size, mode="xywh").convert("xyxy").bbox
        crowd = torch.tensor([bool(row.get("iscrowd", 0)) for row in rows], dtype=torch.bool)
    elif instances.has_field("iscrowd"):
        crowd = instances.get_field("iscrowd").cpu().bool()
    return boxes[~crowd], areas[~crowd]


def _found(overlaps):
    """float32 [G]: the overlap each object is found with when the best pair of [P, G] is taken out again and again."""
    overlaps = overlaps.cpu().clone()
    found = np.zeros(overlaps.shape[1], dtype=np.float32)
    for index in range(min(overlaps.shape)):
        value, pair = overlaps.flatten().max(dim=0)
        # worse pairs than the lowest threshold change nothing
        if value < float(IOU_THRESHOLDS[0]):
            break
        proposal, instance = divmod(int(pair), overlaps.shape[1])
        found[index] = value
        overlaps[proposal], overlaps[:, instance] = -1, -1
    return found


def _recall(overlaps):
    """Mean over the thresholds of the share of objects found, nan without objects."""
    overlaps = np.concatenate(overlaps) if overlaps else np.zeros(0, dtype=np.float32)
    if not len(overlaps):
        return np.nan
    return float((overlaps[:, None] >= IOU_THRESHOLDS).mean())
