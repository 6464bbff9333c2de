"""RetinaNet (Lin et al. 2017): a one-stage detector on the levels P3..P7."""

import math
from collections.abc import Sequence

import torch
from torch import nn
from yacs.config import CfgNode

from maskrcnn_benchmark.modeling.box_coder import BoxCoder
from maskrcnn_benchmark.modeling.make_layers import MakeNorm, group_norm_factory
from maskrcnn_benchmark.modeling.rpn.anchor_generator import AnchorGenerator, make_anchor_generator_retinanet
from maskrcnn_benchmark.modeling.rpn.retinanet.inference import RetinaNetPostProcessor, make_retinanet_postprocessor
from maskrcnn_benchmark.modeling.rpn.retinanet.loss import RetinaNetLossComputation, make_retinanet_loss_evaluator
from maskrcnn_benchmark.modeling.rpn.utils import anchors_as_boxes, rows_of_levels
from maskrcnn_benchmark.modeling.utils import cat
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_list import ImageList
from maskrcnn_benchmark.utils.errors import UserError

# Of the levels P3..P7
STRIDES = (8, 16, 32, 64, 128)


class RetinaNetHead(nn.Module):
    """Two towers of 3x3 convolutions, one for classes and one for boxes; the same on every level.

    Args:
        in_channels: channels of each feature map.
        num_anchors: anchors per position.
        num_classes: classes without background.
        num_convs: convolutions in each tower.
        prior_prob: probability of every class at every anchor before training, so that background does not drown the
            first steps (section 4.1 of the paper).
        make_norm: channels -> the norm after each convolution of the towers, or None for none. Levels share it.
    """

    def __init__(
        self,
        in_channels: int,
        num_anchors: int,
        num_classes: int,
        num_convs: int = 4,
        prior_prob: float = 0.01,
        make_norm: MakeNorm | None = None,
    ) -> None:
        super().__init__()
        self.cls_tower = _tower(in_channels, num_convs, make_norm)
        self.bbox_tower = _tower(in_channels, num_convs, make_norm)
        self.cls_logits = nn.Conv2d(in_channels, num_anchors * num_classes, 3, padding=1)
        self.bbox_pred = nn.Conv2d(in_channels, num_anchors * 4, 3, padding=1)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.normal_(layer.weight, std=0.01)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        nn.init.constant_(self.cls_logits.bias, -math.log((1 - prior_prob) / prior_prob))  # type: ignore[arg-type]

    def forward(self, x: Sequence[torch.Tensor]) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Maps [N, C, H, W] -> lists of logits [N, A * K, H, W] and offsets [N, A * 4, H, W], A anchors, K classes."""
        logits = [self.cls_logits(self.cls_tower(features)) for features in x]
        return logits, [self.bbox_pred(self.bbox_tower(features)) for features in x]


def _tower(channels: int, num_convs: int, make_norm: MakeNorm | None) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(num_convs):
        layers.append(nn.Conv2d(channels, channels, 3, padding=1, bias=make_norm is None))
        if make_norm is not None:
            layers.append(make_norm(channels))
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


class RetinaNetModule(nn.Module):
    """Anchors, head, choice of detections and loss.

    Args:
        anchor_generator, head: modules.
        box_selector_test: `RetinaNetPostProcessor`.
        loss_evaluator: `RetinaNetLossComputation`.
    """

    def __init__(
        self,
        anchor_generator: AnchorGenerator,
        head: nn.Module,
        box_selector_test: RetinaNetPostProcessor,
        loss_evaluator: RetinaNetLossComputation,
    ) -> None:
        super().__init__()
        self.anchor_generator = anchor_generator
        self.head = head
        self.box_selector_test = box_selector_test
        self.loss_evaluator = loss_evaluator

    def forward(
        self, images: ImageList, features: Sequence[torch.Tensor], targets: Sequence[ImageAnnotations] | None = None
    ) -> tuple[list[BoxList], dict[str, torch.Tensor]]:
        """Detect.

        Args:
            images: `ImageList`.
            features: feature maps [N, C, H_l, W_l], finest first.
            targets: in training, N `ImageAnnotations`.

        Returns:
            In testing N `BoxList`s (xyxy, clipped to the image, fields "scores" and "labels") and {}. In training the
            anchors in their place, and the losses "loss_retina_cls" and "loss_retina_reg" where any image has its
            objects annotated.
        """
        anchors = self.anchor_generator(features)
        counts = self.anchor_generator.num_anchors_per_location()
        logits, offsets = (rows_of_levels(maps, counts) for maps in self.head(features))
        if not self.training:
            return self.box_selector_test(anchors, logits, offsets, images.image_sizes), {}
        every_anchor = cat(anchors)
        losses = self.loss_evaluator(every_anchor, cat(logits, 1), cat(offsets, 1), targets)  # type: ignore[arg-type]
        return anchors_as_boxes(every_anchor, images.image_sizes), losses


def check_levels(cfg: CfgNode, strides: Sequence[int] | None) -> None:
    """Raise `UserError` for a backbone whose maps are not P3..P7. `strides` is None where they are not known."""
    if strides is not None and tuple(strides) != STRIDES:
        raise UserError(
            f"MODEL.RETINANET_ON needs the levels P3..P7, but MODEL.BACKBONE.CONV_BODY {cfg.MODEL.BACKBONE.CONV_BODY} "
            "has others; choose R-50-FPN-RETINANET or R-101-FPN-RETINANET"
        )


def _norm_of_towers(cfg):
    """A batch norm would mix the statistics of five levels, which differ; group norm has none."""
    return group_norm_factory(cfg) if cfg.MODEL.RETINANET.NORM == "GN" else None


def build_retinanet(cfg: CfgNode, in_channels: int) -> RetinaNetModule:
    """The `RetinaNetModule` that MODEL.RETINANET describes, for feature maps of `in_channels` channels.

    Raises `UserError` for anchors that do not pair with the levels P3..P7.
    """
    options = cfg.MODEL.RETINANET
    num_anchors = len(options.ASPECT_RATIOS) * options.SCALES_PER_OCTAVE
    box_coder = BoxCoder(weights=(10.0, 10.0, 5.0, 5.0))
    return RetinaNetModule(
        make_anchor_generator_retinanet(cfg),
        RetinaNetHead(
            in_channels,
            num_anchors,
            options.NUM_CLASSES - 1,
            options.NUM_CONVS,
            options.PRIOR_PROB,
            _norm_of_towers(cfg),
        ),
        make_retinanet_postprocessor(cfg, box_coder),
        make_retinanet_loss_evaluator(cfg, box_coder),
    )
