"""Which proposals the box head trains on, and its two losses (Fast R-CNN, Girshick 2015)."""

import torch
from torch.nn import functional as F

from maskrcnn_benchmark.layers import smooth_l1_loss
from maskrcnn_benchmark.modeling.balanced_positive_negative_sampler import BalancedPositiveNegativeSampler
from maskrcnn_benchmark.modeling.box_coder import BoxCoder
from maskrcnn_benchmark.modeling.matcher import Matcher
from maskrcnn_benchmark.modeling.roi_heads.matching import match_proposals
from maskrcnn_benchmark.modeling.utils import cat


class FastRCNNLossComputation:
    """Samples proposals and computes the classification and regression losses.

    Args:
        proposal_matcher: `Matcher` of proposals to ground truth.
        fg_bg_sampler: `BalancedPositiveNegativeSampler`.
        box_coder: `BoxCoder` of the regression targets.
        cls_agnostic_bbox_reg: one refinement for all classes instead of one per class.
    """

    def __init__(self, proposal_matcher, fg_bg_sampler, box_coder, cls_agnostic_bbox_reg=False):
        self.proposal_matcher = proposal_matcher
        self.fg_bg_sampler = fg_bg_sampler
        self.box_coder = box_coder
        self.cls_agnostic_bbox_reg = cls_agnostic_bbox_reg

    @torch.no_grad()
    def subsample(self, proposals, targets):
        """Choose the proposals that this step trains on.

        Args:
            proposals: one `BoxList` per image.
            targets: one `ImageAnnotations` per image. Where its `instances` is None nobody looked for objects: no
                proposal of that image is chosen, not even as background.

        Returns:
            One `BoxList` per image with fields labels int64 [R] (0 is background), regression_targets float [R, 4]
            and matched_idxs int64 [R]: index into the image's instances, negative for background.
        """
        labelled = [self._label(boxes, target.instances) for boxes, target in zip(proposals, targets)]
        positive, negative = self.fg_bg_sampler([boxes.get_field("labels") for boxes in labelled])
        return [boxes[torch.nonzero(pos | neg).squeeze(1)] for boxes, pos, neg in zip(labelled, positive, negative)]

    def _label(self, proposals, instances):
        boxes = proposals.copy_with_fields(proposals.fields())
        if instances is None:
            matched = torch.full((len(boxes),), Matcher.BETWEEN_THRESHOLDS, device=boxes.bbox.device)
        else:
            matched = match_proposals(self.proposal_matcher, boxes, instances)
        labels = torch.zeros_like(matched)
        labels[matched == Matcher.BETWEEN_THRESHOLDS] = -1  # the sampler's word for "neither"
        codes = torch.zeros_like(boxes.bbox)
        if instances is not None and len(instances):
            best = matched.clamp(min=0)
            labels = torch.where(matched >= 0, instances.get_field("labels").to(torch.int64)[best], labels)
            codes = self.box_coder.encode(instances.convert("xyxy").bbox[best], boxes.bbox)
        boxes.add_field("labels", labels)
        boxes.add_field("regression_targets", codes)
        boxes.add_field("matched_idxs", matched)
        return boxes

    def __call__(self, class_logits, box_regression, proposals, known_labels=()):
        """The losses.

        Where a data set does not know a class, what looks like background may be one of its objects: there the softmax
        of background regions goes without the class. A region with an object is that object's and of no other class.

        Args:
            class_logits: float [R, num_classes].
            box_regression: float [R, 4 * num_classes] (or 8 when class-agnostic).
            proposals: what `subsample` returned; R boxes in all, R > 0.
            known_labels: of each image the labels that its data set annotates, bool [num_classes] or None for all;
                () stands for all on every image.

        Returns:
            (mean cross-entropy, smooth L1 of the positives' codes divided by R).
        """
        labels = cat([boxes.get_field("labels") for boxes in proposals])
        codes = cat([boxes.get_field("regression_targets") for boxes in proposals])
        positive = torch.nonzero(labels > 0).squeeze(1)
        column = torch.ones_like(positive) if self.cls_agnostic_bbox_reg else labels[positive]
        predicted = box_regression.unflatten(1, (-1, 4))[positive, column]
        box_loss = smooth_l1_loss(predicted.float(), codes[positive], beta=1, size_average=False)
        class_logits = class_logits.float()
        if any(known is not None for known in known_labels):
            unknown = ~_known_by_region(known_labels, proposals, class_logits)
            class_logits = class_logits.masked_fill(unknown & (labels == 0)[:, None], -torch.inf)
        return F.cross_entropy(class_logits, labels), box_loss / labels.numel()


def _known_by_region(known_labels, proposals, class_logits):
    """bool [R, num_classes]: the known labels of the image of each region."""
    every = torch.ones_like(class_logits[0], dtype=torch.bool)
    rows = [every if known is None else known for known in known_labels]
    return cat([row.expand(len(boxes), -1) for row, boxes in zip(rows, proposals)])


def make_roi_box_loss_evaluator(cfg):
    """The loss that MODEL.ROI_HEADS describes."""
    node = cfg.MODEL.ROI_HEADS
    return FastRCNNLossComputation(
        Matcher(node.FG_IOU_THRESHOLD, node.BG_IOU_THRESHOLD, allow_low_quality_matches=False),
        BalancedPositiveNegativeSampler(node.BATCH_SIZE_PER_IMAGE, node.POSITIVE_FRACTION),
        BoxCoder(weights=node.BBOX_REG_WEIGHTS),
        cfg.MODEL.CLS_AGNOSTIC_BBOX_REG,
    )
