"""The last layers of the mask head: one map of logits per class."""

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from yacs.config import CfgNode

from maskrcnn_benchmark.layers import Conv2d, ConvTranspose2d
from maskrcnn_benchmark.modeling import registry
from maskrcnn_benchmark.modeling.roi_heads.box_head.roi_box_predictors import AGNOSTIC_CLASSES
from maskrcnn_benchmark.modeling.roi_heads.fill import msra_fill

# Without a gradient to keep them for, the enlarged features of so many regions stay in the processor's cache
REGIONS_AT_ONCE = 32


class MaskPredictor(nn.Module):
    """A predictor that ends in a 1x1 convolution, `mask_fcn_logits`, after whatever `hidden` does."""

    mask_fcn_logits: Any

    def hidden(self, x: torch.Tensor) -> torch.Tensor:
        """[R, in_channels, s, s] -> what the last convolution reads, [R, C, M, M]."""
        return x

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[R, in_channels, s, s] -> logits [R, num_classes, M, M]."""
        return self.mask_fcn_logits(self.hidden(x))

    def of_labels(self, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """As `forward`, but only the map of one class for each region: a region's mask is that of its own class.

        Args:
            x: [R, in_channels, s, s].
            labels: int64 [R].

        Returns:
            logits [R, M, M].
        """
        if not torch.is_grad_enabled() and len(x) > REGIONS_AT_ONCE:
            parts = zip(x.split(REGIONS_AT_ONCE), labels.split(REGIONS_AT_ONCE))
            return torch.cat([self.of_labels(*part) for part in parts])
        x, last = self.hidden(x), self.mask_fcn_logits
        weight, bias = last.weight.flatten(1)[labels], last.bias[labels][:, None, None]
        if x.is_contiguous(memory_format=torch.channels_last):  # read as it lies, so that its gradient lies likewise
            maps = torch.baddbmm(bias, x.permute(0, 2, 3, 1).flatten(1, 2), weight[:, :, None])
        else:
            maps = torch.baddbmm(bias, weight[:, None], x.flatten(2))
        return maps.view(x.shape[0], *x.shape[2:])


class MaskRCNNC4Predictor(MaskPredictor):
    """Twice the resolution by a transposed convolution, then a 1x1 convolution to the classes.

    Args:
        in_channels, hidden_channels: channels before and after the transposed convolution.
        num_classes: classes, background (0) included.
    """

    def __init__(self, in_channels: int, hidden_channels: int, num_classes: int) -> None:
        super().__init__()
        self.conv5_mask = msra_fill(ConvTranspose2d(in_channels, hidden_channels, 2, stride=2))
        self.mask_fcn_logits = msra_fill(Conv2d(hidden_channels, num_classes, 1))

    @classmethod
    def from_config(cls, cfg: CfgNode, in_channels: int) -> "MaskRCNNC4Predictor":
        return cls(in_channels, cfg.MODEL.ROI_MASK_HEAD.CONV_LAYERS[-1], _num_classes(cfg))

    def hidden(self, x: torch.Tensor) -> torch.Tensor:
        """[R, in_channels, s, s] -> [R, hidden_channels, 2 s, 2 s]."""
        return F.relu_(self.conv5_mask(x))


class MaskRCNNConv1x1Predictor(MaskPredictor):
    """A 1x1 convolution to the classes, at the resolution of the features."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.mask_fcn_logits = msra_fill(Conv2d(in_channels, num_classes, 1))

    @classmethod
    def from_config(cls, cfg: CfgNode, in_channels: int) -> "MaskRCNNConv1x1Predictor":
        return cls(in_channels, _num_classes(cfg))


def _num_classes(cfg):
    return AGNOSTIC_CLASSES if cfg.MODEL.ROI_MASK_HEAD.CLS_AGNOSTIC_MASK else cfg.MODEL.ROI_BOX_HEAD.NUM_CLASSES


for predictor in (MaskRCNNC4Predictor, MaskRCNNConv1x1Predictor):
    registry.ROI_MASK_PREDICTOR.register(predictor.__name__, predictor.from_config)


def make_roi_mask_predictor(cfg: CfgNode, in_channels: int) -> nn.Module:
    """The predictor that MODEL.ROI_MASK_HEAD.PREDICTOR names."""
    return registry.ROI_MASK_PREDICTOR[cfg.MODEL.ROI_MASK_HEAD.PREDICTOR](cfg, in_channels)
