"""The last layers of the box head: class scores and one box refinement per class."""

import torch
from torch import nn
from yacs.config import CfgNode

from maskrcnn_benchmark.modeling import registry

# Classes of class-agnostic regression: background and object
AGNOSTIC_CLASSES = 2


class FPNPredictor(nn.Module):
    """Two linear layers side by side.

    Args:
        in_channels: width of the region features.
        num_classes: classes, background (0) included.
        num_bbox_reg_classes: classes with a refinement of their own.
    """

    def __init__(self, in_channels: int, num_classes: int, num_bbox_reg_classes: int | None = None) -> None:
        super().__init__()
        self.cls_score = nn.Linear(in_channels, num_classes)
        self.bbox_pred = nn.Linear(in_channels, 4 * (num_bbox_reg_classes or num_classes))
        nn.init.normal_(self.cls_score.weight, std=0.01)
        nn.init.normal_(self.bbox_pred.weight, std=0.001)
        nn.init.zeros_(self.cls_score.bias)
        nn.init.zeros_(self.bbox_pred.bias)

    @classmethod
    def from_config(cls, cfg: CfgNode, in_channels: int) -> "FPNPredictor":
        num_classes = cfg.MODEL.ROI_BOX_HEAD.NUM_CLASSES
        return cls(in_channels, num_classes, AGNOSTIC_CLASSES if cfg.MODEL.CLS_AGNOSTIC_BBOX_REG else num_classes)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """[R, C] or [R, C, 1, 1] -> class logits [R, num_classes] and box codes [R, 4 * num_bbox_reg_classes]."""
        if x.dim() == 4:
            if x.shape[2:] != (1, 1):
                raise ValueError(f"FPNPredictor takes one vector per region, but got maps of {tuple(x.shape[2:])}")
            x = x.flatten(1)
        return self.cls_score(x), self.bbox_pred(x)


class FastRCNNPredictor(FPNPredictor):
    """`FPNPredictor` on the mean over a region's cells, for extractors that end in a map."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """[R, C, h, w] -> class logits [R, num_classes] and box codes [R, 4 * num_bbox_reg_classes]."""
        return super().forward(x.mean(dim=(2, 3)))


for predictor in (FPNPredictor, FastRCNNPredictor):
    registry.ROI_BOX_PREDICTOR.register(predictor.__name__, predictor.from_config)


def make_roi_box_predictor(cfg: CfgNode, in_channels: int) -> nn.Module:
    """The predictor that MODEL.ROI_BOX_HEAD.PREDICTOR names."""
    return registry.ROI_BOX_PREDICTOR[cfg.MODEL.ROI_BOX_HEAD.PREDICTOR](cfg, in_channels)
