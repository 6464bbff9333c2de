"""Detection: a box, a class and a score for every object."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from yacs.config import CfgNode

from maskrcnn_benchmark.config.class_weights import class_weight_problems, class_weights
from maskrcnn_benchmark.config.options import ClassCount
from maskrcnn_benchmark.data.dataset import ObjectReader
from maskrcnn_benchmark.data.same_names import match_objects
from maskrcnn_benchmark.data.statistics import DatasetCounts
from maskrcnn_benchmark.evaluation.coco.rows import predicted_rows, xywh
from maskrcnn_benchmark.evaluation.coco.voc import DetectionAndVocEvaluator
from maskrcnn_benchmark.evaluation.detail_toolkit import ToolkitDetectionEvaluator
from maskrcnn_benchmark.evaluation.evaluator import Evaluator
from maskrcnn_benchmark.evaluation.protocols import DETAIL_TOOLKIT, Protocols
from maskrcnn_benchmark.evaluation.trivial import ObjectMeans
from maskrcnn_benchmark.modeling.roi_heads.box_head.box_head import ROIBoxHead, build_roi_box_head
from maskrcnn_benchmark.modeling.roi_heads.box_head.cascade import CascadeROIBoxHead
from maskrcnn_benchmark.modeling.rpn.retinanet.retinanet import RetinaNetModule
from maskrcnn_benchmark.prediction_files.lists import Box, ListFile, ObjectFile
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.structures.objects import Objects, best_first
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.exported_output import ExportedOutput, no_tensor_form
from maskrcnn_benchmark.tasks.task import Task, Thresholds, register_task
from maskrcnn_benchmark.utils.ranges import Integer, Range, shown
from maskrcnn_benchmark.visualization.canvas import Canvas
from maskrcnn_benchmark.visualization.charts import heat_map, ratio_tick
from maskrcnn_benchmark.visualization.dataset_page import card, numbers_card, ratios_card
from maskrcnn_benchmark.visualization.drawn_task import Known, Legend
from maskrcnn_benchmark.visualization.objects import names_and_colours, paint_boxes, shown_objects
from maskrcnn_benchmark.visualization.palette import class_colours

AREA_LIMITS = ((32, "medium"), (96, "large"))  # COCO's ranges of size: sides of squares of 32^2 and 96^2 pixels
BACKGROUND = "background"  # in the weights of classes, label 0
CENTRE_CELLS = (20, 30)  # rows and columns of the map of centres


class Detection(Task):
    """Boxes of objects. Their `BoxList` carries the labels and outputs of all tasks per region."""

    key = "detection"
    title = "detection"
    switch = "DETECTION_ON"
    comment = "Task: detection. Instance masks, keypoints and ROI parts are predicted per detected box, so they need it"
    losses = (
        "loss_objectness",
        "loss_rpn_box_reg",
        "loss_classifier",
        "loss_box_reg",
        "loss_retina_cls",
        "loss_retina_reg",
    )
    on_by_default = True
    headline = "AP"
    parameter_prefixes = ("rpn.", "roi_heads.box.")
    per = "region"
    scored_with = ("instance",)  # an object is as large as its mask
    iou_type = "bbox"
    weights_option = "MODEL.ROI_BOX_HEAD.CLASS_WEIGHTS"

    # Options ----------------------------------------------------------------------------------------------------------

    def class_counts(self, vocabulary: Vocabulary) -> list[ClassCount]:
        things = len(vocabulary.thing_names)
        what = f"{things} classes of objects and background" if things else "classes of objects"
        count = things and things + 1
        return [
            ClassCount("MODEL.ROI_BOX_HEAD.NUM_CLASSES", count, what),
            ClassCount("MODEL.RETINANET.NUM_CLASSES", count, what, where="RETINANET_ON"),
        ]

    def check(self, cfg: CfgNode) -> Iterator[str]:
        value = cfg.MODEL.ROI_BOX_HEAD.CLASS_WEIGHTS
        yield from class_weight_problems(self.weights_option, value)
        other = next((name for name in ("RETINANET_ON", "RPN_ONLY") if cfg.MODEL[name]), None)
        if value and other is not None:
            yield (
                f"{self.weights_option} is {shown(value)}, but with MODEL.{other} there is no box head that would read "
                "it; leave it out"
            )

    def class_weights(self, cfg: CfgNode, vocabulary: Vocabulary | None) -> tuple[float, ...] | None:
        """The weights of background, which is 1 unless a pair names it, and of all classes."""
        value = cfg.MODEL.ROI_BOX_HEAD.CLASS_WEIGHTS
        pairs = [each for each in value if isinstance(each, list | tuple)]
        background = next((float(weight) for name, weight in pairs if name == BACKGROUND), None)
        others = [each for each in value if not isinstance(each, list | tuple) or each[0] != BACKGROUND]
        weights = class_weights(self.weights_option, others, None if vocabulary is None else vocabulary.thing_names)
        if weights is None and background is not None:
            weights = (1.0,) * (cfg.MODEL.ROI_BOX_HEAD.NUM_CLASSES - 1)
        return None if weights is None else (1.0 if background is None else background, *weights)

    def region_options(self, cfg: CfgNode) -> CfgNode:
        return cfg.MODEL.ROI_BOX_HEAD

    def planes(self, cfg: CfgNode) -> int:
        return 0

    def bounds(self) -> dict[str, Range]:
        classes = Integer(2, 4096)
        return {"MODEL.ROI_BOX_HEAD.NUM_CLASSES": classes, "MODEL.RETINANET.NUM_CLASSES": classes}

    # Labels -----------------------------------------------------------------------------------------------------------

    label_field = None  # the label is the objects themselves
    label_readers = dict.fromkeys(
        ("detail", "coco", "coco_panoptic", "voc", "cityscapes", "pascal_context_mtl"), ObjectReader
    )
    can_be_pasted = is_pasted_by_class = True

    def has_names(self, vocabulary: Vocabulary) -> bool:
        return bool(vocabulary.thing_names)

    def names(self, vocabulary: Vocabulary) -> dict[str, Any]:
        return {"classes of objects": vocabulary.thing_names}

    def rename(self, source: Vocabulary, target: Vocabulary) -> Callable[[BoxList], BoxList] | None:
        """Objects of classes that the target lacks are dropped."""
        labels = match_objects(source, target)
        return partial(_rename_objects, torch.tensor(labels)) if any(labels) else None

    def count(self, annotations: ImageAnnotations, vocabulary: Vocabulary) -> dict[str, Any]:
        """Labels 1..K of objects and of crowds; of objects that are no crowd, the square root of the box's area in
        pixels, its width through its height where it has both, and its centre as shares of the image's sides.
        """
        objects = annotations.instances
        labels = objects.get_field("labels").numpy()
        crowd = objects.get_field("iscrowd").numpy() if objects.has_field("iscrowd") else np.zeros(len(labels), bool)
        boxes = objects.convert("xywh").bbox.numpy()[~crowd]
        width, height = boxes[:, 2:].astype(np.float64).T
        has_extent = (width > 0) & (height > 0)
        return {
            "classes": [vocabulary.thing_names[label - 1] for label in np.unique(labels)],
            "labels": labels[~crowd],
            "crowds": labels[crowd],
            "sizes": np.sqrt(width * height),
            "ratios": width[has_extent] / height[has_extent],
            "centres": (boxes[:, :2] + boxes[:, 2:] / 2) / np.maximum(annotations.size, 1),
        }

    def class_names(self, vocabulary: Vocabulary) -> Sequence[str]:
        return vocabulary.thing_names

    def facts(self, count: dict[str, Any], vocabulary: Vocabulary) -> list[tuple[str, str]]:
        objects, crowds = (_named_numbers(count[name], vocabulary.thing_names) for name in ("labels", "crowds"))
        return [("objects", objects or "none"), *([("crowds", crowds)] if crowds else [])]

    def tiles(self, counts: DatasetCounts) -> list[tuple[str, int]]:
        return [
            ("objects", len(counts.joined(self.key, "labels"))),
            ("crowds", len(counts.joined(self.key, "crowds"))),
        ]

    def cards(self, counts: DatasetCounts) -> list[str]:
        numbers = np.array([len(labels) for labels in counts.each(self.key, "labels")])
        sizes, ratios = counts.joined(self.key, "sizes"), counts.joined(self.key, "ratios")
        return [
            numbers_card("Objects per image", numbers, "objects", "images"),
            ratios_card(
                "Size of objects", sizes, "square root of the box's area, pixels", "objects", marks=AREA_LIMITS
            ),
            ratios_card("Aspect ratio of objects", ratios, "width : height", "objects", tick=ratio_tick),
            _centres_card(counts.joined(self.key, "centres")),
        ]

    # Network ----------------------------------------------------------------------------------------------------------

    def head_name(self, cfg: CfgNode) -> str:
        """As checkpoints have it."""
        return "box"

    def build_head(self, cfg: CfgNode, in_channels: int, vocabulary: Vocabulary | None) -> nn.Module:
        """The second stage, whose regions and detections the heads of the other tasks per region get."""
        return build_roi_box_head(cfg, in_channels, self.class_weights(cfg, vocabulary))

    # Evaluation -------------------------------------------------------------------------------------------------------

    def build_evaluator(self, vocabulary: Vocabulary, protocols: Protocols) -> Evaluator:
        if protocols.detection == DETAIL_TOOLKIT:
            return ToolkitDetectionEvaluator(self, vocabulary)
        return DetectionAndVocEvaluator(self, vocabulary, protocols.detection)

    def trivial(self, vocabulary: Vocabulary) -> ObjectMeans:
        """The most frequent boxes with what lies in them."""
        return ObjectMeans(vocabulary)

    # Files ------------------------------------------------------------------------------------------------------------

    def encode(self, prediction: ImagePrediction, vocabulary: Vocabulary) -> list[dict[str, Any]]:
        """List of {"category_id": label 1..K, "bbox": [x, y, width, height] in pixels, "score": float}."""
        instances = self.output(prediction)
        return predicted_rows(instances, "bbox", xywh(instances).tolist())

    def files(self) -> tuple[ListFile, ...]:
        box = "[x, y, width, height] in pixels; x, y is the left upper corner of the first pixel, counted from 0"
        text, fields = "boxes, as COCO's results", {"bbox": Box()}
        return (ObjectFile(self.key, "bbox.json", option="--bbox", text=text, fields=fields, encodings={"bbox": box}),)

    # Pictures ---------------------------------------------------------------------------------------------------------

    on_photograph = True
    names_objects = True
    layer = 70

    def content(self, known: Known) -> BoxList | None:
        return known.instances

    def paint(self, canvas: Canvas, known: Known, vocabulary: Vocabulary, threshold: float) -> int:
        """Boxes with class names and, of predictions, scores."""
        objects = shown_objects(known.instances, threshold)
        return paint_boxes(canvas, objects, names_and_colours(objects, vocabulary)[0], vocabulary)

    def overlay(self, canvas: Canvas, known: Known, vocabulary: Vocabulary, thresholds: Thresholds) -> int:
        """Boxes of the objects that no other task shows and names."""
        objects = shown_objects(known.instances, thresholds[self])
        named_from = [score for task, score in thresholds.items() if task.names_objects and task is not self]
        if named_from and objects.has_field("scores"):
            objects = objects[objects.get_field("scores") < min(named_from)]
        return paint_boxes(canvas, objects, names_and_colours(objects, vocabulary)[0], vocabulary)

    def legend(self, vocabulary: Vocabulary) -> Legend:
        return [("classes", list(class_colours(vocabulary).items()))]

    def view(self, prediction: ImagePrediction, vocabulary: Vocabulary, threshold: float) -> Objects | None:
        """The objects that reach the threshold."""
        if prediction.instances is None:
            return None
        return Objects.of(best_first(prediction.instances, threshold), vocabulary)

    # Export -----------------------------------------------------------------------------------------------------------

    def exported_outputs(self, head: nn.Module) -> dict[str, ExportedOutput]:
        return {
            "boxes": ExportedOutput(
                "float32 [objects, 4]",
                "x1, y1, x2, y2 in pixels of the input; the last pixel is inside, so that a width is x2 - x1 + 1",
                tolerance=0.1,
            ),
            "scores": ExportedOutput("float32 [objects]", "probability of the label"),
            "labels": ExportedOutput(
                "int64 [objects]", "label k is vocabulary.thing_names[k - 1]; objects stand by label"
            ),
        }

    def export_refusal(self, cfg: CfgNode, head: nn.Module) -> str | None:
        return no_tensor_form(head, ROIBoxHead, CascadeROIBoxHead, RetinaNetModule)

    def export_prediction(self, prediction: ImagePrediction) -> dict[str, torch.Tensor]:
        objects = prediction.instances
        return {"boxes": objects.bbox, **{name: objects.get_field(name) for name in ("scores", "labels")}}


def _rename_objects(label_of: torch.Tensor, objects: BoxList) -> BoxList:
    labels = label_of[objects.get_field("labels")]
    kept = objects[labels > 0]
    kept.add_field("labels", labels[labels > 0])
    return kept


def _named_numbers(labels: np.ndarray, names: Sequence[str]) -> str:
    """Labels as "3 person, 1 dog"."""
    numbers = np.bincount(labels - 1, minlength=len(names))
    return ", ".join(f"{numbers[k]} {names[k]}" for k in np.argsort(-numbers, kind="stable") if numbers[k])


def _centres_card(centres: np.ndarray) -> str:
    if not len(centres):
        return card("Where objects are", "", "")
    x, y = centres.T
    grid, _, _ = np.histogram2d(y, x, bins=CENTRE_CELLS, range=((0, 1), (0, 1)))
    chart = heat_map(grid.astype(np.int64), "image width", "image height", "objects")
    return card("Where objects are", "centres of boxes", chart)


DETECTION = register_task(Detection())
