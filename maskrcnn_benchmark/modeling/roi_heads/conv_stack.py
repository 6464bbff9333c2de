"""A stack of 3x3 convolutions on pooled features, which the mask, keypoint and part heads share."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import nn
from torch.nn import functional as F
from yacs.config import CfgNode

from maskrcnn_benchmark.modeling.make_layers import group_norm, make_conv3x3, norm_factory
from maskrcnn_benchmark.modeling.poolers import Pooler, make_pooler
from maskrcnn_benchmark.structures.bounding_box import BoxList

Kind = TypeVar("Kind", bound="ConvStackFeatureExtractor")


class ConvStackFeatureExtractor(nn.Module):
    """Pools each box, then applies convolutions with ReLU between.

    Subclasses set `layer_name`, under which the convolutions stand in the state dict: mask_fcn1, mask_fcn2, ..., and
    `section`, the options under MODEL from which `from_config` makes them.

    Args:
        in_channels: channels of the feature maps.
        pooler: `Pooler`.
        layers: output channels of each convolution.
        dilation: of every convolution.
        use_gn: a norm after each convolution, which `group_norm` makes: of any kind.
        group_norm: function channels -> normalisation layer.
    """

    layer_name = "fcn"
    section = ""

    def __init__(
        self,
        in_channels: int,
        pooler: Pooler,
        layers: Sequence[int],
        dilation: int = 1,
        use_gn: bool = False,
        group_norm: Callable[[int], nn.Module] = group_norm,
    ) -> None:
        super().__init__()
        self.pooler = pooler
        self.blocks = []
        for index, channels in enumerate(layers, 1):
            name = f"{self.layer_name}{index}"
            self.add_module(name, make_conv3x3(in_channels, channels, dilation, use_gn=use_gn, group_norm=group_norm))
            self.blocks.append(name)
            in_channels = channels
        self.out_channels = in_channels

    @classmethod
    def from_config(cls: type[Kind], cfg: CfgNode, in_channels: int) -> Kind:
        """From CONV_LAYERS, NORM and, where the section has it, DILATION."""
        node = cfg.MODEL[cls.section]
        norm = norm_factory(cfg, node)
        pooler = make_pooler(cfg, cls.section)
        return cls(in_channels, pooler, node.CONV_LAYERS, node.get("DILATION", 1), norm is not None, norm or group_norm)

    def forward(self, x: Sequence[torch.Tensor], proposals: Sequence[BoxList]) -> torch.Tensor:
        """Feature maps and a list of `BoxList` -> [R, out_channels, side, side], image after image."""
        pooled = self.pooler(x, proposals)
        for name in self.blocks:
            pooled = F.relu_(getattr(self, name)(pooled))
        return pooled
