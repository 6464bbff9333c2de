"""Region proposal network (Ren et al. 2015)."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from yacs.config import CfgNode

from maskrcnn_benchmark.modeling import registry
from maskrcnn_benchmark.modeling.box_coder import BoxCoder
from maskrcnn_benchmark.modeling.make_layers import init_small
from maskrcnn_benchmark.modeling.rpn.anchor_generator import AnchorGenerator, make_anchor_generator
from maskrcnn_benchmark.modeling.rpn.inference import RPNPostProcessor, make_rpn_postprocessor
from maskrcnn_benchmark.modeling.rpn.loss import RPNLossComputation, make_rpn_loss_evaluator
from maskrcnn_benchmark.modeling.rpn.retinanet.retinanet import RetinaNetModule, build_retinanet
from maskrcnn_benchmark.modeling.rpn.utils import anchors_as_boxes, predict_at_anchors, rows_of_levels
from maskrcnn_benchmark.modeling.utils import cat
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_list import ImageList
from maskrcnn_benchmark.utils.errors import UserError

# The head at one position reads the nine cells around it, so computing it there pays up to a ninth of all positions
POSITIONS_PER_SAMPLE = 9


@registry.RPN_HEADS.register("SingleConvRPNHead")
class RPNHead(nn.Module):
    """A 3x3 convolution, then objectness and box offsets of each anchor; the same on every level.

    Args:
        cfg: unused; every RPN head is built from (cfg, in_channels, num_anchors).
        in_channels: channels of each feature map.
        num_anchors: anchors per position.
    """

    def __init__(self, cfg: CfgNode, in_channels: int, num_anchors: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, in_channels, 3, padding=1)
        self.cls_logits = nn.Conv2d(in_channels, num_anchors, 1)
        self.bbox_pred = nn.Conv2d(in_channels, num_anchors * 4, 1)
        for layer in (self.conv, self.cls_logits, self.bbox_pred):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, x: Sequence[torch.Tensor]) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Maps [N, C, H, W] -> lists of logits [N, num_anchors, H, W] and of offsets [N, num_anchors * 4, H, W]."""
        hidden = [F.relu_(self.conv(features)) for features in x]
        return [self.cls_logits(h) for h in hidden], [self.bbox_pred(h) for h in hidden]

    @property
    def side(self) -> int:
        """Cells on a side of the window that the head reads at a position."""
        return self.conv.kernel_size[0]

    def at_patches(self, patches: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """What `forward` predicts at some positions, of any level, given the cells around each.

        Args:
            patches: [P, side * side * C], as `patches_of_levels` gathers them.

        Returns:
            logits [P, num_anchors] and offsets [P, num_anchors * 4].
        """
        hidden = F.relu_(F.linear(patches, self.conv.weight.permute(0, 2, 3, 1).flatten(1), self.conv.bias))
        return tuple(F.linear(hidden, c.weight.flatten(1), c.bias) for c in (self.cls_logits, self.bbox_pred))


class StackedConvRPNHead(nn.Module):
    """As `RPNHead` with several 3x3 convolutions, each with a ReLU; the same on every level.

    Args:
        in_channels: channels of each feature map.
        num_anchors: anchors per position.
        num_convs: how many convolutions, called conv0, conv1, ... as in detectron2.
    """

    def __init__(self, in_channels: int, num_anchors: int, num_convs: int = 2) -> None:
        super().__init__()
        self.conv = nn.Sequential()
        for index in range(num_convs):
            self.conv.add_module(f"conv{index}", nn.Conv2d(in_channels, in_channels, 3, padding=1))
        self.cls_logits = nn.Conv2d(in_channels, num_anchors, 1)
        self.bbox_pred = nn.Conv2d(in_channels, num_anchors * 4, 1)
        for layer in (*self.conv, self.cls_logits, self.bbox_pred):
            init_small(layer)

    @classmethod
    def from_config(cls, cfg: CfgNode, in_channels: int, num_anchors: int) -> "StackedConvRPNHead":
        return cls(in_channels, num_anchors, cfg.MODEL.RPN.NUM_CONVS)

    def forward(self, x: Sequence[torch.Tensor]) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Maps [N, C, H, W] -> lists of logits [N, num_anchors, H, W] and of offsets [N, num_anchors * 4, H, W]."""
        logits, offsets = [], []
        for hidden in x:
            for conv in self.conv:
                hidden = F.relu_(conv(hidden))
            logits.append(self.cls_logits(hidden))
            offsets.append(self.bbox_pred(hidden))
        return logits, offsets


registry.RPN_HEADS.register("StackedConvRPNHead", StackedConvRPNHead.from_config)


class RPNModule(nn.Module):
    """Anchors, head, choice of proposals and loss.

    Args:
        anchor_generator: `AnchorGenerator`.
        head: maps -> (logits, offsets), as `RPNHead`. If it has `side` and `at_patches` as well, training
            differentiates it at the sampled anchors alone.
        box_selector_train, box_selector_test: `RPNPostProcessor`s.
        loss_evaluator: `RPNLossComputation`.
        rpn_only: the proposals are the model's output, so training needs none.
    """

    def __init__(
        self,
        anchor_generator: AnchorGenerator,
        head: Any,
        box_selector_train: RPNPostProcessor,
        box_selector_test: RPNPostProcessor,
        loss_evaluator: RPNLossComputation,
        rpn_only: bool = False,
    ) -> None:
        super().__init__()
        self.anchor_generator = anchor_generator
        self.head = head
        self.box_selector_train = box_selector_train
        self.box_selector_test = box_selector_test
        self.loss_evaluator = loss_evaluator
        self.rpn_only = rpn_only

    def forward(
        self, images: ImageList, features: Sequence[torch.Tensor], targets: Sequence[ImageAnnotations] | None = None
    ) -> tuple[list[BoxList], dict[str, torch.Tensor]]:
        """Propose boxes.

        Args:
            images: `ImageList`.
            features: feature maps [N, C, H_l, W_l], finest first.
            targets: in training, N `ImageAnnotations`.

        Returns:
            N `BoxList`s (xyxy, clipped to the image, field "objectness") and, in training, the losses
            "loss_objectness" and "loss_rpn_box_reg" where any image has its objects annotated. In training an
            `rpn_only` network returns its anchors in place of proposals.
        """
        grid = self.anchor_generator.grid(features)
        counts = self.anchor_generator.num_anchors_per_location()
        few = self.training and self._trains_few_positions(features)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not few):
            logits, offsets = (rows_of_levels(maps, counts) for maps in self.head(features))
        logits = [level.squeeze(2) for level in logits]
        if not self.training:
            return self.box_selector_test(grid.levels, logits, offsets, images.image_sizes), {}
        visible = self.anchor_generator.visibility(grid.every, images.image_sizes)
        if few:
            losses = self._losses_at_sampled(grid, visible, features, targets)
        else:
            losses = self.loss_evaluator(grid, visible, cat(logits, 1), cat(offsets, 1), targets)  # type: ignore[arg-type]
        if self.rpn_only:
            return anchors_as_boxes(grid.every, images.image_sizes), losses
        with torch.no_grad():
            boxes = self.box_selector_train(grid.levels, logits, offsets, images.image_sizes, targets)
        return boxes, losses

    def _trains_few_positions(self, features: Sequence[torch.Tensor]) -> bool:
        """Whether the loss reads so few positions that the head is cheaper to differentiate there than everywhere.

        Of some hundred thousand anchors the loss samples a few hundred, and the gradient of all others is zero. So
        proposals come from a pass over the whole maps that records nothing, and the head is run once more at the
        sampled positions alone. The numbers are the same.
        """
        if not hasattr(self.head, "at_patches"):
            return False
        positions = sum(level.shape[0] * level.shape[2] * level.shape[3] for level in features)
        return POSITIONS_PER_SAMPLE * len(features[0]) * self.loss_evaluator.most_per_image <= positions

    def _losses_at_sampled(self, grid, visible, features, targets):
        sampled = self.loss_evaluator.sample(grid, visible, targets)
        if sampled is None:
            return {}
        return self.loss_evaluator.losses(sampled, *predict_at_anchors(self.head, features, grid, sampled))


def build_rpn(cfg: CfgNode, in_channels: int) -> RPNModule | RetinaNetModule:
    """What reads boxes from anchors, for feature maps of `in_channels` channels.

    The `RPNModule` that MODEL.RPN describes or, with MODEL.RETINANET_ON, the `RetinaNetModule` of MODEL.RETINANET.
    """
    if cfg.MODEL.RETINANET_ON:
        return build_retinanet(cfg, in_channels)
    anchor_generator = make_anchor_generator(cfg)
    counts = set(anchor_generator.num_anchors_per_location())
    if len(counts) > 1:
        raise UserError(f"MODEL.RPN.ANCHOR_SIZES: levels share a head, but have {sorted(counts)} anchors each")
    head = registry.RPN_HEADS[cfg.MODEL.RPN.RPN_HEAD](cfg, in_channels, counts.pop())
    box_coder = BoxCoder(weights=(1.0, 1.0, 1.0, 1.0))
    return RPNModule(
        anchor_generator,
        head,
        make_rpn_postprocessor(cfg, box_coder, is_train=True),
        make_rpn_postprocessor(cfg, box_coder, is_train=False),
        make_rpn_loss_evaluator(cfg, box_coder),
        cfg.MODEL.RPN_ONLY,
    )
