"""Boundary detection: ODS-F, OIS-F and AP of thinned edge maps against annotated boundaries."""

import numpy as np

from maskrcnn_benchmark.evaluation.answers import decode_strength, encode_strength
from maskrcnn_benchmark.evaluation.edge_curves import summarize_curves
from maskrcnn_benchmark.evaluation.edge_maps import suppress_non_maxima, thin
from maskrcnn_benchmark.evaluation.edge_matching import edge_thresholds, match_edges
from maskrcnn_benchmark.evaluation.evaluator import Evaluator
from maskrcnn_benchmark.evaluation.protocols import EdgeProtocol
from maskrcnn_benchmark.evaluation.scores import Scores


class BoundaryEvaluator(Evaluator):
    """The Berkeley benchmark with PASCAL's tolerance of 0.0075 of the image diagonal (Martin et al. 2004).

    The prediction is reduced to ridges and thinned, annotated boundaries are thinned, then pixels are paired one to
    one. Thinning happens once, on all ridges above the lowest threshold, not again at every threshold as published:
    ridges are nearly one pixel wide already (on synthetic maps the best F moves by less than 0.001, F at any one
    threshold by less than 0.01), and sets that shrink with the threshold allow a single assignment for all of them.
    An exact map scores a little below 1: ridges break up at junctions and fade at the image's border.

    Args:
        protocol: the `EdgeProtocol`; by default that of published figures.
    """

    task = "boundary"

    def __init__(self, protocol=None):
        self.edge_protocol = protocol or EdgeProtocol()
        self.thresholds = edge_thresholds(self.edge_protocol.thresholds)
        super().__init__()

    def answer(self, prediction):
        return encode_strength(self.member(prediction, "boundary").scores[0].cpu().numpy())

    def record(self, answer, target):
        strength = suppress_non_maxima(decode_strength(answer))
        levels = edge_levels(strength, self.thresholds)
        levels[~thin(levels > 0)] = 0
        truth = thin(target.boundary.edges.cpu().numpy() > 0)
        predicted, _ = match_edges(levels, truth)
        return (
            count_reaching(levels.reshape(-1)[predicted], len(self.thresholds)),
            count_reaching(levels, len(self.thresholds)),
            np.count_nonzero(truth),
        )

    def summarize(self, records):
        if not records:
            return Scores({"ODS-F": np.nan, "OIS-F": np.nan, "AP": np.nan})
        matched, total_predicted, total_truth = (np.stack(column) for column in zip(*records))
        # One to one: as many annotated as predicted pixels have a partner
        return Scores(summarize_curves(matched, _per_threshold(total_truth, matched), matched, total_predicted))


def edge_levels(strength, thresholds):
    """How many of the ascending thresholds each pixel reaches: int64 [H, W] in 0..K."""
    return np.searchsorted(thresholds, strength, side="right")


def count_reaching(levels, num_thresholds):
    """How many of the pixels reach each threshold: int64 [K] for levels of any shape in 0..K."""
    histogram = np.bincount(levels.reshape(-1), minlength=num_thresholds + 1)
    return histogram[:0:-1].cumsum()[::-1]


def _per_threshold(per_image, like):
    return np.broadcast_to(per_image[:, None], like.shape)
