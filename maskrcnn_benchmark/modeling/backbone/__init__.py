"""Backbones: images in, feature maps out."""

from maskrcnn_benchmark.modeling.backbone.backbone import Backbone, build_backbone, promised_strides

__all__ = ["Backbone", "build_backbone", "promised_strides"]
