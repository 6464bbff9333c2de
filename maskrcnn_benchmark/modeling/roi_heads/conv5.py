"""The last stage of a ResNet as a region head, for the C4 models."""

from yacs.config import CfgNode

from maskrcnn_benchmark.modeling.backbone.resnet import ResNetHead, StageSpec
from maskrcnn_benchmark.modeling.make_layers import group_norm_factory
from maskrcnn_benchmark.utils.errors import UserError

# layer4 of ResNet-50, -101 and -152
CONV5 = StageSpec(index=4, block_count=3, return_features=False)


def build_conv5_head(cfg: CfgNode, in_channels: int) -> ResNetHead:
    """layer4 as MODEL.RESNETS describes it. Raises `UserError` when the backbone's features are not those of layer3."""
    node = cfg.MODEL.RESNETS
    expected = node.RES2_OUT_CHANNELS * 4
    if in_channels != expected:
        raise UserError(
            f"ResNet50Conv5ROIFeatureExtractor continues a backbone's layer3, which has {expected} channels, but "
            f"MODEL.BACKBONE.CONV_BODY {cfg.MODEL.BACKBONE.CONV_BODY} gives {in_channels}; take a -C4 backbone with "
            f"MODEL.RESNETS.BACKBONE_OUT_CHANNELS {expected}, or an FPN extractor"
        )
    return ResNetHead(
        block_module=node.TRANS_FUNC,
        stages=(CONV5,),
        num_groups=node.NUM_GROUPS,
        width_per_group=node.WIDTH_PER_GROUP,
        stride_in_1x1=node.STRIDE_IN_1X1,
        res2_out_channels=node.RES2_OUT_CHANNELS,
        dilation=node.RES5_DILATION,
        group_norm=group_norm_factory(cfg),
    )
