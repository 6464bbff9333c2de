"""Boundary detection: is there a boundary at this pixel?"""

import numpy as np
import torch

from maskrcnn_benchmark.evaluation.edges.curves import METRICS, best_f, summarize_curves
from maskrcnn_benchmark.evaluation.edges.maps import edge_levels
from maskrcnn_benchmark.evaluation.edges.matching import match_edges
from maskrcnn_benchmark.evaluation.edges.thinning import thin, thin_levels
from maskrcnn_benchmark.evaluation.evaluator import Evaluator
from maskrcnn_benchmark.evaluation.protocols import EdgeProtocol, Protocols
from maskrcnn_benchmark.evaluation.scores import Curve, Scores
from maskrcnn_benchmark.evaluation.trivial import MeanMap, relative_frequency
from maskrcnn_benchmark.prediction_files.encodings import decode_strength
from maskrcnn_benchmark.prediction_files.maps import MapFile, StrengthMaps
from maskrcnn_benchmark.structures.dense_map import BoundaryMap
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import Task, register_task


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

    def build_evaluator(self, vocabulary: Vocabulary, protocols: Protocols) -> Evaluator:
        return BoundaryEvaluator(self, vocabulary, protocols.edges)

    def trivial(self, vocabulary: Vocabulary) -> MeanMap:
        """How often an edge passes each place, relative to the most frequented one."""
        return MeanMap(self.key, _edges, finish=relative_frequency)

    # Files ------------------------------------------------------------------------------------------------------------

    def files(self) -> tuple[MapFile, ...]:
        encodings = {self.key: "PNG of 8 bits: probability of a boundary times 255"}
        return (StrengthMaps(self.key, text="a grey PNG per image: strength", encodings=encodings),)

    # Pictures ---------------------------------------------------------------------------------------------------------

    # Export -----------------------------------------------------------------------------------------------------------


class BoundaryEvaluator(Evaluator):
    """The Berkeley benchmark with PASCAL's tolerance of 0.0075 of the image diagonal (Martin et al. 2004).

    The prediction is reduced to ridges; at every threshold what reaches it is thinned and paired one to one with the
    thinned boundaries of each annotator. Recall counts the annotated pixels of all annotators that have a partner,
    precision the predicted pixels that have one with any annotator. Annotated boundaries are thinned as in seism
    (Pont-Tuset and Marques 2016), which the Berkeley program does not do: an exact map then scores exactly 1.

    Args:
        task: the task that is scored.
        vocabulary: the data set's names.
        protocol: by default that of published scores.
    """

    def __init__(self, task: Task, vocabulary: Vocabulary, protocol: EdgeProtocol | None = None) -> None:
        self.edge_protocol = protocol or EdgeProtocol()
        self.protocol = f"{self.edge_protocol}, annotated boundaries thinned"
        super().__init__(task, vocabulary)

    def record(self, stored: np.ndarray, target: ImageAnnotations) -> np.ndarray:
        """int32 [4, K]: annotated pixels with a partner, all of them, predicted ones with a partner, all of them."""
        levels = edge_levels(decode_strength(stored), self.edge_protocol)
        pixels, present = thin_levels(levels, self.edge_protocol.thresholds)
        matched = np.zeros_like(present)
        counts = np.zeros((4, len(present)), np.int32)
        for edges in target.boundary.annotators.cpu().numpy():
            truth = thin(edges > 0)
            near, partner = match_edges(pixels, present, truth, self.edge_protocol.max_distance)
            matched[:, near] |= partner >= 0
            counts[0] += (partner >= 0).sum(axis=1)
            counts[1] += np.count_nonzero(truth)
        counts[2], counts[3] = matched.sum(axis=1), present.sum(axis=1)
        return counts

    def summarize(self, records: list[np.ndarray]) -> Scores:
        if not records:
            return Scores(dict.fromkeys(METRICS, np.nan), reason="no image has annotated boundaries")
        curve = summarize_curves(*np.stack(records, axis=1), self.edge_protocol.conventions)
        if np.isnan(curve.metrics["ODS-F"]):
            return Scores(curve.metrics, reason="no annotated image has a boundary pixel")
        diagram = Curve(
            "boundary_precision_recall", "Boundaries", "recall", "precision", [curve.line("precision and recall")]
        )
        return Scores(curve.metrics, curves=[diagram])

    def image_score(self, record: np.ndarray) -> float:
        return best_f(record, self.edge_protocol.conventions)


def _edges(label: BoundaryMap) -> torch.Tensor:
    return label.edges[None].float()


BOUNDARY = register_task(Boundary())
