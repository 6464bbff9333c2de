"""Part segmentation: a part label for every pixel of the objects that have parts."""

from typing import Any

import numpy as np
import torch
from yacs.config import CfgNode

from maskrcnn_benchmark.layers.mask_paste import paste_parts
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.structures.objects import best_first
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import Task, Thresholds, register_task
from maskrcnn_benchmark.visualization.canvas import Canvas, enlarge_labels
from maskrcnn_benchmark.visualization.drawn_task import Known, Legend
from maskrcnn_benchmark.visualization.maps import ENTRIES_SHOWN, FILL
from maskrcnn_benchmark.visualization.objects import canvas_boxes, shown_objects
from maskrcnn_benchmark.visualization.palette import part_colours


class Part(Task):
    """Parts, predicted per region or, with MODEL.PART_HEAD "fpn", once per image."""

    key = "part"
    title = "part segmentation"
    switch = "PART_ON"
    comment = "Task: parts, per detected box or once per image (MODEL.PART_HEAD)"
    losses = ("loss_part",)
    headline = "mIoU"
    parameter_prefixes = ("roi_heads.part.", "fpn_heads.heads.part_map.")
    per = "region"

    # Options ----------------------------------------------------------------------------------------------------------

    def requirements(self, cfg: CfgNode) -> tuple[str, ...]:
        """Parts per region are predicted for detected boxes."""
        return ("detection",) if cfg.MODEL.PART_HEAD == "roi" else ()

    # Labels -----------------------------------------------------------------------------------------------------------

    def is_annotated(self, annotations: ImageAnnotations) -> bool:
        instances = annotations.instances
        has_field = instances is not None and instances.has_field("parts")
        return has_field and bool(instances.get_field("parts").annotated.any())

    # Network ----------------------------------------------------------------------------------------------------------

    # Evaluation -------------------------------------------------------------------------------------------------------

    # Files ------------------------------------------------------------------------------------------------------------

    # Pictures ---------------------------------------------------------------------------------------------------------

    layer = 20
    backdrop = {"fade": 0.25, "grey": True}
    nothing = ("no part", "no part found")

    def content(self, known: Known) -> Any:
        """The field of the objects, if any has parts, or the predicted map of the whole image."""
        if isinstance(known, ImagePrediction) and known.part_map is not None:
            return known.part_map
        objects = known.instances
        parts = objects.get_field("parts") if objects is not None and objects.has_field("parts") else None
        if parts is None or isinstance(known, ImagePrediction):
            return parts
        return parts if bool(parts.annotated.any()) else None

    def can_draw(self, known: Known, vocabulary: Vocabulary) -> bool:
        return vocabulary.parts is not None and self.content(known) is not None

    def paint(
        self, canvas: Canvas, known: Known, vocabulary: Vocabulary, threshold: float, strength: float = 0.75
    ) -> int:
        """Parts of all objects, set off from one another, with a legend; returns how many kinds of them there are."""
        labels = _part_labels(self.content(known), known, canvas, threshold)
        colours = part_colours(vocabulary)
        counts = np.bincount(labels.ravel(), minlength=len(colours))
        present = [k for k in range(1, len(colours)) if counts[k]]
        canvas.tint_labels(labels, {k: colours[k] for k in present}, strength)
        canvas.separate(labels)
        largest = sorted(sorted(present, key=lambda k: -counts[k])[:ENTRIES_SHOWN])
        canvas.legend([(vocabulary.parts.labels[k - 1].replace("_", " "), colours[k]) for k in largest])
        return len(present)

    def overlay(self, canvas: Canvas, known: Known, vocabulary: Vocabulary, thresholds: Thresholds) -> int:
        return self.paint(canvas, known, vocabulary, thresholds[self], FILL)

    def legend(self, vocabulary: Vocabulary) -> Legend:
        if vocabulary.parts is None:
            return []
        return [("parts", list(zip(vocabulary.parts.labels, part_colours(vocabulary)[1:].tolist())))]

    def view(self, prediction: ImagePrediction, vocabulary: Vocabulary, threshold: float) -> torch.Tensor | None:
        """uint8 [H, W]: part label 1..P of each pixel, 0 none; of objects that reach the threshold."""
        if prediction.part_map is not None:
            return prediction.part_map.labels
        if self.content(prediction) is None:
            return None
        objects = best_first(prediction.instances, threshold)
        boxes, scores = objects.convert("xyxy").bbox, objects.get_field("scores")
        return paste_parts(objects.get_field("parts"), boxes, scores, prediction.size)

    def has_threshold(self, cfg: CfgNode) -> bool:
        return cfg.MODEL.PART_HEAD != "fpn"

    # Export -----------------------------------------------------------------------------------------------------------


def _part_labels(content: Any, known: Known, canvas: Canvas, threshold: float) -> np.ndarray:
    """Part labels of all objects at canvas size: integers [h, w]."""
    if not isinstance(known, ImagePrediction):
        # An object's label map is 0 beyond its outline: the largest label is that of the object which holds the pixel
        return enlarge_labels(content.labels[content.annotated].amax(0).cpu().numpy(), canvas.size)
    if known.part_map is not None:
        return known.part_map.resize(canvas.size).labels.cpu().numpy()
    objects = shown_objects(known.instances, threshold)
    parts, scores = objects.get_field("parts").float().cpu(), objects.get_field("scores").cpu()
    return paste_parts(parts, canvas_boxes(objects, canvas), scores, canvas.size).numpy()


PART = register_task(Part())
