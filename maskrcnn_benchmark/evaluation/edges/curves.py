"""Precision-recall curves of edge maps and the metrics read off them: ODS-F, OIS-F, AP and R50."""

from dataclasses import dataclass

import numpy as np

from maskrcnn_benchmark.evaluation.protocols import BSDS, SEISM
from maskrcnn_benchmark.evaluation.scores import Line

METRICS = ("ODS-F", "OIS-F", "AP", "R50")

# Points between two neighbouring thresholds at which F is looked up by linear interpolation (Martin et al. 2004)
_INTERPOLATION_STEPS = 100


@dataclass(frozen=True)
class EdgeCurve:
    """A precision-recall curve over the thresholds, ascending.

    Attributes:
        metrics: {name of `METRICS`: value in 0..1}, nan for all where no image has an annotated edge.
        recall, precision: float64 [K].
        predicted: int [K], predicted edge pixels of all images; where there are none, precision is a convention.
        best: (recall, precision) of the point with the best F, which is ODS-F.
    """

    metrics: dict
    recall: np.ndarray
    precision: np.ndarray
    predicted: np.ndarray
    best: tuple[float, float]

    def line(self, label: str) -> Line:
        """The `Line` to draw, over the thresholds at which anything is predicted, by rising recall."""
        drawn = self.predicted > 0
        best = self.best if self.metrics["ODS-F"] > 0 else None
        return Line(label, self.recall[drawn][::-1], self.precision[drawn][::-1], best)


def summarize_curves(
    matched_annotated: np.ndarray,
    total_annotated: np.ndarray,
    matched_predicted: np.ndarray,
    total_predicted: np.ndarray,
    conventions: str = BSDS,
) -> EdgeCurve:
    """The metrics of the Berkeley benchmark from pixel counts.

    ODS-F is the best F of the counts added over images; OIS-F takes each image at its own best threshold. AP is the
    area under the linearly interpolated curve, where recalls that the curve does not reach count as precision 0
    (Arbelaez et al. 2011). R50 is the greatest recall at which the interpolated precision is at least 1/2.

    Conventions "bsds": ODS-F is over thresholds and linear interpolations of precision and recall between neighbouring
    ones; nothing predicted is a precision of 0. "seism": over thresholds alone; nothing predicted is a precision of 1,
    nothing annotated a recall of 1 and a precision of 0.

    The published programs give a curve that is a single point, such as that of a yes/no map, an AP of 0 for want of
    anything to interpolate. Here it is the area of the rectangle below that point, so that an exact map has an AP of 1.

    Args:
        matched_annotated, total_annotated, matched_predicted, total_predicted: int [I, K], per image and threshold
            (ascending) the annotated edge pixels that have a partner, all annotated ones, and the same of predicted
            ones.
        conventions: "bsds" or "seism".

    Returns:
        `EdgeCurve`.
    """
    counts = np.stack([matched_annotated, total_annotated, matched_predicted, total_predicted]).astype(np.float64)
    total = counts.sum(axis=1)
    recall, precision = _recall_precision(total, conventions)
    if total[1].sum() == 0:
        return EdgeCurve(dict.fromkeys(METRICS, np.nan), recall, precision, total[3], (np.nan, np.nan))
    best = _f_measure(*_recall_precision(counts, conventions)).argmax(axis=1)
    at_best = np.take_along_axis(counts, best[None, :, None], axis=2).sum(axis=(1, 2))
    if conventions == SEISM:
        candidates = recall, precision
    else:
        candidates = _between(recall), _between(precision)
    f = _f_measure(*candidates)
    ods = f.argmax()
    metrics = {
        "ODS-F": float(f[ods]),
        "OIS-F": float(_f_measure(*_recall_precision(at_best, conventions))),
        "AP": _average_precision(recall, precision),
        "R50": _recall_at_precision(recall, precision, 0.5),
    }
    return EdgeCurve(metrics, recall, precision, total[3], (float(candidates[0][ods]), float(candidates[1][ods])))


def best_f(counts: np.ndarray, conventions: str = BSDS) -> float:
    """The best F over thresholds of one image: float; nan where it has no annotated edge.

    Args:
        counts: int [4, K] in the order of `summarize_curves`.
    """
    if not np.any(counts[1]):
        return np.nan
    return float(_f_measure(*_recall_precision(np.asarray(counts, np.float64), conventions)).max())


def _f_measure(recall, precision):
    """The harmonic mean of recall and precision; 0 where both are."""
    total = recall + precision
    return 2 * recall * precision / np.where(total > 0, total, 1.0)


def _recall_precision(counts, conventions):
    """Recall and precision of counts [4, ...]; see `summarize_curves` for where there is nothing to divide by."""
    matched_annotated, total_annotated, matched_predicted, total_predicted = counts
    recall = matched_annotated / np.maximum(total_annotated, 1)
    precision = matched_predicted / np.maximum(total_predicted, 1)
    if conventions == SEISM:
        precision = np.where(total_predicted == 0, 1.0, precision)
        recall, precision = np.where(total_annotated == 0, 1.0, recall), np.where(total_annotated == 0, 0.0, precision)
    return recall, precision


def _between(values):
    """Values at the thresholds and at evenly spaced points on the straight lines between neighbours: float [M]."""
    if len(values) == 1:
        return values
    share = np.linspace(0, 1, _INTERPOLATION_STEPS)[:, None]
    return ((1 - share) * values[:-1] + share * values[1:]).ravel()


def _average_precision(recall, precision):
    recall, first = np.unique(recall, return_index=True)
    if len(recall) == 1:
        return float(recall[0] * precision[first[0]])
    within = np.interp(np.linspace(0, 1, 101), recall, precision[first], left=0.0, right=0.0)
    # The benchmark divides the sum over 101 points by 100; a perfect curve is capped at 1
    return float(min(within.sum() / 100, 1.0))


def _recall_at_precision(recall, precision, least):
    """The greatest recall on the line through the curve's points at which precision is at least `least`, or 0."""
    enough = precision >= least
    found = recall[enough].max(initial=0.0)
    crossing = np.flatnonzero(enough[1:] != enough[:-1])
    share = (least - precision[crossing]) / (precision[crossing + 1] - precision[crossing])
    return float(max(found, ((1 - share) * recall[crossing] + share * recall[crossing + 1]).max(initial=0.0)))
