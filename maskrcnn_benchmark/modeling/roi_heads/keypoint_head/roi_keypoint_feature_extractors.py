"""From pooled regions to the features that the keypoint predictor reads."""

from torch import nn
from yacs.config import CfgNode

from maskrcnn_benchmark.modeling import registry
from maskrcnn_benchmark.modeling.roi_heads.conv_stack import ConvStackFeatureExtractor


class KeypointRCNNFeatureExtractor(ConvStackFeatureExtractor):
    """Eight 3x3 convolutions on each pooled region (Mask R-CNN, He et al. 2017, section 5)."""

    layer_name = "conv_fcn"
    section = "ROI_KEYPOINT_HEAD"


registry.ROI_KEYPOINT_FEATURE_EXTRACTORS.register(
    "KeypointRCNNFeatureExtractor", KeypointRCNNFeatureExtractor.from_config
)


def make_roi_keypoint_feature_extractor(cfg: CfgNode, in_channels: int) -> nn.Module:
    """The extractor that MODEL.ROI_KEYPOINT_HEAD.FEATURE_EXTRACTOR names."""
    return registry.ROI_KEYPOINT_FEATURE_EXTRACTORS[cfg.MODEL.ROI_KEYPOINT_HEAD.FEATURE_EXTRACTOR](cfg, in_channels)
