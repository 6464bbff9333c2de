"""Confusion matrices, kept sparse per image, and the metrics of segmentation read off them."""

from collections.abc import Iterable

import numpy as np

from maskrcnn_benchmark.evaluation.protocols import ALL
from maskrcnn_benchmark.structures.dense_map import IGNORE_INDEX
from maskrcnn_benchmark.utils.errors import UserError

_BYTES = 256


def count_pairs(
    ground_truth: np.ndarray, predicted: np.ndarray, num_classes: int, name: str = "the image"
) -> tuple[np.ndarray, np.ndarray]:
    """Count pixels per (true, predicted) pair of classes.

    Args:
        ground_truth: uint8 [...], class 0..num_classes - 1 of each pixel, or IGNORE_INDEX (255): it does not count.
        predicted: uint8 of the same shape, class 0..num_classes - 1.
        num_classes: at most 255.
        name: what an error calls the image.

    Returns:
        (cells uint16 [P], counts int64 [P]); cell = true * num_classes + predicted, pairs that occur only.

    Raises:
        UserError: the maps differ in size, or a value is none of the classes, even where it does not count.
    """
    if ground_truth.shape != predicted.shape:
        raise UserError(
            f"{name}: the predicted map is {predicted.shape} pixels (h, w), the annotated one {ground_truth.shape}"
        )
    for which, labels in (("annotated", ground_truth), ("predicted", predicted)):
        if labels.dtype != np.uint8:
            raise TypeError(f"{name}: the {which} map is {labels.dtype}, but maps of classes are uint8")
    # All values of a byte are counted at once, so that wrong ones are found without looking at the pixels again
    codes = ground_truth.astype(np.uint16)
    codes <<= 8
    codes |= predicted
    table = np.bincount(codes.reshape(-1), minlength=_BYTES**2).reshape(_BYTES, _BYTES)
    _refuse(table[:IGNORE_INDEX].any(axis=1), num_classes, f"{name}: the annotated map holds")
    _refuse(table.any(axis=0), num_classes, f"{name}: the predicted map holds")
    counts = table[:num_classes, :num_classes].reshape(-1)
    cells = np.flatnonzero(counts)
    return cells.astype(np.uint16), counts[cells]


def add_pairs(records: Iterable[tuple[np.ndarray, np.ndarray]], num_classes: int) -> np.ndarray:
    """Add what `count_pairs` returned for several images: int64 [num_classes, num_classes], rows are true classes."""
    total = np.zeros(num_classes**2, dtype=np.int64)
    for cells, counts in records:
        total[cells] += counts
    return total.reshape(num_classes, num_classes)


def intersection_over_union(confusion: np.ndarray) -> np.ndarray:
    """IoU per class: float [C], nan for classes that do not occur in the ground truth."""
    correct, true, predicted = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    union = true + predicted - correct
    return np.where(true > 0, correct / np.maximum(union, 1), np.nan)


def class_accuracy(confusion: np.ndarray) -> np.ndarray:
    """Recognized share of each class's pixels: float [C], nan for classes that do not occur in the ground truth."""
    true = confusion.sum(axis=1)
    return np.where(true > 0, np.diag(confusion) / np.maximum(true, 1), np.nan)


def mean_iou(confusion: np.ndarray) -> float:
    """Mean IoU over the classes that occur in the ground truth; nan where none does."""
    return mean_or_nan(intersection_over_union(confusion))


def mean_over_classes(values: np.ndarray, class_mean: str) -> float:
    """Mean of one number per class, nan for a class that never occurs.

    Args:
        values: float [C].
        class_mean: one of `protocols.CLASS_MEANS`: "annotated" leaves classes that never occur out, "all" counts them
            as 0. Where none occurs the mean is nan in either case.
    """
    if class_mean == ALL and not np.isnan(values).all():
        values = np.nan_to_num(values)
    return mean_or_nan(values)


def mean_or_nan(values: np.ndarray) -> float:
    """Mean of the values that are not nan; nan where there are none."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else np.nan


def _refuse(occurs, num_classes, what):
    wrong = num_classes + np.flatnonzero(occurs[num_classes:])
    if len(wrong):
        raise UserError(f"{what} the value {wrong[0]}, but there are only the {num_classes} classes from 0 on")
