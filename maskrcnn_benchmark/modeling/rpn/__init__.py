"""Region proposals: feature maps in, boxes that may hold an object out."""

from maskrcnn_benchmark.modeling.rpn.rpn import build_rpn

__all__ = ["build_rpn"]
