"""From pooled regions to the features that the mask predictor reads."""

from torch import nn
from yacs.config import CfgNode

from maskrcnn_benchmark.modeling import registry
from maskrcnn_benchmark.modeling.poolers import make_pooler
from maskrcnn_benchmark.modeling.roi_heads.box_head.roi_box_feature_extractors import ResNet50Conv5ROIFeatureExtractor
from maskrcnn_benchmark.modeling.roi_heads.conv5 import build_conv5_head
from maskrcnn_benchmark.modeling.roi_heads.conv_stack import ConvStackFeatureExtractor


class MaskRCNNFPNFeatureExtractor(ConvStackFeatureExtractor):
    """Four 3x3 convolutions on each pooled region (Mask R-CNN, He et al. 2017)."""

    layer_name = "mask_fcn"
    section = "ROI_MASK_HEAD"


def _conv5_from_config(cfg: CfgNode, in_channels: int) -> ResNet50Conv5ROIFeatureExtractor:
    return ResNet50Conv5ROIFeatureExtractor(make_pooler(cfg, "ROI_MASK_HEAD"), build_conv5_head(cfg, in_channels))


registry.ROI_MASK_FEATURE_EXTRACTORS.register("MaskRCNNFPNFeatureExtractor", MaskRCNNFPNFeatureExtractor.from_config)
registry.ROI_MASK_FEATURE_EXTRACTORS.register("ResNet50Conv5ROIFeatureExtractor", _conv5_from_config)


def make_roi_mask_feature_extractor(cfg: CfgNode, in_channels: int) -> nn.Module:
    """The extractor that MODEL.ROI_MASK_HEAD.FEATURE_EXTRACTOR names."""
    return registry.ROI_MASK_FEATURE_EXTRACTORS[cfg.MODEL.ROI_MASK_HEAD.FEATURE_EXTRACTOR](cfg, in_channels)
