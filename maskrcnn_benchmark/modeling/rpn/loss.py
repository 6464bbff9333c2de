"""The RPN's losses: objectness of sampled anchors and regression of the positive ones."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional as F
from yacs.config import CfgNode

from maskrcnn_benchmark.layers import smooth_l1_loss
from maskrcnn_benchmark.modeling.balanced_positive_negative_sampler import BalancedPositiveNegativeSampler
from maskrcnn_benchmark.modeling.box_coder import BoxCoder
from maskrcnn_benchmark.modeling.matcher import Matcher
from maskrcnn_benchmark.modeling.rpn.anchor_generator import AnchorGrid
from maskrcnn_benchmark.modeling.utils import pad_rows, without_crowds
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.boxlist_ops import box_iou
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations


@dataclass(frozen=True)
class SampledAnchors:
    """The S anchors of a batch that a step trains on, level after level.

    Attributes:
        image, anchor: int64 [S], index of the image in the batch and of the anchor among all levels'.
        positive: bool [S].
        codes: float [S, 4], what a positive's offsets should be; numbers without a meaning for others.
        per_level: number of anchors on each level.
    """

    image: torch.Tensor
    anchor: torch.Tensor
    positive: torch.Tensor
    codes: torch.Tensor
    per_level: list[int]


class RPNLossComputation:
    """Faster R-CNN's RPN loss (Ren et al. 2015, equation 1), both terms divided by the number of sampled anchors.

    Args:
        matcher: `Matcher` of anchors to objects.
        sampler: `BalancedPositiveNegativeSampler`.
        box_coder: `BoxCoder`.
        beta: where smooth L1 turns linear.
    """

    def __init__(
        self, matcher: Matcher, sampler: BalancedPositiveNegativeSampler, box_coder: BoxCoder, beta: float = 1.0 / 9
    ) -> None:
        self.matcher = matcher
        self.sampler = sampler
        self.box_coder = box_coder
        self.beta = beta

    @property
    def most_per_image(self) -> int:
        """Anchors that `sample` chooses on an image at most."""
        return self.sampler.batch_size_per_image

    def __call__(
        self,
        grid: AnchorGrid,
        visible: torch.Tensor,
        objectness: torch.Tensor,
        box_regression: torch.Tensor,
        targets: Sequence[ImageAnnotations],
    ) -> dict[str, torch.Tensor]:
        """Losses of a batch from the predictions for all its anchors.

        Args:
            grid, visible, targets: as of `sample`.
            objectness: float [N, A], logits.
            box_regression: float [N, A, 4], offsets.

        Returns:
            As of `losses`, or {} where no anchor could be sampled.
        """
        sampled = self.sample(grid, visible, targets)
        if sampled is None:
            return {}
        chosen = sampled.image, sampled.anchor
        return self.losses(sampled, objectness[chosen], box_regression[chosen])

    @torch.no_grad()
    def sample(
        self, grid: AnchorGrid, visible: torch.Tensor, targets: Sequence[ImageAnnotations]
    ) -> SampledAnchors | None:
        """Choose the anchors that this step trains on. The device is waited for once, for their number.

        Args:
            grid: `AnchorGrid` of A anchors.
            visible: bool [N, A], anchors that may be trained.
            targets: N `ImageAnnotations`. An image whose `instances` is None takes no part; without objects it is
                background.

        Returns:
            `SampledAnchors`, or None where there is none to choose.
        """
        if all(target.instances is None for target in targets):
            return None
        objects = [grid.every[:0] if t.instances is None else _boxes_of(t.instances) for t in targets]
        # image by image, since overlaps of all anchors with all objects of a batch would be large
        matches = torch.stack(
            [
                self.matcher(box_iou(boxes, grid.every))
                if target.instances is not None
                else torch.full_like(visible[0], Matcher.BETWEEN_THRESHOLDS, dtype=torch.int64)
                for boxes, target in zip(objects, targets)
            ]
        )
        sample = self.sampler.choose((matches >= 0) & visible, (matches == Matcher.BELOW_LOW_THRESHOLD) & visible)
        codes = self._codes(grid, objects, sample.index, matches.gather(1, sample.index))
        levels = len(grid.levels)
        # what was not chosen goes behind the last level
        level = grid.level_of(sample.index).masked_fill(~sample.chosen, levels).flatten()
        per_level = (level[:, None] == torch.arange(levels, device=level.device)).sum(dim=0).tolist()
        if not sum(per_level):
            return None
        order = torch.argsort(level, stable=True)[: sum(per_level)]
        return SampledAnchors(
            order.div(sample.index.shape[1], rounding_mode="floor"),
            sample.index.flatten()[order],
            sample.positive.flatten()[order],
            codes.flatten(0, 1)[order],
            per_level,
        )

    def _codes(self, grid, objects, index, match):
        """float [N, B, 4]: offsets from the anchors `index` [N, B] to the objects that `match` [N, B] names."""
        objects = pad_rows([*objects, grid.every[:1]])[:-1]  # one row at least, to point at
        reference = objects.gather(1, match.clamp(min=0)[:, :, None].expand(-1, -1, 4))
        return self.box_coder.encode(reference, grid.every[index])

    def losses(
        self, sampled: SampledAnchors, objectness: torch.Tensor, box_regression: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """The losses of sampled anchors.

        Args:
            sampled: `SampledAnchors` of S anchors.
            objectness: float [S], logits.
            box_regression: float [S, 4], offsets.

        Returns:
            {"loss_objectness": scalar, "loss_rpn_box_reg": scalar}.
        """
        # where there is no object, prediction and code are taken for equal, which neither counts nor has a gradient
        none = ~sampled.positive[:, None]
        predicted, codes = box_regression.masked_fill(none, 0), sampled.codes.masked_fill(none, 0)
        loss_box_reg = smooth_l1_loss(predicted, codes, beta=self.beta, size_average=False)
        return {
            "loss_objectness": F.binary_cross_entropy_with_logits(objectness, sampled.positive.to(objectness.dtype)),
            "loss_rpn_box_reg": loss_box_reg / len(sampled.anchor),
        }


def _boxes_of(instances: BoxList) -> torch.Tensor:
    return without_crowds(instances).convert("xyxy").bbox


def make_rpn_loss_evaluator(cfg: CfgNode, box_coder: BoxCoder) -> RPNLossComputation:
    """The `RPNLossComputation` that MODEL.RPN describes."""
    options = cfg.MODEL.RPN
    matcher = Matcher(options.FG_IOU_THRESHOLD, options.BG_IOU_THRESHOLD, allow_low_quality_matches=True)
    sampler = BalancedPositiveNegativeSampler(options.BATCH_SIZE_PER_IMAGE, options.POSITIVE_FRACTION)
    return RPNLossComputation(matcher, sampler, box_coder)
