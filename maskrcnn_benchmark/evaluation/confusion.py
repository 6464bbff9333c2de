"""Confusion matrices, kept sparse per image, and the figures of segmentation read off them."""

import numpy as np


def count_pairs(truth, predicted, num_classes):
    """Count pixels per (true, predicted) pair of classes.

    Args:
        truth, predicted: int [M], classes 0..num_classes - 1 of the pixels that count.

    Returns:
        (cells, counts): int64 [P] each; cell = true * num_classes + predicted, pairs that occur only.
    """
    for name, labels in (("annotated", truth), ("predicted", predicted)):
        if labels.size and (labels.min() < 0 or labels.max() >= num_classes):
            raise ValueError(f"{name} classes reach {labels.min()}..{labels.max()}, there are {num_classes} classes")
    counts = np.bincount(truth.astype(np.int64) * num_classes + predicted, minlength=num_classes**2)
    cells = np.flatnonzero(counts)
    return cells, counts[cells]


def add_pairs(records, num_classes):
    """Add what `count_pairs` returned for several images: int64 [num_classes, num_classes], rows are true classes."""
    total = np.zeros(num_classes**2, dtype=np.int64)
    for cells, counts in records:
        total[cells] += counts
    return total.reshape(num_classes, num_classes)


def intersection_over_union(confusion):
    """IoU per class: float [C], nan for classes that do not occur in the truth."""
    correct, true, predicted = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    union = true + predicted - correct
    return np.where(true > 0, correct / np.maximum(union, 1), np.nan)


def mean_iou(confusion):
    """Mean IoU over the classes that occur in the truth; nan where none does."""
    return mean_or_nan(intersection_over_union(confusion))


def mean_or_nan(values):
    """Mean of the values that are not nan; nan where there are none."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else np.nan
