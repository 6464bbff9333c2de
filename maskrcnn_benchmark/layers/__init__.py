"""The layers of a detector under the original library's names: torchvision's operations and a few losses."""

from torch.nn import BatchNorm2d, ConvTranspose2d
from torch.nn.functional import interpolate
from torchvision.ops import RoIPool as ROIPool
from torchvision.ops import roi_pool

from maskrcnn_benchmark.layers.batch_norm import FrozenBatchNorm2d, SyncBatchNorm2d, conv_norm, has_any
from maskrcnn_benchmark.layers.conv import Conv2d
from maskrcnn_benchmark.layers.cross_entropy import mean_cross_entropy
from maskrcnn_benchmark.layers.deform_conv import DFConv2d
from maskrcnn_benchmark.layers.nms import grouped_nms, nms
from maskrcnn_benchmark.layers.roi_align import ROIAlign, roi_align
from maskrcnn_benchmark.layers.sigmoid_focal_loss import SigmoidFocalLoss
from maskrcnn_benchmark.layers.smooth_l1_loss import smooth_l1_loss

__all__ = [
    "nms",
    "grouped_nms",
    "roi_align",
    "ROIAlign",
    "roi_pool",
    "ROIPool",
    "smooth_l1_loss",
    "mean_cross_entropy",
    "SigmoidFocalLoss",
    "Conv2d",
    "ConvTranspose2d",
    "DFConv2d",
    "interpolate",
    "BatchNorm2d",
    "FrozenBatchNorm2d",
    "SyncBatchNorm2d",
    "conv_norm",
    "has_any",
]
