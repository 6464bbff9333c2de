"""Occlusion recognition: where does one thing hide another, and which side is in front?"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from maskrcnn_benchmark.evaluation.edges.curves import METRICS, best_f, summarize_curves
from maskrcnn_benchmark.evaluation.edges.maps import edge_levels
from maskrcnn_benchmark.evaluation.edges.matching import match_edges
from maskrcnn_benchmark.evaluation.evaluator import Evaluator
from maskrcnn_benchmark.evaluation.protocols import EdgeProtocol, Protocols
from maskrcnn_benchmark.evaluation.scores import Curve, Scores
from maskrcnn_benchmark.evaluation.trivial import MeanMap, relative_frequency
from maskrcnn_benchmark.prediction_files.encodings import decode_strength, encode_strength
from maskrcnn_benchmark.prediction_files.maps import ArrayMaps, MapFile, StrengthMaps
from maskrcnn_benchmark.structures.dense_map import OcclusionMap
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction, ScoreMap
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import Task, register_task

# Name of a curve -> title, meaning of the vertical axis, its range
_CURVES = {
    "OPR": ("Occlusion edges with the occluder on the right side", "precision", (0.0, 1.0)),
    "EPR": ("Occlusion edges", "precision", (0.0, 1.0)),
    "AOR": ("Side of the occluder", "share of edges found with the right side", (0.5, 1.0)),
}

# The folder of directions is that of the edges with this behind its name
DIRECTION_SUFFIX = "_direction"
_DIRECTION_STEPS = 65534


@dataclass(frozen=True)
class OcclusionPrediction:
    """Occlusion edges of one image as they are stored.

    Attributes:
        strength: uint8 [H, W], strength * 255.
        direction: uint16 [H, W], see `encode_direction`.
    """

    strength: np.ndarray
    direction: np.ndarray


class Occlusion(Task):
    """Occlusion edges and their direction, which has the occluder on its left."""

    key = "occlusion"
    title = "occlusion recognition"
    switch = "OCCLUSION_ON"
    comment = "Task: occlusion edges, per image, on the dense features and a fine decoder"
    losses = ("loss_occlusion_edge", "loss_occlusion_direction")
    headline = "OPR-ODS-F"
    parameter_prefixes = ("fpn_heads.heads.occlusion.",)

    # Options ----------------------------------------------------------------------------------------------------------

    # Labels -----------------------------------------------------------------------------------------------------------

    # Network ----------------------------------------------------------------------------------------------------------

    # Evaluation -------------------------------------------------------------------------------------------------------

    def build_evaluator(self, vocabulary: Vocabulary, protocols: Protocols) -> Evaluator:
        return OcclusionEvaluator(self, vocabulary, protocols.edges)

    def trivial(self, vocabulary: Vocabulary) -> MeanMap:
        """How often an edge passes each place, relative to the most frequented one, with the mean direction."""
        return MeanMap(self.key, _directed_edges, finish=relative_frequency)

    # Files ------------------------------------------------------------------------------------------------------------

    def encode(self, prediction: ImagePrediction, vocabulary: Vocabulary) -> OcclusionPrediction:
        """Strengths and directions as whole numbers."""
        strength, sin, cos = self.output(prediction).scores.cpu().numpy()
        return OcclusionPrediction(encode_strength(strength), encode_direction(sin, cos))

    def files(self) -> tuple[MapFile, ...]:
        strength = "PNG of 8 bits: probability of an occlusion edge times 255"
        text = "a grey PNG per image: strength; directions in DIR_direction"
        direction = (
            "PNG of 16 bits: 0 no direction, else 1 + round(65534 theta / (2 pi)); theta = atan2(dy, dx) in 0..2 pi is "
            "the direction of the edge, x to the right, y down, with the object in front on its left"
        )
        name = f"{self.key}{DIRECTION_SUFFIX}"
        directions = ArrayMaps(name, dtype="uint16", what="directions", encodings={name: direction})
        beside = {DIRECTION_SUFFIX: directions}
        return (StrengthMaps(self.key, text=text, encodings={self.key: strength}, beside=beside),)

    def to_files(self, stored: OcclusionPrediction) -> dict[str, Any]:
        """The edges, with the directions beside them."""
        return {self.key: (stored.strength, stored.direction)}

    def from_files(self, held: dict[str, Any], size: tuple[int, int]) -> OcclusionPrediction:
        return OcclusionPrediction(*held[self.key])

    def decode(self, stored: OcclusionPrediction, size: tuple[int, int], vocabulary: Vocabulary) -> ScoreMap:
        """Probability of an edge, sin and cos of its direction."""
        planes = np.concatenate([decode_strength(stored.strength)[None], decode_direction(stored.direction)])
        return ScoreMap(torch.from_numpy(planes.astype(np.float32)), size)

    # Pictures ---------------------------------------------------------------------------------------------------------

    # Export -----------------------------------------------------------------------------------------------------------


class OcclusionEvaluator(Evaluator):
    """The three curves of PIOD (Wang and Yuille 2016, Wang et al. 2018): edges, directed edges, and directions alone.

    At every threshold predicted pixels are paired one to one with annotated ones. A pair is right if its directions are
    within 90 degrees, that is, with the occluder on the right side. All curves have the recall of edges, found whether
    or not they are right, as in the published program:

    EPR: precision is the share of predicted pixels that have a partner.
    OPR: precision is the share of predicted pixels that have a partner and are right.
    AOR: in place of precision, the share of predicted pixels with a partner that are right.

    As published the prediction is reduced to ridges but not thinned further. A predicted pixel without a direction is
    never right, save against an annotated one whose direction nobody knows: against that one nothing is wrong.

    Args:
        task: the task that is scored.
        vocabulary: the data set's names.
        protocol: by default that of published scores.
    """

    def __init__(self, task: Task, vocabulary: Vocabulary, protocol: EdgeProtocol | None = None) -> None:
        self.edge_protocol = protocol or EdgeProtocol()
        self.protocol = (
            f"{self.edge_protocol}, predicted edges not thinned, directions right within 90 degrees, "
            f"OPR and AOR with the recall of edges"
        )
        super().__init__(task, vocabulary)

    def record(self, stored: OcclusionPrediction, target: ImageAnnotations) -> np.ndarray:
        """int32 [4, K]: pairs, annotated pixels, right pairs, predicted pixels."""
        levels = edge_levels(decode_strength(stored.strength), self.edge_protocol).reshape(-1)
        pixels = np.flatnonzero(levels)
        present = levels[pixels] > np.arange(self.edge_protocol.thresholds)[:, None]
        truth = target.occlusion.edges.cpu().numpy() > 0
        near, partner = match_edges(pixels, present, truth, self.edge_protocol.max_distance)
        threshold, which = np.nonzero(partner >= 0)
        true = target.occlusion.direction.cpu().double().numpy().reshape(2, -1)[:, partner[threshold, which]]
        claimed = decode_direction(stored.direction.reshape(-1)[pixels[near]])[:, which]
        # Directions are within 90 degrees where their product is not negative
        right = ((claimed * true).sum(axis=0) >= 0) & claimed.any(axis=0) | ~true.any(axis=0)
        count = len(present)
        return np.stack(
            [
                np.bincount(threshold, minlength=count),
                np.full(count, np.count_nonzero(truth)),
                np.bincount(threshold[right], minlength=count),
                present.sum(axis=1),
            ]
        ).astype(np.int32)

    def summarize(self, records: list[np.ndarray]) -> Scores:
        if not records:
            metrics = {f"{name}-{metric}": np.nan for name in _CURVES for metric in _metrics(name)}
            return Scores(metrics, reason="no image has annotated occlusion edges")
        conventions = self.edge_protocol.conventions
        matched, annotated, right, predicted = np.stack(records, axis=1)
        curves = {
            "OPR": summarize_curves(matched, annotated, right, predicted, conventions),
            "EPR": summarize_curves(matched, annotated, matched, predicted, conventions),
            "AOR": summarize_curves(matched, annotated, right, matched, conventions),
        }
        metrics = {
            f"{name}-{metric}": curve.metrics[metric] for name, curve in curves.items() for metric in _metrics(name)
        }
        if np.isnan(metrics["EPR-ODS-F"]):
            return Scores(metrics, reason="no annotated image has an occlusion edge")
        diagrams = [
            Curve(f"occlusion_{name}", title, "recall", y_label, [_line(name, curves[name])], y_range)
            for name, (title, y_label, y_range) in _CURVES.items()
        ]
        return Scores(metrics, curves=diagrams)

    def image_score(self, record: np.ndarray) -> float:
        """The best F of the OPR curve."""
        return best_f(record, self.edge_protocol.conventions)


def _line(name, curve):
    """The line to draw; the best F of recall and an accuracy is no point that anyone looks for."""
    line = curve.line(name)
    return replace(line, best=None) if name == "AOR" else line


def _metrics(name):
    """The metrics of a curve that are reported; recall at a precision of 1/2 says nothing where that is an accuracy."""
    return [metric for metric in METRICS if not (name == "AOR" and metric == "R50")]


def _directed_edges(label: OcclusionMap) -> torch.Tensor:
    edges = label.edges[None].float()
    return torch.cat([edges, label.direction * edges])


def encode_direction(sin: np.ndarray, cos: np.ndarray) -> np.ndarray:
    """Directions as whole numbers: 0 where sin and cos are both 0, else 1 + round(65534 theta / 2 pi), 1 to 65534.

    Args:
        sin, cos: float [H, W], of any common positive length.

    Returns:
        uint16 [H, W].
    """
    turn = np.mod(np.arctan2(sin, cos) / (2 * np.pi), 1.0)
    return np.where((sin == 0) & (cos == 0), 0, 1 + np.rint(turn * _DIRECTION_STEPS) % _DIRECTION_STEPS).astype(
        np.uint16
    )


def decode_direction(code: np.ndarray) -> np.ndarray:
    """float64 [2, H, W], (sin theta, cos theta); both 0 where there is no direction."""
    theta = (code.astype(np.float64) - 1) * (2 * np.pi / _DIRECTION_STEPS)
    return np.stack([np.sin(theta), np.cos(theta)]) * (code > 0)


OCCLUSION = register_task(Occlusion())
