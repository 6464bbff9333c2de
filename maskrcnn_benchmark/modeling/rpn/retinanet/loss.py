"""RetinaNet's losses: the classes of all anchors and the boxes of the positive ones."""

from collections.abc import Sequence

import torch
from yacs.config import CfgNode

from maskrcnn_benchmark.layers import SigmoidFocalLoss, smooth_l1_loss
from maskrcnn_benchmark.modeling.box_coder import BoxCoder
from maskrcnn_benchmark.modeling.matcher import Matcher
from maskrcnn_benchmark.modeling.utils import pad_rows, without_crowds
from maskrcnn_benchmark.structures.boxlist_ops import box_iou
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations

BACKGROUND, IGNORED = 0, -1


class RetinaNetLossComputation:
    """Focal loss over every anchor and smooth L1 over the positive ones (Lin et al. 2017, section 4.1).

    Nothing is sampled, and anchors that leave the image take part as well, whatever MODEL.RETINANET.STRADDLE_THRESH
    says: so the original trains, and the numbers of its released weights rely on it.

    Args:
        matcher: `Matcher` of anchors to objects.
        box_coder: `BoxCoder`.
        focal_loss: `SigmoidFocalLoss`.
        beta: where smooth L1 turns linear.
        regression_norm: divisor of the box loss, beside the number of positive anchors.
    """

    def __init__(
        self,
        matcher: Matcher,
        box_coder: BoxCoder,
        focal_loss: SigmoidFocalLoss,
        beta: float = 0.11,
        regression_norm: float = 1.0,
    ) -> None:
        self.matcher = matcher
        self.box_coder = box_coder
        self.focal_loss = focal_loss
        self.beta = beta
        self.regression_norm = regression_norm

    def __call__(
        self,
        anchors: torch.Tensor,
        logits: torch.Tensor,
        box_regression: torch.Tensor,
        targets: Sequence[ImageAnnotations],
    ) -> dict[str, torch.Tensor]:
        """Losses of a batch.

        Args:
            anchors: float [A, 4].
            logits: float [N, A, C], one column per class without background.
            box_regression: float [N, A, 4], offsets.
            targets: N `ImageAnnotations`, whose objects have the field "labels" (1..C). An image whose `instances` is
                None takes no part; without objects it is background. Classes that its `known_labels` exclude take no
                part at background anchors, which may well lie on one of their objects.

        Returns:
            {"loss_retina_cls": scalar, divided by the numbers of positive anchors and of annotated images;
            "loss_retina_reg": scalar, divided by `regression_norm` times the positive anchors}, or {} where no image is
            annotated.
        """
        annotated = [i for i, target in enumerate(targets) if target.instances is not None]
        if not annotated:
            return {}
        label_rows, match_rows, box_rows = [], [], [anchors[:1]]  # one box at least for each image to point at
        for target in targets:
            if target.instances is None:
                match_rows.append(torch.full_like(anchors[:, 0], Matcher.BETWEEN_THRESHOLDS, dtype=torch.int64))
                label_rows.append(match_rows[-1].new_full(anchors.shape[:1], IGNORED))
                box_rows.append(anchors[:0])
                continue
            instances = without_crowds(target.instances).convert("xyxy")
            match_rows.append(self.matcher(box_iou(instances.bbox, anchors)))
            label_rows.append(_labels_of(match_rows[-1], instances.get_field("labels")))
            box_rows.append(instances.bbox)
        labels, matches, objects = torch.stack(label_rows), torch.stack(match_rows), pad_rows(box_rows)[1:]
        image, anchor = torch.nonzero(labels > 0, as_tuple=True)
        count = image.numel()
        left_out = _unknown_at_background(targets, labels, logits)
        loss_cls = self.focal_loss(logits.flatten(0, 1), labels.flatten(), left_out)
        loss_reg = smooth_l1_loss(
            box_regression[image, anchor],
            self.box_coder.encode(objects[image, matches[image, anchor]], anchors[anchor]),
            beta=self.beta,
            size_average=False,
        )
        return {
            "loss_retina_cls": loss_cls / (count + len(annotated)),
            "loss_retina_reg": loss_reg / max(1, count * self.regression_norm),
        }


def _labels_of(match: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """int64 [A]: the label of the object that each anchor matches, `BACKGROUND` or `IGNORED`."""
    labels = torch.cat((labels.to(torch.int64), labels.new_zeros(1, dtype=torch.int64)))  # for none at all
    return (
        labels[match.clamp(min=0)]
        .masked_fill_(match == Matcher.BELOW_LOW_THRESHOLD, BACKGROUND)
        .masked_fill_(match == Matcher.BETWEEN_THRESHOLDS, IGNORED)
    )


def _unknown_at_background(targets, labels, logits):
    """bool [N * A, C]: classes that are not annotated on the image, at its background anchors; None without any."""
    if all(target.known_labels is None for target in targets):
        return None
    every = torch.ones(logits.shape[2] + 1, dtype=torch.bool, device=logits.device)
    known = torch.stack([every if target.known_labels is None else target.known_labels for target in targets])
    return (~known[:, None, 1:] & (labels <= BACKGROUND)[:, :, None]).flatten(0, 1)


def make_retinanet_loss_evaluator(cfg: CfgNode, box_coder: BoxCoder) -> RetinaNetLossComputation:
    """The `RetinaNetLossComputation` that MODEL.RETINANET describes."""
    options = cfg.MODEL.RETINANET
    return RetinaNetLossComputation(
        Matcher(options.FG_IOU_THRESHOLD, options.BG_IOU_THRESHOLD, allow_low_quality_matches=True),
        box_coder,
        SigmoidFocalLoss(options.LOSS_GAMMA, options.LOSS_ALPHA),
        options.BBOX_REG_BETA,
        options.BBOX_REG_WEIGHT,
    )
