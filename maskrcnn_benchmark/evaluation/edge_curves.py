"""Precision-recall curves of edge maps and the figures read off them: ODS-F, OIS-F and AP."""

import numpy as np

# Points between two neighbouring thresholds at which F is looked up by linear interpolation (Martin et al. 2004)
_INTERPOLATION_STEPS = 100


def summarize_curves(matched_truth, total_truth, matched_predicted, total_predicted):
    """The figures of the Berkeley benchmark from pixel counts.

    ODS-F is the best F of the counts added over images, over thresholds and linear interpolations of precision and
    recall between neighbouring ones; OIS-F takes each image at its own best threshold; AP is the area under the
    interpolated curve, where recalls that the curve does not reach count as precision 0 (Arbelaez et al. 2011).

    Args:
        matched_truth, total_truth, matched_predicted, total_predicted: int [I, K], per image and threshold (ascending)
            the annotated edge pixels that have a partner, all annotated ones, and the same of predicted ones.

    Returns:
        {"ODS-F", "OIS-F", "AP"}: values in 0..1; nan for all where no image has an annotated edge.
    """
    counts = np.stack([matched_truth, total_truth, matched_predicted, total_predicted]).astype(np.float64)
    if counts[1].sum() == 0:
        return {"ODS-F": np.nan, "OIS-F": np.nan, "AP": np.nan}
    recall, precision = _recall_precision(counts.sum(axis=1))
    best = _f_measure(*_recall_precision(counts)).argmax(axis=1)
    at_best = np.take_along_axis(counts, best[None, :, None], axis=2).sum(axis=(1, 2))
    return {
        "ODS-F": float(_interpolated_f(recall, precision).max()),
        "OIS-F": float(_f_measure(*_recall_precision(at_best))),
        "AP": _average_precision(recall, precision),
    }


def _recall_precision(counts):
    """Recall and precision of counts [4, ...]; 0 where there is nothing to divide by."""
    matched_truth, total_truth, matched_predicted, total_predicted = counts
    return matched_truth / np.maximum(total_truth, 1), matched_predicted / np.maximum(total_predicted, 1)


def _f_measure(recall, precision):
    total = recall + precision
    return 2 * recall * precision / np.where(total > 0, total, 1.0)


def _interpolated_f(recall, precision):
    """F at the thresholds and at evenly spaced points on the straight lines between neighbours: float [M]."""
    if len(recall) == 1:
        return _f_measure(recall, precision)
    share = np.linspace(0, 1, _INTERPOLATION_STEPS)[:, None]
    return _f_measure(
        (1 - share) * recall[:-1] + share * recall[1:], (1 - share) * precision[:-1] + share * precision[1:]
    ).ravel()


def _average_precision(recall, precision):
    recall, first = np.unique(recall, return_index=True)
    grid = np.linspace(0, 1, 101)
    within = np.interp(grid, recall, precision[first], left=0.0, right=0.0)
    # The benchmark divides the sum over 101 points by 100; a perfect curve is capped at 1
    return float(min(within.sum() / 100, 1.0))
