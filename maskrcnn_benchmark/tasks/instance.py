"""Instance segmentation: a mask for every object."""

from dataclasses import dataclass

import numpy as np
import torch

from maskrcnn_benchmark.layers.mask_paste import paste_masks
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.structures.objects import Objects, best_first
from maskrcnn_benchmark.structures.segmentation_mask import SegmentationMask
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import Task, Thresholds, register_task
from maskrcnn_benchmark.visualization.canvas import Canvas
from maskrcnn_benchmark.visualization.drawn_task import Known, Legend
from maskrcnn_benchmark.visualization.objects import (
    canvas_masks,
    mask_middle,
    mask_spots,
    names_and_colours,
    shown_objects,
)
from maskrcnn_benchmark.visualization.palette import class_colours


@dataclass(frozen=True)
class Masks(Objects):
    """Objects with `masks`, bool [N, H, W]."""

    masks: torch.Tensor


class Instance(Task):
    """The mask of every object."""

    key = "instance"
    title = "instance segmentation"
    switch = "MASK_ON"
    comment = "Task: instance masks, per detected box"
    losses = ("loss_mask",)
    headline = "AP"
    parameter_prefixes = ("roi_heads.mask.",)
    per = "region"
    requires = ("detection",)

    # Options ----------------------------------------------------------------------------------------------------------

    # Labels -----------------------------------------------------------------------------------------------------------

    def is_annotated(self, annotations: ImageAnnotations) -> bool:
        return annotations.instances is not None and annotations.instances.has_field("masks")

    # Network ----------------------------------------------------------------------------------------------------------

    # Evaluation -------------------------------------------------------------------------------------------------------

    # Files ------------------------------------------------------------------------------------------------------------

    # Pictures ---------------------------------------------------------------------------------------------------------

    on_photograph = True
    names_objects = True
    layer = 30

    def content(self, known: Known) -> SegmentationMask | torch.Tensor | None:
        field = "mask" if isinstance(known, ImagePrediction) else "masks"
        objects = known.instances
        return objects.get_field(field) if objects is not None and objects.has_field(field) else None

    def paint(self, canvas: Canvas, known: Known, vocabulary: Vocabulary, threshold: float) -> int:
        """Masks, filled and outlined in the colour of the class, with names in their middle."""
        return self._paint(canvas, known, vocabulary, threshold, scores=False)

    def overlay(self, canvas: Canvas, known: Known, vocabulary: Vocabulary, thresholds: Thresholds) -> int:
        """Masks with names and scores on their top."""
        return self._paint(canvas, known, vocabulary, thresholds[self], scores=True)

    def _paint(self, canvas: Canvas, known: Known, vocabulary: Vocabulary, threshold: float, scores: bool) -> int:
        objects = shown_objects(known.instances, threshold)
        words, colours = names_and_colours(objects, vocabulary, scores)
        masks = canvas_masks(objects, canvas)
        for i in sorted(range(len(masks)), key=lambda i: -np.count_nonzero(masks[i])):  # the largest first
            canvas.tint(masks[i], colours[i], 0.5)
            canvas.outline(masks[i], colours[i])
        for word, mask, colour in zip(words, masks, colours):
            if scores and mask.any():
                canvas.label(word, mask_spots(mask, canvas), colour)
            elif mask.any():
                canvas.label_centred(word, mask_middle(mask), colour)
        return len(masks)

    def legend(self, vocabulary: Vocabulary) -> Legend:
        return [("classes", list(class_colours(vocabulary).items()))]

    def view(self, prediction: ImagePrediction, vocabulary: Vocabulary, threshold: float) -> Masks | None:
        """The objects that reach the threshold, with masks."""
        if self.content(prediction) is None:
            return None
        objects = best_first(prediction.instances, threshold)
        masks = objects.get_field("mask")
        if tuple(masks.shape[-2:]) == prediction.size[::-1]:
            masks = masks[:, 0] > 0.5  # the network pasted them itself (POSTPROCESS_MASKS)
        else:
            masks = paste_masks(masks, objects.convert("xyxy").bbox, prediction.size)
        return Masks.of(objects, vocabulary, masks=masks)

    # Export -----------------------------------------------------------------------------------------------------------


INSTANCE = register_task(Instance())
