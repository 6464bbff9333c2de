"""What becomes of this package's own operations in an ONNX graph. Needs onnxscript."""

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from onnxscript import FLOAT, INT64, opset18

from maskrcnn_benchmark.export import suppression  # noqa: F401, defines the operation

op: Any = opset18  # takes numbers and lists where its hints ask for tensors
Number = TypeVar("Number", bound=FLOAT | INT64)

ALL = 0x7FFFFFFFFFFFFFFF
NOT_IN_GROUP, LEAST_SCORE = -1.0, -0.5  # scores are 0 or more


def grouped_nms(boxes: FLOAT, scores: FLOAT, groups: INT64, num_groups: int, threshold: float) -> INT64:
    """`export.suppression.onnx_nms`: ONNX suppresses each class by itself, so that groups need not be moved apart."""
    every_group = op.Unsqueeze(op.Range(0, num_groups, 1), [1])
    is_in_group = op.Equal(op.Unsqueeze(groups, [0]), every_group)
    by_group = op.Where(is_in_group, op.Unsqueeze(scores, [0]), NOT_IN_GROUP)
    kept = op.NonMaxSuppression(op.Unsqueeze(boxes, [0]), op.Unsqueeze(by_group, [0]), ALL, threshold, LEAST_SCORE)
    index = op.Reshape(op.Slice(kept, [2], [3], [1]), [-1])
    _, order = op.TopK(op.Gather(scores, index), op.Shape(index))
    return op.Gather(index, order)


def stable_sort(values: Number, stable: bool = True, dim: int = -1, descending: bool = False) -> tuple[Number, INT64]:
    """aten::sort.stable by ONNX's TopK, which puts the first of equal values first."""
    count = op.Gather(op.Shape(values), [dim])
    return op.TopK(values, count, axis=dim, largest=descending, sorted=True)


TRANSLATIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.ops.maskrcnn_benchmark.grouped_nms.default: grouped_nms,
    torch.ops.aten.sort.stable: stable_sort,
}
