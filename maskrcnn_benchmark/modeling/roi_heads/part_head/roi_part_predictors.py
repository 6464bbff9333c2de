"""The last layers of the part head: one map of logits per part label."""

import torch
from torch import nn
from torch.nn import functional as F
from yacs.config import CfgNode

from maskrcnn_benchmark.layers import ConvTranspose2d
from maskrcnn_benchmark.modeling import registry
from maskrcnn_benchmark.modeling.roi_heads.fill import msra_fill


class PartRCNNPredictor(nn.Module):
    """Twice the resolution by a transposed convolution to the labels, then bilinearly to the final one.

    Args:
        in_channels: channels of the region features.
        num_classes: part labels, background (0) included.
        resolution: side of the maps; where it is that of the transposed convolution, nothing is resized.
    """

    def __init__(self, in_channels: int, num_classes: int, resolution: int) -> None:
        super().__init__()
        self.part_score_lowres = msra_fill(ConvTranspose2d(in_channels, num_classes, 4, stride=2, padding=1))
        self.resolution = resolution

    @classmethod
    def from_config(cls, cfg: CfgNode, in_channels: int) -> "PartRCNNPredictor":
        return cls(in_channels, cfg.MODEL.ROI_PART_HEAD.NUM_CLASSES, cfg.MODEL.ROI_PART_HEAD.RESOLUTION)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[R, in_channels, s, s] -> logits [R, num_classes, resolution, resolution]."""
        x = self.part_score_lowres(x)
        if x.shape[-1] == self.resolution:
            return x
        return F.interpolate(x, size=(self.resolution,) * 2, mode="bilinear", align_corners=False)


registry.ROI_PART_PREDICTOR.register("PartRCNNPredictor", PartRCNNPredictor.from_config)


def make_roi_part_predictor(cfg: CfgNode, in_channels: int) -> nn.Module:
    """The predictor that MODEL.ROI_PART_HEAD.PREDICTOR names."""
    return registry.ROI_PART_PREDICTOR[cfg.MODEL.ROI_PART_HEAD.PREDICTOR](cfg, in_channels)
