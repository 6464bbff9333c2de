"""From pooled regions to the features that classify a box and refine it."""

from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn import functional as F
from yacs.config import CfgNode

from maskrcnn_benchmark.modeling import registry
from maskrcnn_benchmark.modeling.backbone.resnet import ResNetHead
from maskrcnn_benchmark.modeling.make_layers import group_norm, group_norm_factory, make_conv3x3, make_fc, norm_factory
from maskrcnn_benchmark.modeling.poolers import Pooler, make_pooler
from maskrcnn_benchmark.modeling.roi_heads.conv5 import build_conv5_head
from maskrcnn_benchmark.structures.bounding_box import BoxList


class ResNet50Conv5ROIFeatureExtractor(nn.Module):
    """The last stage of a ResNet on each pooled region (Faster R-CNN "C4", He et al. 2016).

    Args:
        pooler: `Pooler` over the C4 map.
        head: the stage; `head.out_channels` are its output channels.
    """

    def __init__(self, pooler: Pooler, head: ResNetHead) -> None:
        super().__init__()
        self.pooler = pooler
        self.head = head
        self.out_channels = head.out_channels

    @classmethod
    def from_config(cls, cfg: CfgNode, in_channels: int) -> "ResNet50Conv5ROIFeatureExtractor":
        return cls(make_pooler(cfg, "ROI_BOX_HEAD"), build_conv5_head(cfg, in_channels))

    def forward(self, x: Sequence[torch.Tensor], proposals: Sequence[BoxList]) -> torch.Tensor:
        """Feature maps and a list of `BoxList` -> [R, out_channels, side, side], image after image."""
        return self.head(self.pooler(x, proposals))


class FPN2MLPFeatureExtractor(nn.Module):
    """Two fully connected layers on each pooled region (FPN, Lin et al. 2017).

    Args:
        in_channels: channels of the feature maps.
        pooler: `Pooler`.
        hidden_dim: width of both layers.
        use_gn: group norm after each layer.
        group_norm: function channels -> normalisation layer.
    """

    def __init__(
        self,
        in_channels: int,
        pooler: Pooler,
        hidden_dim: int,
        use_gn: bool = False,
        group_norm: Callable[[int], nn.Module] = group_norm,
    ) -> None:
        super().__init__()
        self.pooler = pooler
        cells = pooler.output_size[0] * pooler.output_size[1]
        self.fc6 = make_fc(in_channels * cells, hidden_dim, use_gn, group_norm)
        self.fc7 = make_fc(hidden_dim, hidden_dim, use_gn, group_norm)
        self.out_channels = hidden_dim

    @classmethod
    def from_config(cls, cfg: CfgNode, in_channels: int) -> "FPN2MLPFeatureExtractor":
        node = cfg.MODEL.ROI_BOX_HEAD
        return cls(
            in_channels, make_pooler(cfg, "ROI_BOX_HEAD"), node.MLP_HEAD_DIM, node.USE_GN, group_norm_factory(cfg)
        )

    def forward(self, x: Sequence[torch.Tensor], proposals: Sequence[BoxList]) -> torch.Tensor:
        """Feature maps and a list of `BoxList` -> [R, out_channels], image after image."""
        x = self.pooler(x, proposals).flatten(1)
        return F.relu_(self.fc7(F.relu_(self.fc6(x))))


class FPNXconv1fcFeatureExtractor(nn.Module):
    """Convolutions and one fully connected layer on each pooled region (Group Normalization, Wu and He 2018).

    Args:
        in_channels: channels of the feature maps.
        pooler: `Pooler`.
        conv_dim, num_convs: width and number of the 3x3 convolutions.
        hidden_dim: width of the fully connected layer.
        use_gn: a norm after each convolution, which `group_norm` makes: of any kind.
        dilation: of the convolutions.
        group_norm: function channels -> normalisation layer.
    """

    def __init__(
        self,
        in_channels: int,
        pooler: Pooler,
        conv_dim: int,
        num_convs: int,
        hidden_dim: int,
        use_gn: bool = False,
        dilation: int = 1,
        group_norm: Callable[[int], nn.Module] = group_norm,
    ) -> None:
        super().__init__()
        self.pooler = pooler
        layers = []
        for index in range(num_convs):
            block = make_conv3x3(
                in_channels if index == 0 else conv_dim,
                conv_dim,
                dilation,
                use_gn=use_gn,
                kaiming_init=False,
                group_norm=group_norm,
            )
            # One flat list, as the original's: its state dict counts convolution, norm and ReLU in one row
            layers += [*block.children(), nn.ReLU()] if use_gn else [block, nn.ReLU()]
        self.xconvs = nn.Sequential(*layers)
        cells = pooler.output_size[0] * pooler.output_size[1]
        self.fc6 = make_fc((conv_dim if num_convs else in_channels) * cells, hidden_dim)
        self.out_channels = hidden_dim

    @classmethod
    def from_config(cls, cfg: CfgNode, in_channels: int) -> "FPNXconv1fcFeatureExtractor":
        node = cfg.MODEL.ROI_BOX_HEAD
        norm = norm_factory(cfg, node)
        return cls(
            in_channels,
            make_pooler(cfg, "ROI_BOX_HEAD"),
            node.CONV_HEAD_DIM,
            node.NUM_STACKED_CONVS,
            node.MLP_HEAD_DIM,
            norm is not None,
            node.DILATION,
            norm or group_norm_factory(cfg),
        )

    def forward(self, x: Sequence[torch.Tensor], proposals: Sequence[BoxList]) -> torch.Tensor:
        """Feature maps and a list of `BoxList` -> [R, out_channels], image after image."""
        x = self.xconvs(self.pooler(x, proposals)).flatten(1)
        return F.relu_(self.fc6(x))


for extractor in (ResNet50Conv5ROIFeatureExtractor, FPN2MLPFeatureExtractor, FPNXconv1fcFeatureExtractor):
    registry.ROI_BOX_FEATURE_EXTRACTORS.register(extractor.__name__, extractor.from_config)


def make_roi_box_feature_extractor(cfg: CfgNode, in_channels: int) -> nn.Module:
    """The extractor that MODEL.ROI_BOX_HEAD.FEATURE_EXTRACTOR names."""
    return registry.ROI_BOX_FEATURE_EXTRACTORS[cfg.MODEL.ROI_BOX_HEAD.FEATURE_EXTRACTOR](cfg, in_channels)
