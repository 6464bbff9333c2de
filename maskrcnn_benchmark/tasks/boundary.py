"""Boundary detection: is there a boundary at this pixel?"""

import cv2
import numpy as np
import torch

from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import Task, Thresholds, register_task
from maskrcnn_benchmark.visualization.canvas import Canvas
from maskrcnn_benchmark.visualization.drawn_task import Known
from maskrcnn_benchmark.visualization.maps import enlarge_edges
from maskrcnn_benchmark.visualization.palette import INK

TRACED = (0, 236, 255)  # boundaries on a photograph


class Boundary(Task):
    """The probability of a boundary at every pixel."""

    key = "boundary"
    title = "boundary detection"
    switch = "BOUNDARY_ON"
    comment = "Task: boundaries, per image, on the dense features and a fine decoder"
    losses = ("loss_boundary",)
    headline = "ODS-F"
    parameter_prefixes = ("fpn_heads.heads.boundary.",)

    # Options ----------------------------------------------------------------------------------------------------------

    # Labels -----------------------------------------------------------------------------------------------------------

    # Network ----------------------------------------------------------------------------------------------------------

    # Evaluation -------------------------------------------------------------------------------------------------------

    # Files ------------------------------------------------------------------------------------------------------------

    # Pictures ---------------------------------------------------------------------------------------------------------

    layer = 40

    def paint(self, canvas: Canvas, known: Known, vocabulary: Vocabulary, threshold: float) -> None:
        """Boundaries in ink on white; of predictions, pixels below the threshold in pale grey by their probability."""
        strength, edge = _strength(known, canvas.size, threshold)
        if isinstance(known, ImagePrediction):
            ink = np.where(edge, np.float32(0.45) + np.float32(0.55) * strength, 0.5 * strength)
        else:
            ink = strength
        canvas.pixels = cv2.merge([np.rint(255 - ink * np.float32(255 - c)).astype(np.uint8) for c in INK])

    def overlay(self, canvas: Canvas, known: Known, vocabulary: Vocabulary, thresholds: Thresholds) -> None:
        """Boundaries traced on the photograph; predicted ones are the stronger the more probable."""
        strength, edge = _strength(known, canvas.size, thresholds[self])
        share = strength[edge][:, None]
        canvas.pixels[edge] = np.rint(canvas.pixels[edge] * (1 - share) + np.array(TRACED, np.float32) * share)

    def view(self, prediction: ImagePrediction, vocabulary: Vocabulary, threshold: float) -> torch.Tensor | None:
        """float [H, W], the probability of a boundary."""
        return None if prediction.boundary is None else prediction.boundary.scores[0]

    # Export -----------------------------------------------------------------------------------------------------------


def _strength(known: Known, size: tuple[int, int], threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Probability of boundaries, float32 [h, w], and where there is one, bool [h, w], at a size (w, h)."""
    if isinstance(known, ImagePrediction):
        strength = known.boundary.resize(size).scores[0].float().cpu().numpy()
        return strength, strength >= threshold
    edge = enlarge_edges(known.boundary.edges.cpu().numpy(), size)
    return edge.astype(np.float32), edge


BOUNDARY = register_task(Boundary())
