"""Which proposals the box head trains on, and its two losses (Fast R-CNN, Girshick 2015)."""

from collections.abc import Sequence

import torch
from torch.nn import functional as F
from yacs.config import CfgNode

from maskrcnn_benchmark.layers import mean_cross_entropy, smooth_l1_loss
from maskrcnn_benchmark.modeling.balanced_positive_negative_sampler import BalancedPositiveNegativeSampler
from maskrcnn_benchmark.modeling.box_coder import BoxCoder
from maskrcnn_benchmark.modeling.matcher import Matcher
from maskrcnn_benchmark.modeling.roi_heads.sampled_regions import SampledRegions
from maskrcnn_benchmark.modeling.utils import cat, pad_rows
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.boxlist_ops import box_iou
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations


class FastRCNNLossComputation:
    """Samples proposals and computes the classification and regression losses.

    Args:
        proposal_matcher: `Matcher` of proposals to ground truth.
        fg_bg_sampler: `BalancedPositiveNegativeSampler`.
        box_coder: `BoxCoder` of the regression targets.
        cls_agnostic_bbox_reg: one refinement for all classes instead of one per class.
        class_weights: the weight in the cross-entropy of regions with each label, background first; None: all are 1.
    """

    def __init__(
        self,
        proposal_matcher: Matcher,
        fg_bg_sampler: BalancedPositiveNegativeSampler,
        box_coder: BoxCoder,
        cls_agnostic_bbox_reg: bool = False,
        class_weights: Sequence[float] | None = None,
    ) -> None:
        self.proposal_matcher = proposal_matcher
        self.fg_bg_sampler = fg_bg_sampler
        self.box_coder = box_coder
        self.cls_agnostic_bbox_reg = cls_agnostic_bbox_reg
        self.class_weights = None if class_weights is None else torch.tensor(class_weights, dtype=torch.float32)

    @torch.no_grad()
    def subsample(self, proposals: Sequence[BoxList], targets: Sequence[ImageAnnotations]) -> list[SampledRegions]:
        """Choose the proposals that this step trains on.

        Args:
            proposals: one `BoxList` per image.
            targets: one `ImageAnnotations` per image. Where its `instances` is None objects are not annotated: no
                proposal of that image is chosen, not even as background.

        Returns:
            One `SampledRegions` per image, those with an object first and otherwise in the order of the proposals, with
            the fields of the proposals and labels int64 [R] (0 is background), regression_targets float [R, 4] (without
            a meaning for background) and matched_idxs int64 [R]: index into the image's instances, negative for
            background. The device is waited for once, for their numbers.
        """
        boxes = pad_rows([proposal.bbox for proposal in proposals])
        candidates = torch.zeros(boxes.shape[:2], dtype=torch.bool, device=boxes.device)
        for row, proposal, target in zip(candidates, proposals, targets):
            if target.instances is not None:
                row[: len(proposal)] = True
        objects, labels, matched = self._match(boxes, targets)
        sample = self.fg_bg_sampler.choose(
            (matched >= 0) & candidates, (matched == Matcher.BELOW_LOW_THRESHOLD) & candidates
        )
        # those with an object first
        order = torch.argsort(sample.chosen.to(torch.uint8) + sample.positive, dim=1, descending=True, stable=True)
        index = sample.index.gather(1, order)
        matched = matched.gather(1, index)
        labels, codes = self._labels_and_codes(objects, labels, matched, _rows(boxes, index))
        counts = torch.stack((sample.chosen.sum(dim=1), sample.positive.sum(dim=1)), 1).tolist()
        sampled = []
        for i, (proposal, (count, num_positives)) in enumerate(zip(proposals, counts)):
            regions = SampledRegions.of(proposal[index[i, :count]], num_positives)
            regions.add_field("labels", labels[i, :count])
            regions.add_field("regression_targets", codes[i, :count])
            regions.add_field("matched_idxs", matched[i, :count])
            sampled.append(regions)
        return sampled

    @torch.no_grad()
    def relabel(self, regions: Sequence[BoxList], targets: Sequence[ImageAnnotations]) -> list[BoxList]:
        """Match regions to the ground truth, all of them and in their order: a later stage of a cascade learns them.

        Args:
            regions: one `BoxList` per image, xyxy; none where objects are not annotated.
            targets: one `ImageAnnotations` per image.

        Returns:
            One `BoxList` per image with the fields labels, regression_targets and matched_idxs of `subsample`. A region
            between the matcher's thresholds is background.
        """
        boxes = pad_rows([region.bbox for region in regions])
        objects, labels, matched = self._match(boxes, targets)
        labels, codes = self._labels_and_codes(objects, labels, matched, boxes)
        relabelled = []
        for region, *rows in zip(regions, labels, codes, matched):
            region = region.copy_with_fields([])
            for field, row in zip(("labels", "regression_targets", "matched_idxs"), rows):
                region.add_field(field, row[: len(region)])
            relabelled.append(region)
        return relabelled

    def _match(self, boxes, targets):
        """The objects of `_padded_objects`, and which of them each of the boxes [N, P, 4] is matched to."""
        objects, labels = _padded_objects(targets, boxes)
        quality = box_iou(objects, boxes).masked_fill_((labels == 0)[:, :, None], -1)
        return objects, labels, self.proposal_matcher(quality)

    def _labels_and_codes(self, objects, labels, matched, boxes):
        """What boxes [N, P, 4] that are matched so are to be: labels int64 [N, P] and codes float [N, P, 4]."""
        best = matched.clamp(min=0)
        labels = labels.gather(1, best).masked_fill_(matched < 0, 0)
        return labels, self.box_coder.encode(_rows(objects, best), boxes)

    def __call__(
        self,
        class_logits: torch.Tensor,
        box_regression: torch.Tensor,
        proposals: Sequence[BoxList],
        known_labels: Sequence[torch.Tensor | None] = (),
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The losses.

        Where a data set does not know a class, what looks like background may be one of its objects: there the softmax
        of background regions goes without the class. A region with an object is that object's and of no other class.
        Weights multiply the loss of each region, and the mean stays one over regions: see `mean_cross_entropy`.

        Args:
            class_logits: float [R, num_classes].
            box_regression: float [R, 4 * num_classes] (or 8 when class-agnostic).
            proposals: what `subsample` returned; R boxes in all, R > 0.
            known_labels: of each image the labels that its data set annotates, bool [num_classes] or None for all;
                () stands for all on every image.

        Returns:
            (mean cross-entropy, weighted by class, smooth L1 of the positives' codes divided by R).
        """
        labels = cat([boxes.get_field("labels") for boxes in proposals])
        codes = cat([boxes.get_field("regression_targets") for boxes in proposals])
        predicted = box_regression.unflatten(1, (-1, 4))
        if self.cls_agnostic_bbox_reg:
            predicted = predicted[:, 1]
        else:
            predicted = predicted.gather(1, labels[:, None, None].expand(-1, 1, 4)).squeeze(1)
        # where there is no object, prediction and code are taken for equal, which neither counts nor has a gradient
        none = (labels == 0)[:, None]
        predicted, codes = predicted.float().masked_fill(none, 0), codes.masked_fill(none, 0)
        box_loss = smooth_l1_loss(predicted, codes, beta=1, size_average=False)
        class_logits = class_logits.float()
        if any(known is not None for known in known_labels):
            unknown = ~_known_by_region(known_labels, proposals, class_logits)
            class_logits = class_logits.masked_fill(unknown & (labels == 0)[:, None], -torch.inf)
        box_loss = box_loss / labels.numel()
        if self.class_weights is None:
            return F.cross_entropy(class_logits, labels), box_loss
        self.class_weights = self.class_weights.to(class_logits.device)  # once, where the network has moved
        return mean_cross_entropy(class_logits, labels, weight=self.class_weights), box_loss


def _rows(boxes, index):
    """Of boxes [N, K, 4] those at int64 [N, P]: [N, P, 4]."""
    return boxes.gather(1, index[:, :, None].expand(-1, -1, 4))


def _padded_objects(targets: Sequence[ImageAnnotations], like: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """The instances of all images: boxes float [N, G, 4] and labels int64 [N, G], G at least 1; 0 is no object.

    Crowds are no objects.
    """
    boxes, labels = [like.new_zeros(1, 4)], [like.new_zeros(1, dtype=torch.int64)]
    for target in targets:
        instances = target.instances
        if instances is None:
            instances = BoxList(like[0, :0], target.size)
            instances.add_field("labels", labels[0][:0])
        of_image = instances.get_field("labels").to(torch.int64)
        if instances.has_field("iscrowd"):
            of_image = of_image.masked_fill(instances.get_field("iscrowd").bool(), 0)
        boxes.append(instances.convert("xyxy").bbox)
        labels.append(of_image)
    return tuple(pad_rows(parts)[1:] for parts in (boxes, labels))


def _known_by_region(known_labels, proposals, class_logits):
    """bool [R, num_classes]: the known labels of the image of each region."""
    every = torch.ones_like(class_logits[0], dtype=torch.bool)
    rows = [every if known is None else known for known in known_labels]
    return cat([row.expand(len(boxes), -1) for row, boxes in zip(rows, proposals)])


def make_roi_box_loss_evaluator(
    cfg: CfgNode, stage: int | None = None, class_weights: Sequence[float] | None = None
) -> FastRCNNLossComputation:
    """The loss that MODEL.ROI_HEADS describes, or that of a stage, from 0, of MODEL.ROI_BOX_HEAD.CASCADE.

    The weights of classes are those of labels, background first.
    """
    node, cascade = cfg.MODEL.ROI_HEADS, cfg.MODEL.ROI_BOX_HEAD.CASCADE
    thresholds = (node.FG_IOU_THRESHOLD, node.BG_IOU_THRESHOLD) if stage is None else (cascade.IOUS[stage],) * 2
    return FastRCNNLossComputation(
        Matcher(*thresholds, allow_low_quality_matches=False),
        BalancedPositiveNegativeSampler(node.BATCH_SIZE_PER_IMAGE, node.POSITIVE_FRACTION),
        BoxCoder(weights=node.BBOX_REG_WEIGHTS if stage is None else cascade.BBOX_REG_WEIGHTS[stage]),
        cfg.MODEL.CLS_AGNOSTIC_BBOX_REG,
        class_weights,
    )
