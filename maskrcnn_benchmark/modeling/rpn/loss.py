"""The RPN's losses: objectness of sampled anchors and regression of the positive ones."""

import torch
from torch.nn import functional as F

from maskrcnn_benchmark.layers import smooth_l1_loss
from maskrcnn_benchmark.modeling.balanced_positive_negative_sampler import BalancedPositiveNegativeSampler
from maskrcnn_benchmark.modeling.matcher import Matcher
from maskrcnn_benchmark.modeling.utils import without_crowds
from maskrcnn_benchmark.structures.boxlist_ops import box_iou

POSITIVE, NEGATIVE, IGNORED = 1, 0, -1


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

    def __call__(self, anchors, visible, objectness, box_regression, targets):
        """Losses of a batch.

        Args:
            anchors: float [A, 4].
            visible: bool [N, A], anchors that may be trained.
            objectness: float [N, A], logits.
            box_regression: float [N, A, 4], offsets.
            targets: N `ImageAnnotations`. An image whose `instances` is None takes no part; without objects it is
                background.

        Returns:
            {"loss_objectness": scalar, "loss_rpn_box_reg": scalar}, or {} where no anchor could be sampled.
        """
        annotated = [i for i, target in enumerate(targets) if target.instances is not None]
        if not annotated:
            return {}
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
        image, anchor = torch.nonzero(positive | negative, as_tuple=True)
        if image.numel() == 0:
            return {}
        row = torch.tensor(annotated, device=image.device)
        loss_objectness = F.binary_cross_entropy_with_logits(
            objectness[row[image], anchor], positive[image, anchor].to(objectness.dtype)
        )
        image_of_positive, anchor_of_positive = torch.nonzero(positive, as_tuple=True)
        loss_box_reg = smooth_l1_loss(
            box_regression[row[image_of_positive], anchor_of_positive],
            self.box_coder.encode(reference, anchors[anchor_of_positive]),
            beta=self.beta,
            size_average=False,
        )
        return {"loss_objectness": loss_objectness, "loss_rpn_box_reg": loss_box_reg / image.numel()}

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
