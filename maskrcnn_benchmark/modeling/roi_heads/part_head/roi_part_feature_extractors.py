"""From pooled regions to the features that the part predictor reads."""

from torch import nn
from yacs.config import CfgNode

from maskrcnn_benchmark.modeling import registry
from maskrcnn_benchmark.modeling.roi_heads.conv_stack import ConvStackFeatureExtractor


class PartRCNNFeatureExtractor(ConvStackFeatureExtractor):
    """3x3 convolutions on each pooled region (the plain baseline of Parsing R-CNN, Yang et al. 2019)."""

    layer_name = "part_fcn"
    section = "ROI_PART_HEAD"


registry.ROI_PART_FEATURE_EXTRACTORS.register("PartRCNNFeatureExtractor", PartRCNNFeatureExtractor.from_config)


def make_roi_part_feature_extractor(cfg: CfgNode, in_channels: int) -> nn.Module:
    """The extractor that MODEL.ROI_PART_HEAD.FEATURE_EXTRACTOR names."""
    return registry.ROI_PART_FEATURE_EXTRACTORS[cfg.MODEL.ROI_PART_HEAD.FEATURE_EXTRACTOR](cfg, in_channels)
