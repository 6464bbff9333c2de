"""Backbones: images in, feature maps out."""

from maskrcnn_benchmark.modeling.backbone.backbone import Backbone, bind_backbone, build_backbone, promised_strides
from maskrcnn_benchmark.modeling.backbone.timm_backbone import TimmBackbone

__all__ = ["Backbone", "TimmBackbone", "bind_backbone", "build_backbone", "promised_strides"]
