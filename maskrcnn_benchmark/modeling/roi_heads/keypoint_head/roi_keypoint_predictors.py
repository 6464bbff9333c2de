"""The last layers of the keypoint head: one heat map per keypoint."""

import torch
from torch import nn
from torch.nn import functional as F
from yacs.config import CfgNode

from maskrcnn_benchmark.layers import ConvTranspose2d
from maskrcnn_benchmark.modeling import registry
from maskrcnn_benchmark.modeling.roi_heads.fill import msra_fill


class KeypointRCNNPredictor(nn.Module):
    """Twice the resolution by a transposed convolution, and twice again bilinearly.

    Args:
        in_channels: channels of the region features.
        num_keypoints: K.
    """

    up_scale = 2

    def __init__(self, in_channels: int, num_keypoints: int) -> None:
        super().__init__()
        self.kps_score_lowres = msra_fill(ConvTranspose2d(in_channels, num_keypoints, 4, stride=2, padding=1))
        self.out_channels = num_keypoints

    @classmethod
    def from_config(cls, cfg: CfgNode, in_channels: int) -> "KeypointRCNNPredictor":
        return cls(in_channels, cfg.MODEL.ROI_KEYPOINT_HEAD.NUM_CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[R, in_channels, s, s] -> logits [R, num_keypoints, 4 s, 4 s]."""
        return F.interpolate(self.coarse(x), scale_factor=self.up_scale, mode="bilinear", align_corners=False)

    def coarse(self, x: torch.Tensor) -> torch.Tensor:
        """The logits before their bilinear enlargement by `up_scale`: [R, num_keypoints, 2 s, 2 s]."""
        return self.kps_score_lowres(x)


registry.ROI_KEYPOINT_PREDICTOR.register("KeypointRCNNPredictor", KeypointRCNNPredictor.from_config)


def make_roi_keypoint_predictor(cfg: CfgNode, in_channels: int) -> nn.Module:
    """The predictor that MODEL.ROI_KEYPOINT_HEAD.PREDICTOR names."""
    return registry.ROI_KEYPOINT_PREDICTOR[cfg.MODEL.ROI_KEYPOINT_HEAD.PREDICTOR](cfg, in_channels)
