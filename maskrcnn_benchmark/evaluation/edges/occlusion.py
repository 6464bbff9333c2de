"""Occlusion boundaries: are they found, and is the occluder on the side that is claimed."""

from dataclasses import replace

import numpy as np

from maskrcnn_benchmark.evaluation.edges.curves import FIGURES, best_f, summarize_curves
from maskrcnn_benchmark.evaluation.edges.maps import edge_levels
from maskrcnn_benchmark.evaluation.edges.matching import match_edges
from maskrcnn_benchmark.evaluation.evaluator import Evaluator
from maskrcnn_benchmark.evaluation.protocols import EdgeProtocol
from maskrcnn_benchmark.evaluation.scores import Curve, Scores
from maskrcnn_benchmark.prediction_files.encodings import decode_strength, encode_strength
from maskrcnn_benchmark.tasks.occlusion import OcclusionPrediction, decode_direction, encode_direction

# Name of a curve -> title, meaning of the vertical axis, its range
_CURVES = {
    "OPR": ("Occlusion edges with the occluder on the right side", "precision", (0.0, 1.0)),
    "EPR": ("Occlusion edges", "precision", (0.0, 1.0)),
    "AOR": ("Side of the occluder", "share of edges found with the right side", (0.5, 1.0)),
}


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
        protocol: the `EdgeProtocol`; by default that of published figures.
    """

    task = "occlusion"

    def __init__(self, protocol=None):
        self.edge_protocol = protocol or EdgeProtocol()
        self.protocol = (
            f"{self.edge_protocol}, predicted edges not thinned, directions right within 90 degrees, "
            f"OPR and AOR with the recall of edges"
        )
        super().__init__()

    def answer(self, prediction):
        strength, sin, cos = self.member(prediction, "occlusion").scores.cpu().numpy()
        return OcclusionPrediction(encode_strength(strength), encode_direction(sin, cos))

    def record(self, answer, target):
        """int32 [4, K]: pairs, annotated pixels, right pairs, predicted pixels."""
        levels = edge_levels(decode_strength(answer.strength), self.edge_protocol).reshape(-1)
        pixels = np.flatnonzero(levels)
        present = levels[pixels] > np.arange(self.edge_protocol.thresholds)[:, None]
        truth = target.occlusion.edges.cpu().numpy() > 0
        near, partner = match_edges(pixels, present, truth, self.edge_protocol.max_distance)
        threshold, which = np.nonzero(partner >= 0)
        true = target.occlusion.direction.cpu().double().numpy().reshape(2, -1)[:, partner[threshold, which]]
        claimed = decode_direction(answer.direction.reshape(-1)[pixels[near]])[:, which]
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

    def summarize(self, records):
        if not records:
            figures = {f"{name}-{figure}": np.nan for name in _CURVES for figure in _figures(name)}
            return Scores(figures, reason="no image has annotated occlusion edges")
        conventions = self.edge_protocol.conventions
        matched, annotated, right, predicted = np.stack(records, axis=1)
        curves = {
            "OPR": summarize_curves(matched, annotated, right, predicted, conventions),
            "EPR": summarize_curves(matched, annotated, matched, predicted, conventions),
            "AOR": summarize_curves(matched, annotated, right, matched, conventions),
        }
        figures = {
            f"{name}-{figure}": curve.figures[figure] for name, curve in curves.items() for figure in _figures(name)
        }
        if np.isnan(figures["EPR-ODS-F"]):
            return Scores(figures, reason="no annotated image has an occlusion edge")
        diagrams = [
            Curve(f"occlusion_{name}", title, "recall", y_label, [_line(name, curves[name])], y_range)
            for name, (title, y_label, y_range) in _CURVES.items()
        ]
        return Scores(figures, curves=diagrams)

    def image_score(self, record):
        """The best F of the OPR curve."""
        return best_f(record, self.edge_protocol.conventions)


def _line(name, curve):
    """The line to draw; the best F of recall and an accuracy is no point that anyone looks for."""
    line = curve.line(name)
    return replace(line, best=None) if name == "AOR" else line


def _figures(name):
    """The figures of a curve that are reported; recall at a precision of 1/2 says nothing where that is an accuracy."""
    return [figure for figure in FIGURES if not (name == "AOR" and figure == "R50")]
