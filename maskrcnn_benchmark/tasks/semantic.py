"""Semantic segmentation: a class for every pixel."""

from typing import Any

import cv2
import numpy as np
import torch

from maskrcnn_benchmark.structures.dense_map import IGNORE_INDEX
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction, ScoreMap, label_probability
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import Task, Thresholds, register_task
from maskrcnn_benchmark.visualization.canvas import Canvas, enlarge_labels, window_of
from maskrcnn_benchmark.visualization.drawn_task import Known, Legend
from maskrcnn_benchmark.visualization.maps import FILL
from maskrcnn_benchmark.visualization.palette import class_colours


class Semantic(Task):
    """A class for every pixel."""

    key = "semantic"
    title = "semantic segmentation"
    switch = "SEMANTIC_ON"
    comment = "Task: semantic segmentation, per image, on shared dense features over the feature pyramid"
    losses = ("loss_semantic",)
    headline = "mIoU"
    parameter_prefixes = ("fpn_heads.heads.semantic.",)

    # Options ----------------------------------------------------------------------------------------------------------

    # Labels -----------------------------------------------------------------------------------------------------------

    # Network ----------------------------------------------------------------------------------------------------------

    # Evaluation -------------------------------------------------------------------------------------------------------

    # Files ------------------------------------------------------------------------------------------------------------

    # Pictures ---------------------------------------------------------------------------------------------------------

    threshold = 0.0  # pixels whose class is less probable are left unlabelled
    layer = 10
    backdrop = {"fade": 0.3, "grey": True}

    def paint(
        self, canvas: Canvas, known: Known, vocabulary: Vocabulary, threshold: float, strength: float = 0.72
    ) -> None:
        """The class of every pixel, with names on the larger regions; unlabelled pixels keep the image.

        So do predicted pixels whose class is less probable than the threshold.
        """
        if isinstance(known, ImagePrediction):
            labels = _confident_labels(known.semantic.resize(canvas.size), threshold).cpu().numpy()
        else:
            labels = enlarge_labels(known.semantic.labels.cpu().numpy(), canvas.size)
        colours = class_colours(vocabulary)
        present = [k for k in np.flatnonzero(np.bincount(labels.ravel())).tolist() if k != IGNORE_INDEX]
        named = {k: vocabulary.semantic_names[k] for k in present}
        canvas.tint_labels(labels, {k: colours[name] for k, name in named.items()}, strength)
        for k, name in named.items():
            for spot in _region_middles(labels == k, canvas.text_size):
                canvas.label_centred(name, spot, colours[name])

    def overlay(self, canvas: Canvas, known: Known, vocabulary: Vocabulary, thresholds: Thresholds) -> None:
        self.paint(canvas, known, vocabulary, thresholds[self], FILL)

    def legend(self, vocabulary: Vocabulary) -> Legend:
        return [("classes", list(class_colours(vocabulary).items()))]

    def view(self, prediction: ImagePrediction, vocabulary: Vocabulary, threshold: float) -> torch.Tensor | None:
        """uint8 [H, W]: class 0..C-1 of each pixel, 255 where it is less probable than the threshold."""
        return None if prediction.semantic is None else _confident_labels(prediction.semantic, threshold)

    # Export -----------------------------------------------------------------------------------------------------------


def _confident_labels(scores: Any, threshold: float) -> torch.Tensor:
    """uint8 [h, w], the class of each pixel of a `ScoreMap` or a map of labels, 255 where it is not probable enough."""
    labels = scores.labels
    if threshold > 0 and isinstance(scores, ScoreMap):
        labels = torch.where(label_probability(scores) >= threshold, labels, IGNORE_INDEX)
    return labels


def _region_middles(mask: np.ndarray, text_size: int) -> list[tuple[int, int]]:
    """The innermost point (x, y) of each region of a class that has room for a name, and of its largest in any case."""
    window = window_of(mask)
    inside = mask[window].astype(np.uint8)
    few = inside.size < 1 << 18  # then there are less than 2^16 regions, which 16 bits number in half the time
    count, regions, stats, _ = cv2.connectedComponentsWithStats(inside, ltype=cv2.CV_16U if few else cv2.CV_32S)
    if count == 1:
        return []
    areas = stats[1:, cv2.CC_STAT_AREA]
    depth = cv2.distanceTransform(np.pad(inside, 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
    roomy = {int(i) for i in np.argsort(-areas)[:3] if areas[i] > 60 * text_size**2} | {int(areas.argmax())}
    spots = []
    for i in sorted(roomy):
        left, top, width, height = stats[i + 1, :4]
        part = slice(top, top + height), slice(left, left + width)
        region = np.where(regions[part] == i + 1, depth[part], 0)
        y, x = np.unravel_index(region.argmax(), region.shape)
        spots.append((x + left + window[1].start, y + top + window[0].start))
    return spots


SEMANTIC = register_task(Semantic())
