"""The RPN's losses: objectness of sampled anchors and regression of the positive ones."""

from dataclasses import dataclass

import torch
from torch.nn import functional as F

from maskrcnn_benchmark.layers import smooth_l1_loss
from maskrcnn_benchmark.modeling.balanced_positive_negative_sampler import BalancedPositiveNegativeSampler
from maskrcnn_benchmark.modeling.matcher import Matcher
from maskrcnn_benchmark.modeling.utils import without_crowds
from maskrcnn_benchmark.structures.boxlist_ops import box_iou

POSITIVE, NEGATIVE, IGNORED = 1, 0, -1


@dataclass(frozen=True)
class SampledAnchors:
    """The S anchors of a batch that a step trains on, image after image, P of them positive.

    Attributes:
        image, anchor: int64 [S], index of the image in the batch and of the anchor among all levels'.
        positive: bool [S].
        codes: float [P, 4], what the positives' offsets should be, in their order.
    """

    image: torch.Tensor
    anchor: torch.Tensor
    positive: torch.Tensor
    codes: torch.Tensor


class RPNLossComputation:
    """Faster R-CNN's RPN loss (Ren et al. 2015, equation 1), both terms divided by the number of sampled anchors.

    Args:
        matcher: `Matcher` of anchors to objects.
        sampler: `BalancedPositiveNegativeSampler`.
        box_coder: `BoxCoder`.
        beta: where smooth L1 turns linear.
    """

    def __init__(self, matcher, sampler, box_coder, beta=1.0 / 9):
        self.matcher = matcher
        self.sampler = sampler
        self.box_coder = box_coder
        self.beta = beta

    @property
    def most_per_image(self):
        """Anchors that `sample` chooses on an image at most."""
        return self.sampler.batch_size_per_image

    def __call__(self, anchors, visible, objectness, box_regression, targets):
        """Losses of a batch from the predictions for all its anchors.

        Args:
            anchors, visible, targets: as of `sample`.
            objectness: float [N, A], logits.
            box_regression: float [N, A, 4], offsets.

        Returns:
            As of `losses`, or {} where no anchor could be sampled.
        """
        sampled = self.sample(anchors, visible, targets)
        if sampled is None:
            return {}
        chosen = sampled.image, sampled.anchor
        return self.losses(sampled, objectness[chosen], box_regression[chosen])

    @torch.no_grad()
    def sample(self, anchors, visible, targets):
        """Choose the anchors that this step trains on.

        Args:
            anchors: float [A, 4].
            visible: bool [N, A], anchors that may be trained.
            targets: N `ImageAnnotations`. An image whose `instances` is None takes no part; without objects it is
                background.

        Returns:
            `SampledAnchors`, or None where there is none to choose.
        """
        annotated = [i for i, target in enumerate(targets) if target.instances is not None]
        if not annotated:
            return None
        labels, objects, matches = [], [], []
        for i in annotated:
            boxes = without_crowds(targets[i].instances).convert("xyxy").bbox
            match, label = self._match(anchors, visible[i], boxes)
            labels.append(label)
            objects.append(boxes)
            matches.append(match)
        positive, negative = self.sampler(labels)
        reference = torch.cat([box[match[chosen]] for box, match, chosen in zip(objects, matches, positive)])
        positive, negative = torch.stack(positive), torch.stack(negative)
        row, anchor = torch.nonzero(positive | negative, as_tuple=True)
        if row.numel() == 0:
            return None
        is_positive = positive[row, anchor]
        codes = self.box_coder.encode(reference, anchors[anchor[is_positive]])
        return SampledAnchors(torch.tensor(annotated, device=row.device)[row], anchor, is_positive, codes)

    def losses(self, sampled, objectness, box_regression):
        """The losses of sampled anchors.

        Args:
            sampled: `SampledAnchors` of S anchors.
            objectness: float [S], logits.
            box_regression: float [S, 4], offsets.

        Returns:
            {"loss_objectness": scalar, "loss_rpn_box_reg": scalar}.
        """
        loss_box_reg = smooth_l1_loss(
            box_regression[sampled.positive], sampled.codes, beta=self.beta, size_average=False
        )
        return {
            "loss_objectness": F.binary_cross_entropy_with_logits(objectness, sampled.positive.to(objectness.dtype)),
            "loss_rpn_box_reg": loss_box_reg / len(sampled.anchor),
        }

    def _match(self, anchors, visible, boxes):
        """Each anchor's object int64 [A] (negative: none) and label int64 [A] (`POSITIVE`, `NEGATIVE`, `IGNORED`)."""
        match = self.matcher(box_iou(boxes, anchors))
        label = torch.where(match >= 0, POSITIVE, NEGATIVE)
        label[(match == Matcher.BETWEEN_THRESHOLDS) | ~visible] = IGNORED
        return match, label


def make_rpn_loss_evaluator(cfg, box_coder):
    """The `RPNLossComputation` that MODEL.RPN describes."""
    options = cfg.MODEL.RPN
    matcher = Matcher(options.FG_IOU_THRESHOLD, options.BG_IOU_THRESHOLD, allow_low_quality_matches=True)
    sampler = BalancedPositiveNegativeSampler(options.BATCH_SIZE_PER_IMAGE, options.POSITIVE_FRACTION)
    return RPNLossComputation(matcher, sampler, box_coder)
