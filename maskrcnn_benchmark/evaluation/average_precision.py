"""Average precision of a ranking in the definition of VOC 2010, and the curve that it is the area of."""

import numpy as np


def average_precision(scores: np.ndarray, positive: np.ndarray, count: int | None = None) -> float:
    """Area under the precision-recall curve made monotone, over all points (VOC 2010, Everingham et al. 2010).

    Items of equal score are one point of the curve, so that their order does not matter.

    Args:
        scores: float [M].
        positive: bool [M].
        count: how many positives there are, if some are not among the items; by default those among them.

    Returns:
        float in 0..1; nan where nothing is positive.
    """
    hits, envelope, count = _curve_points(scores, positive, count)
    return float(np.sum(np.diff(hits, prepend=0) * envelope) / count) if count else np.nan


def precision_at_recalls(scores: np.ndarray, positive: np.ndarray, recalls: np.ndarray) -> np.ndarray:
    """The largest precision at a recall of at least each of `recalls` [R]: float64 [R], 0 where it is never reached."""
    hits, envelope, count = _curve_points(scores, positive, None)
    # A hair less, because recalls are rounded fractions
    places = np.searchsorted(hits / max(count, 1), recalls - 1e-9)
    return np.append(envelope, 0.0)[places]


def _curve_points(scores, positive, count):
    """(hits int64 [Q] down to each distinct score, best precision float64 [Q] there or further down, positives)."""
    count = int(positive.sum()) if count is None else count
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    last_of_score = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)[: len(ranked)])
    hits = np.cumsum(positive[order])[last_of_score]
    precision = hits / (last_of_score + 1)
    return hits, np.maximum.accumulate(precision[::-1])[::-1], count
