"""Backbones: images in, feature maps out."""

from maskrcnn_benchmark.modeling.backbone.backbone import Backbone, build_backbone, promised_strides
from maskrcnn_benchmark.modeling.backbone.timm_backbone import TimmBackbone

__all__ = ["Backbone", "TimmBackbone", "build_backbone", "promised_strides"]
