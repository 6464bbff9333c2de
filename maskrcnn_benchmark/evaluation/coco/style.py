"""Average precision of boxes and instance masks as COCO defines it, equal to pycocotools' to the last bit."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from pycocotools import mask as rle

from maskrcnn_benchmark.evaluation.coco.matching import (
    ImageMatches,
    box_overlaps,
    match_objects,
    matching_params,
    num_overlaps,
)
from maskrcnn_benchmark.evaluation.coco.precision import (
    PrecisionTables,
    accumulate,
    image_average_precision,
    required_objects,
)
from maskrcnn_benchmark.evaluation.coco.rows import (
    FILE_ROWS,
    Objects,
    annotated_areas,
    bitmaps,
    encode,
    labels_and_scores,
    numbers,
    objects_of_boxes,
    objects_of_rows,
    predicted_masks,
    run_lengths,
)
from maskrcnn_benchmark.evaluation.evaluator import Evaluator
from maskrcnn_benchmark.evaluation.scores import Scores
from maskrcnn_benchmark.structures.empty_masks import encloses_nothing
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.vocabulary import Vocabulary

logger = logging.getLogger(__name__)

# Places of the metrics in COCOeval.stats
_STATS = {
    "AP": 0,
    "AP50": 1,
    "AP75": 2,
    "APs": 3,
    "APm": 4,
    "APl": 5,
    "AR": 8,
    "AR@1": 6,
    "AR@10": 7,
    "ARs": 9,
    "ARm": 10,
    "ARl": 11,
}


class CocoStyleEvaluator(Evaluator):
    """AP over IoU (or OKS) .50:.05:.95, AP50, AP75, by size, and average recall, as COCO defines them.

    Annotated objects that carry the rows of their file (field "coco_records") are scored against these rows, so that
    the metrics are those of pycocotools on that file: areas, unclipped boxes, polygons and order included. Crowd
    regions are neither required nor counted against a prediction. Predictions are paired with objects image by image
    when they are recorded; `evaluate` only adds up.

    Args:
        task: the task that is scored.
        vocabulary: names each label from 1.
        protocol: "coco" or "detail", see `evaluation.protocols`. The latter's AP and AR are those of any number of
            detections, AR@100 that of a hundred, and there are no metrics by size.

    Attributes:
        iou_type: pycocotools' name of what is compared.
        params: pycocotools' parameters.
    """

    iou_type: str = ""
    stats = _STATS
    # What is compared, in words, and in letters
    subject, measure = "object", "IoU"

    def __init__(self, task: Any, vocabulary: Vocabulary, protocol: str = "coco") -> None:
        self.class_names = tuple(vocabulary.thing_names)
        self.detection_protocol = protocol
        self.params = matching_params(self.iou_type, protocol)
        super().__init__(task, vocabulary)

    @property
    def protocol(self) -> str:  # type: ignore[override]
        if self.detection_protocol == "detail":
            return "COCO's pairing: AP over IoU .50:.05:.95, any number of detections, objects of any size"
        return f"COCO: AP over IoU .50:.05:.95, at most {self.params.maxDets[-1]} detections per image and class"

    def record(self, stored: list[dict], target: ImageAnnotations) -> Any:
        """`coco_matching.ImageMatches`, or a record that has them, see `matches`."""
        where = f"{self.task.key}: image {target.image_id}"
        labels, scores = labels_and_scores(stored, where)
        annotated = self.objects(target)
        areas, overlap = self.compare(stored, annotated, target.size, where)
        return match_objects(labels, scores, areas, annotated, overlap, self.params)

    def objects(self, target: ImageAnnotations) -> Objects:
        """The annotated `coco_rows.Objects` of an image."""
        raise NotImplementedError

    def compare(
        self, stored: list[dict], annotated: Objects, size: Sequence[int], where: str
    ) -> tuple[np.ndarray, Callable]:
        """How predicted rows compare with the annotated objects.

        Args:
            stored: list of rows.
            annotated: `coco_rows.Objects`.
            size: (width, height) of the image.
            where: which image this is, for errors.

        Returns:
            areas float64 [N], and the function of overlaps that `match_objects` asks for.
        """
        raise NotImplementedError

    def matches(self, record: Any) -> ImageMatches:
        """What a record adds to average precision."""
        return record

    def accumulate(self, records: list[Any]) -> PrecisionTables:
        """The `coco_precision.PrecisionTables` of records, of the classes that have a name and of others that occur."""
        images = [self.matches(record) for record in records]
        found = np.concatenate([np.arange(1, len(self.class_names) + 1), *(image.classes for image in images)])
        return accumulate(images, self.params, np.unique(found))

    def summarize(self, records: list[Any]) -> Scores:
        tables = self.accumulate(records)
        reason = self.missing(records)
        metrics = self.metrics_of(tables)
        if np.isnan(tables.average_precision()):
            return Scores(metrics, reason=reason)
        text = tables.summary()[1] if self.detection_protocol == "coco" else ""
        per_class = {"AP": tables.of_classes(self.class_names), "AP50": tables.of_classes(self.class_names, 0.5)}
        title = f"{self.task.title.capitalize()}: precision over recall"
        curves = [tables.curve(f"{self.task.key}_precision_recall", title, self.measure)]
        return Scores(metrics, per_class if self.class_names else {}, curves, reason, text)

    def metrics_of(self, tables: PrecisionTables) -> dict[str, float]:
        """{name: value in 0..1, or nan where there was nothing to score}."""
        if self.detection_protocol != "coco":
            return _detail_metrics(tables)
        stats = tables.summary()[0]
        # pycocotools says -1 where there was nothing to score
        return {name: float(stats[k]) if stats[k] >= 0 else np.nan for name, k in self.stats.items()}

    def missing(self, records: list[Any]) -> str:
        """Why metrics are nan, and which areas are not the file's, in words; "" where neither is."""
        images = [self.matches(record) for record in records]
        without_area = sum(image.without_area for image in images) if self.detection_protocol == "coco" else 0
        areas = (
            f"{without_area} annotated objects have no area, which is taken from their boxes" if without_area else ""
        )
        if areas:
            logger.warning("%s: %s; pycocotools asks for areas", self.task.key, areas)
        return "; ".join(filter(None, (self._nothing_to_score(images), areas)))

    def _nothing_to_score(self, images):
        labels = np.unique(np.concatenate([np.zeros(0, np.int32), *(image.classes for image in images)]))
        counts = required_objects(images, labels).sum(axis=1) if images else np.zeros(1, np.int64)
        if counts[0] == 0:
            return f"no image has an annotated {self.subject} that counts"
        absent = [label for label, count in zip(self.params.areaRngLbl, counts) if count == 0]
        return f"no annotated {self.subject} is {' or '.join(absent)}" if absent else ""

    def image_score(self, record: Any) -> float:
        """As `image_average_precision` has it; confident is what a picture of the task shows."""
        return image_average_precision(self.matches(record), self.params, self.task.threshold)


class DetectionEvaluator(CocoStyleEvaluator):
    """AP of boxes. An object's size is its mask's area where it has one, as in COCO, else its box's."""

    iou_type = "bbox"

    def objects(self, target: ImageAnnotations) -> Objects:
        boxes = target.instances
        if boxes.has_field(FILE_ROWS):
            return objects_of_rows(boxes.get_field(FILE_ROWS), boxes.get_field("labels"))
        return objects_of_boxes(boxes, annotated_areas(boxes))

    def compare(
        self, stored: list[dict], annotated: Objects, size: Sequence[int], where: str
    ) -> tuple[np.ndarray, Callable]:
        boxes = numbers(stored, "bbox", (4,), where)

        def overlap(predictions, objects, blocks):
            return box_overlaps(boxes[predictions], annotated.boxes[objects], annotated.crowd[objects], blocks)

        if all("area" in row for row in stored):  # of masks, where a file has these in the boxes' place
            return numbers(stored, "area", (), where), overlap
        return boxes[:, 2] * boxes[:, 3], overlap


class InstanceEvaluator(CocoStyleEvaluator):
    """AP of instance masks. Predicted masks are pasted into the image at their boxes and cut at one half."""

    iou_type = "segm"
    subject = "mask"

    def is_annotated(self, target: ImageAnnotations) -> bool:
        if target.instances is None or not target.instances.has_field(FILE_ROWS):
            return super().is_annotated(target)
        rows = target.instances.get_field(FILE_ROWS)
        return not rows or any(has_mask(row, target.size) for row in rows)

    def objects(self, target: ImageAnnotations) -> Objects:
        """The annotated objects; one without a mask is its box's region, as a crowd: nothing there counts or misses."""
        boxes = target.instances
        if boxes.has_field(FILE_ROWS):
            rows = boxes.get_field(FILE_ROWS)
            drawn = np.array([has_mask(row, target.size) for row in rows], bool)
            shapes = [row["segmentation"] if has else _outline(row["bbox"]) for row, has in zip(rows, drawn)]
            codes = [run_lengths(shape, target.size) for shape in shapes]
            found = objects_of_rows(rows, boxes.get_field("labels"))
        else:
            codes = encode(bitmaps(boxes))  # type: ignore[arg-type]
            drawn = np.ones(len(boxes), bool)
            found = objects_of_boxes(boxes, rle.area(codes))
        return replace(found, values=codes, crowd=found.crowd | ~drawn, ignored=found.ignored | ~drawn)

    def compare(
        self, stored: list[dict], annotated: Objects, size: Sequence[int], where: str
    ) -> tuple[np.ndarray, Callable]:
        codes = predicted_masks(stored, size, where)

        def overlap(predictions, objects, blocks):
            overlaps = np.zeros(num_overlaps(blocks))
            for d0, d1, g0, g1, start in blocks.tolist():
                if d1 > d0 and g1 > g0:
                    found = [codes[d] for d in predictions[d0:d1]]
                    sought = [annotated.values[g] for g in objects[g0:g1]]
                    block = rle.iou(found, sought, annotated.crowd[objects[g0:g1]].tolist())
                    overlaps[start : start + block.size] = block.reshape(-1)
            return overlaps

        return np.asarray(rle.area(codes), np.float64), overlap


def has_mask(row: dict[str, Any], size: Sequence[int]) -> bool:
    """Whether a row of a file has a mask that encloses something of its image of `size` (width, height)."""
    return row.get("segmentation") is not None and not encloses_nothing(row["segmentation"], size)


def _outline(box):
    """A box x, y, width, height as the polygons of an object."""
    x, y, width, height = box
    return [[x, y, x + width, y, x + width, y + height, x, y + height]]


_DETAIL_RECALLS = {"AR@1": 1, "AR@10": 10, "AR@100": 100}


def _detail_metrics(tables):
    precision = {"AP": None, "AP50": 0.5, "AP75": 0.75}
    return {
        **{name: tables.average_precision(overlap) for name, overlap in precision.items()},
        "AR": tables.average_recall(tables.params.maxDets[-1]),
        **{name: tables.average_recall(limit) for name, limit in _DETAIL_RECALLS.items()},
    }
