"""RetinaNet: classes and boxes read straight from the anchors, in one stage."""

from maskrcnn_benchmark.modeling.rpn.retinanet.retinanet import build_retinanet

__all__ = ["build_retinanet"]
