"""Boxes, masks and proposals by the rules of PASCAL in Detail's own programs (bboxEval, instsegEval, ...).

They pair predictions with objects as COCO's does, without ranges of size and with any number of detections, but

- every image of the split counts, whether or not anybody annotated it: what is predicted there is wrong;
- crowds are no objects of boxes, and what lies on them is wrong; of masks they are objects like others;
- the overlap of boxes multiplies their common width and height even where both are negative;
- of masks, each category of an image is painted region by region, the later over the earlier, and an object is what is
  left of it; a category without instances is one object;
- a class that is predicted but nowhere annotated has an AP of 0 and counts; one that is neither does not.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from pycocotools import mask as rle

from maskrcnn_benchmark.evaluation.coco.matching import num_overlaps
from maskrcnn_benchmark.evaluation.coco.precision import PrecisionTables
from maskrcnn_benchmark.evaluation.coco.proposals import MOST_PROPOSALS
from maskrcnn_benchmark.evaluation.coco.rows import (
    FILE_ROWS,
    Objects,
    bitmaps,
    encode,
    numbers,
    objects_of_boxes,
    predicted_masks,
    run_lengths,
)
from maskrcnn_benchmark.evaluation.coco.style import CocoStyleEvaluator, has_mask
from maskrcnn_benchmark.structures.file_regions import FileRegions
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.run_length import RunLengths
from maskrcnn_benchmark.structures.vocabulary import Vocabulary

NAME = "PASCAL in Detail's toolkit"
_LIMITS = (1, 10, 100)  # places of `maxDets`


class ToolkitDetectionEvaluator(CocoStyleEvaluator):
    """AP of boxes as `bboxEval` finds it.

    "AP" is the mean over IoU .50:.05:.95 and over the classes that are annotated or predicted anywhere, of any number
    of detections per image; "AP@1", "AP@10" and "AP@100" are those of so many of an image's and class's detections.
    "AR" and its kin are over the classes that are annotated.

    Annotated are the regions of `ImageAnnotations.regions` that are no crowds and of a category of objects or animals,
    or, on data sets of another layout, the instances.

    Args:
        task: the task that is scored.
        vocabulary: its things have the labels from 1, its other semantic classes the labels after those.
    """

    iou_type = "bbox"
    rule = "negative widths and heights in common multiplied as well, crowds no objects"

    def __init__(self, task: Any, vocabulary: Vocabulary) -> None:
        super().__init__(task, vocabulary, "detail")
        things = self.class_names
        self.class_names += tuple(name for name in vocabulary.semantic_names if name not in things)
        self._labels = {name: label for label, name in enumerate(self.class_names, 1)}
        self._is_thing = np.arange(len(self.class_names)) < len(things)

    @property
    def protocol(self) -> str:  # type: ignore[override]
        return (
            f"{NAME}: AP over {self.measure} .50:.05:.95, all images, any number of detections; {self.rule}; a class "
            f"that is predicted but nowhere annotated counts 0"
        )

    def is_annotated(self, target: ImageAnnotations) -> bool:
        """Every image counts."""
        return True

    def objects(self, target: ImageAnnotations) -> Objects:
        regions = self.regions(target)
        labels = self.labels_of(regions)
        kept = ~regions.crowd & regions.is_object & (labels > 0)
        return objects_alike(labels[kept], regions.boxes[kept])

    def compare(
        self, stored: list[dict], annotated: Objects, size: Sequence[int], where: str
    ) -> tuple[np.ndarray, Callable]:
        boxes = numbers(stored, "bbox", (4,), where)
        return np.zeros(len(boxes)), _by_class(
            lambda predictions, objects: box_overlaps(boxes[predictions], annotated.boxes[objects])
        )

    def regions(self, target: ImageAnnotations) -> FileRegions:
        """The regions of the file, or the instances in their place."""
        if target.regions is not None:
            return target.regions
        instances = target.instances
        if instances is None or not len(instances):
            none = np.zeros(0, bool)
            return FileRegions((), np.zeros((0, 4)), none, none, none, [])
        found, boxes = objects_of_boxes(instances, np.zeros(len(instances))), None
        if instances.has_field(FILE_ROWS):
            boxes = np.array([row["bbox"] for row in instances.get_field(FILE_ROWS)], np.float64)
        names = tuple(self.class_names[label - 1] for label in found.labels)
        is_object = np.ones(len(names), bool)
        return FileRegions(names, found.boxes if boxes is None else boxes, found.crowd, is_object, ~is_object, [])

    def labels_of(self, regions: FileRegions) -> np.ndarray:
        """The label of each region, 0 for a category that is none of the classes: int32 [N]."""
        return np.array([self._labels.get(name, 0) for name in regions.names], np.int32)

    def accumulate(self, records: list[Any]) -> PrecisionTables:
        """With a precision of 0 for classes that are predicted, but not annotated."""
        tables = super().accumulate(records)
        predicted = np.concatenate([np.zeros(0, np.int32), *(self.matches(record).labels for record in records)])
        tables.precision[:, :, (tables.recall[0, :, 0, -1] < 0) & np.isin(tables.labels, predicted)] = 0
        return tables

    def metrics_of(self, tables: PrecisionTables) -> dict[str, float]:
        at_most = {f"AP@{limit}": _mean(tables.precision[..., place]) for place, limit in enumerate(_LIMITS)}
        return {**super().metrics_of(tables), **at_most}


class ToolkitInstanceEvaluator(ToolkitDetectionEvaluator):
    """AP of masks as `instsegEval` finds it.

    Every category of an image is painted, its regions in file order, crowds among them, and an object is what is left
    of a region; its number, from 1, is kept in 8 bits, so that the 256th is none. A category without instances is one.
    "AP" is over all classes, "AP-things" over those that have instances, which alone this library's networks predict.

    The published program looks overlaps up with their rows and columns exchanged, and stops where an image has more or
    fewer predictions than objects of a class. Here they are looked up as it means to.
    """

    iou_type = "segm"
    subject = "mask"
    rule = "regions of a category painted over one another, crowds and regions without instances objects as well"

    def objects(self, target: ImageAnnotations) -> Objects:
        regions = self.regions(target)
        labels = self.labels_of(regions)
        classes, layers = np.unique(labels, return_inverse=True)
        width, height = target.size
        canvas = np.zeros((len(classes), width, height), np.uint8)
        codes = RunLengths(regions.codes, target.size, lambda i: f"image {target.image_id}, region {i}")
        codes.paint(canvas, np.arange(len(labels)), layers, _numbers_in_layer(layers, regions.only_semantic))
        found, values = [], []
        for label, layer in zip(classes, canvas):
            numbers_left = np.flatnonzero(np.bincount(layer.reshape(-1), minlength=256))[1:] if label else ()
            found += [label] * len(numbers_left)
            values += encode(np.stack([(layer == number).T for number in numbers_left])) if len(numbers_left) else []
        return replace(objects_alike(np.array(found, np.int32), np.zeros((len(found), 4))), values=values)

    def regions(self, target: ImageAnnotations) -> FileRegions:
        regions, instances = super().regions(target), target.instances
        if target.regions is not None or not len(regions.names):
            return regions
        if not instances.has_field(FILE_ROWS):
            return replace(regions, codes=encode(bitmaps(instances)))  # type: ignore[arg-type]
        rows = instances.get_field(FILE_ROWS)
        kept = [place for place, row in enumerate(rows) if has_mask(row, target.size)]
        return FileRegions(
            tuple(regions.names[place] for place in kept),
            regions.boxes[kept],
            regions.crowd[kept],
            regions.is_object[kept],
            regions.only_semantic[kept],
            [run_lengths(rows[place]["segmentation"], target.size) for place in kept],
        )

    def compare(
        self, stored: list[dict], annotated: Objects, size: Sequence[int], where: str
    ) -> tuple[np.ndarray, Callable]:
        codes = predicted_masks(stored, size, where)

        def overlaps(predictions, objects):
            pairs = [codes[d] for d in predictions], [annotated.values[g] for g in objects]
            return rle.iou(*pairs, [0] * len(objects))

        return np.zeros(len(codes)), _by_class(overlaps)

    def metrics_of(self, tables: PrecisionTables) -> dict[str, float]:
        metrics = super().metrics_of(tables)
        things = np.isin(tables.labels, 1 + np.flatnonzero(self._is_thing))
        return {"AP": metrics["AP"], "AP-things": _mean(tables.precision[:, :, things][..., -1]), **metrics}


class ToolkitProposalEvaluator(ToolkitDetectionEvaluator):
    """Recall of proposals as `bboxEval` finds it where categories are not used: "AR@K" of an image's best K."""

    rule = ToolkitDetectionEvaluator.rule + ", all classes as one"
    _LIMITS = (1, 10, 100, MOST_PROPOSALS)

    def __init__(self, task: Any, vocabulary: Vocabulary) -> None:
        super().__init__(task, vocabulary)
        self.params.maxDets = list(self._LIMITS)

    def record(self, stored: Any, target: ImageAnnotations) -> Any:
        """`coco.matching.ImageMatches` of proposals xyxy float32 [N, 4], best first."""
        boxes = stored.astype(np.float64)
        boxes[:, 2:] += 1 - boxes[:, :2]
        ranks = -np.arange(len(boxes), dtype=np.float64)
        rows = [{"category_id": 1, "bbox": box, "score": rank} for box, rank in zip(boxes.tolist(), ranks)]
        return super().record(rows, target)

    def objects(self, target: ImageAnnotations) -> Objects:
        objects = super().objects(target)
        return replace(objects, labels=np.ones_like(objects.labels))

    def metrics_of(self, tables: PrecisionTables) -> dict[str, float]:
        return {f"AR@{limit}": tables.average_recall(limit) for limit in reversed(self._LIMITS)}


def toolkit_average_precision(scores: np.ndarray, positive: np.ndarray) -> float:
    """AP of one image label as `DetailEvalCls` finds it.

    Images of equal score come in the order that `numpy.argsort` leaves them in, which is not that of the images.

    Args:
        scores: float64 [I].
        positive: bool [I].

    Returns:
        float in 0..1; 0 where nothing is positive.
    """
    hits = np.cumsum(positive[np.argsort(-scores)])
    recall = hits / max(positive.sum(), 1)
    precision = hits / np.arange(1, len(hits) + 1)
    recall, precision = np.concatenate([[0.0], recall, [1.0]]), np.concatenate([[0.0], precision, [0.0]])
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall) * envelope[1:]))


def box_overlaps(boxes: np.ndarray, true_boxes: np.ndarray) -> np.ndarray:
    """Intersection over union as `bboxEval` has it: of boxes that are apart in both directions, too, since the product
    of a negative width and a negative height in common is positive. Infinite or nan where the union is 0.

    Args:
        boxes, true_boxes: float64 [D, 4], [G, 4], x, y, width, height.

    Returns:
        float64 [D, G].
    """
    boxes, areas, true_areas = (
        boxes[:, None],
        boxes[:, None, 2] * boxes[:, None, 3],
        true_boxes[:, 2] * true_boxes[:, 3],
    )
    ends, true_ends = boxes[..., :2] + boxes[..., 2:], true_boxes[:, :2] + true_boxes[:, 2:]
    common = np.minimum(ends, true_ends) - np.maximum(boxes[..., :2], true_boxes[:, :2])
    common = np.maximum(common[..., 0] * common[..., 1], 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return common / (true_areas + areas - common)


def _by_class(overlaps: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Callable:
    """The function that `match_objects` asks for, of one from (indices [D], indices [G]) to overlaps [D, G]."""

    def overlap(predictions, objects, blocks):
        found = np.zeros(num_overlaps(blocks))
        for d0, d1, g0, g1, start in blocks.tolist():
            if d1 > d0 and g1 > g0:
                block = overlaps(predictions[d0:d1], objects[g0:g1])
                found[start : start + block.size] = block.reshape(-1)
        return found

    return overlap


def objects_alike(labels: np.ndarray, boxes: np.ndarray) -> Objects:
    """Objects that all count, without areas, since there are no ranges of them."""
    none = np.zeros(len(labels), bool)
    return Objects(labels, boxes, np.zeros(len(labels)), none, none, none)


def _numbers_in_layer(layers, only_semantic):
    """What each region is painted with: its number from 1 among those of its category, in 8 bits; 1 where it has no
    instances."""
    order = np.argsort(layers, kind="stable")
    ranks = np.empty(len(layers), np.int64)
    ranks[order] = np.arange(len(layers)) - np.searchsorted(layers[order], layers[order])
    return np.where(only_semantic, 1, ranks + 1).astype(np.uint8)


def _mean(values):
    counting = values[values > -1]
    return float(counting.mean()) if counting.size else np.nan
