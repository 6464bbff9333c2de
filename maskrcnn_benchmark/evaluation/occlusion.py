"""Occlusion boundaries: are they found, and is the occluder on the side that is claimed."""

import numpy as np

from maskrcnn_benchmark.evaluation.answers import (
    OcclusionAnswer,
    decode_direction,
    decode_strength,
    encode_direction,
    encode_strength,
)
from maskrcnn_benchmark.evaluation.boundary import count_reaching, edge_levels
from maskrcnn_benchmark.evaluation.edge_curves import summarize_curves
from maskrcnn_benchmark.evaluation.edge_maps import suppress_non_maxima
from maskrcnn_benchmark.evaluation.edge_matching import edge_thresholds, match_edges
from maskrcnn_benchmark.evaluation.evaluator import Evaluator
from maskrcnn_benchmark.evaluation.protocols import EdgeProtocol
from maskrcnn_benchmark.evaluation.scores import Scores


class OcclusionEvaluator(Evaluator):
    """The two curves of PIOD (Wang and Yuille 2016, Wang et al. 2018): edges (EPR) and directed edges (OPR).

    Both have the recall of edges; in OPR the precision counts only predicted pixels whose direction is within 90
    degrees of that of their partner, that is, with the occluder on the right side. As published the prediction is
    reduced to ridges but not thinned further, and 0.0075 of the image diagonal is tolerated. The published protocol
    makes an assignment per threshold; the one for all thresholds here has the same number of pairs at each of them,
    though among equally many it may pair a pixel with another close by.

    Args:
        protocol: the `EdgeProtocol`; by default that of published figures.
    """

    task = "occlusion"

    def __init__(self, protocol=None):
        self.edge_protocol = protocol or EdgeProtocol()
        self.thresholds = edge_thresholds(self.edge_protocol.thresholds)
        super().__init__()

    def answer(self, prediction):
        strength, sin, cos = self.member(prediction, "occlusion").scores.cpu().numpy()
        return OcclusionAnswer(encode_strength(strength), encode_direction(sin, cos))

    def record(self, answer, target):
        levels = edge_levels(suppress_non_maxima(decode_strength(answer.strength)), self.thresholds)
        truth = target.occlusion.edges.cpu().numpy() > 0
        predicted, annotated = match_edges(levels, truth)
        level = levels.reshape(-1)[predicted]
        claimed = decode_direction(answer.direction.reshape(-1)[predicted])
        true = target.occlusion.direction.cpu().double().numpy().reshape(2, -1)[:, annotated]
        # Directions are within 90 degrees where their product is not negative; no direction at all is not a right one
        right = ((claimed * true).sum(axis=0) >= 0) & claimed.any(axis=0)
        counts = (count_reaching(group, len(self.thresholds)) for group in (level, level[right], levels))
        return (*counts, np.count_nonzero(truth))

    def summarize(self, records):
        names = ("ODS-F", "OIS-F", "AP")
        if not records:
            return Scores({f"{curve}-{name}": np.nan for curve in ("EPR", "OPR") for name in names})
        matched, right, total_predicted, total_truth = (np.stack(column) for column in zip(*records))
        total_truth = np.broadcast_to(total_truth[:, None], matched.shape)
        curves = {
            "EPR": summarize_curves(matched, total_truth, matched, total_predicted),
            "OPR": summarize_curves(matched, total_truth, right, total_predicted),
        }
        return Scores({f"{curve}-{name}": values[name] for curve, values in curves.items() for name in names})
