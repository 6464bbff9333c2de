"""From the RPN's predictions to proposals."""

from collections.abc import Sequence

import torch
from yacs.config import CfgNode

from maskrcnn_benchmark.layers.nms import level_nms
from maskrcnn_benchmark.modeling.box_coder import BoxCoder
from maskrcnn_benchmark.modeling.box_convention import ORIGINAL, BoxConvention, box_convention
from maskrcnn_benchmark.modeling.utils import cat, without_crowds
from maskrcnn_benchmark.structures.bounding_box import TO_REMOVE, BoxList
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_list import sizes_on


class RPNPostProcessor:
    """Decodes the best anchors of each level, removes duplicates and keeps the best over all levels.

    Args:
        pre_nms_top_n, post_nms_top_n: boxes kept per image and level before and after non-maximum suppression.
        nms_thresh: its IoU; 0 or less leaves it out.
        min_size: boxes with a smaller side (pixels) are dropped.
        box_coder: `BoxCoder`.
        fpn_post_nms_top_n: boxes kept over all levels, where there are several.
        per_batch: the limit over all levels holds for the whole batch rather than for each image.
        convention: decides on the class of the proposals and on what is clipped and dropped.
    """

    def __init__(
        self,
        pre_nms_top_n: int,
        post_nms_top_n: int,
        nms_thresh: float,
        min_size: float,
        box_coder: BoxCoder,
        fpn_post_nms_top_n: int,
        per_batch: bool = False,
        convention: BoxConvention = ORIGINAL,
    ) -> None:
        self.pre_nms_top_n = pre_nms_top_n
        self.post_nms_top_n = post_nms_top_n
        self.nms_thresh = nms_thresh
        self.min_size = max(min_size, convention.least_proposal or 0)
        self.convention = convention
        self.box_coder = box_coder
        self.fpn_post_nms_top_n = fpn_post_nms_top_n
        self.per_batch = per_batch

    def __call__(
        self,
        anchors: Sequence[torch.Tensor],
        objectness: Sequence[torch.Tensor],
        box_regression: Sequence[torch.Tensor],
        image_sizes: Sequence[tuple[int, int]],
        targets: Sequence[ImageAnnotations] | None = None,
    ) -> list[BoxList]:
        """Propose.

        Args:
            anchors: per level, float [A_l, 4].
            objectness: per level, logits [N, A_l].
            box_regression: per level, offsets [N, A_l, 4].
            image_sizes: N pairs (height, width).
            targets: in training, N `ImageAnnotations`, whose objects are appended to the proposals.

        Returns:
            N `BoxList`s with the field "objectness" (probability). Best first, unless the limit holds per batch: then
            level by level.
        """
        boxes, scores, sizes = self._best_of_levels(anchors, objectness, box_regression)
        boxes = clip_boxes(boxes, image_sizes, None, self.convention.is_continuous)
        kept = self._without_duplicates(boxes, scores, sizes)
        index, counts = self._choose(scores, kept, several_levels=len(sizes) > 1)
        boxes, scores = boxes.gather(1, index[:, :, None].expand(-1, -1, 4)), scores.gather(1, index)
        proposals = []
        for image_boxes, image_scores, count, (height, width) in zip(boxes, scores, counts, image_sizes):
            size = int(width), int(height)
            proposal = BoxList(image_boxes[:count], size, is_continuous=self.convention.is_continuous)
            proposal.add_field("objectness", image_scores[:count])
            proposals.append(proposal)
        return proposals if targets is None else add_ground_truth(proposals, targets)

    def _best_of_levels(self, anchors, objectness, box_regression):
        """The top boxes of each level before suppression, best first within a level.

        Probabilities are ranked rather than logits, as in the original: those that round to 1 tie.

        Returns:
            boxes [N, K, 4] and probabilities [N, K], level after level, and the number of each level.
        """
        reference, offsets, scores = [], [], []
        for level_anchors, logits, level_offsets in zip(anchors, objectness, box_regression):
            top, index = logits.sigmoid().topk(min(self.pre_nms_top_n, logits.shape[1]), dim=1)
            offsets.append(level_offsets.gather(1, index[:, :, None].expand(-1, -1, 4)))
            reference.append(level_anchors[index])
            scores.append(top)
        boxes = self.box_coder.decode(cat(offsets, 1), cat(reference, 1))
        return boxes, cat(scores, 1), [level.shape[1] for level in scores]

    @torch.no_grad()
    def _without_duplicates(self, boxes, scores, sizes):
        """bool [N, K]: which boxes are left by suppression within each image and level."""
        # Written so that a box that is not a number is dropped too.
        valid = (boxes[..., 2:] - boxes[..., :2] + TO_REMOVE >= self.min_size).all(dim=2)
        kept = valid
        if self.nms_thresh > 0:
            kept = torch.zeros_like(valid)
            # what is not valid comes last, where it suppresses nothing
            for image, index in zip(kept, level_nms(boxes, scores.masked_fill(~valid, -1), sizes, self.nms_thresh)):
                image.index_fill_(0, index, True)
            kept &= valid
        if self.post_nms_top_n >= max(sizes):
            return kept
        # Within a level boxes are in the order of their scores, so a running count is their rank.
        rank = torch.cat([level.cumsum(1) for level in kept.split(sizes, 1)], 1)
        return kept & (rank <= self.post_nms_top_n)

    @torch.no_grad()
    def _choose(self, scores, kept, several_levels):
        """Each image's proposals: their indices among its boxes int64 [N, M], and how many of a row count, list of int.

        The numbers are all that the device is waited for.
        """
        if several_levels and not self.per_batch:
            best, index = scores.masked_fill(~kept, -1).topk(min(self.fpn_post_nms_top_n, scores.shape[1]), dim=1)
            return index, (best >= 0).sum(dim=1).tolist()
        if several_levels:
            best, index = scores.masked_fill(~kept, -1).flatten().topk(min(self.fpn_post_nms_top_n, scores.numel()))
            kept = torch.zeros_like(kept).flatten().scatter_(0, index, best >= 0).view_as(kept)
        return torch.argsort((~kept).to(torch.uint8), dim=1, stable=True), kept.sum(dim=1).tolist()


def add_ground_truth(proposals: Sequence[BoxList], targets: Sequence[ImageAnnotations]) -> list[BoxList]:
    """Append each image's annotated objects, crowds excepted, to its proposals, with objectness 1."""
    joined = []
    for proposal, target in zip(proposals, targets):
        if target.instances is not None and len(target.instances):
            objects = without_crowds(target.instances).convert("xyxy").bbox.to(proposal.bbox)
            objectness = torch.cat((proposal.get_field("objectness"), objects.new_ones(len(objects))))
            corners = torch.cat((proposal.bbox, objects))
            proposal = BoxList(corners, proposal.size, proposal.mode, proposal.is_continuous)
            proposal.add_field("objectness", objectness)
        joined.append(proposal)
    return joined


def make_rpn_postprocessor(cfg: CfgNode, box_coder: BoxCoder, is_train: bool) -> RPNPostProcessor:
    """The `RPNPostProcessor` that MODEL.RPN describes for training or for testing."""
    options = cfg.MODEL.RPN
    stage = "TRAIN" if is_train else "TEST"
    return RPNPostProcessor(
        options[f"PRE_NMS_TOP_N_{stage}"],
        options[f"POST_NMS_TOP_N_{stage}"],
        options.NMS_THRESH,
        options.MIN_SIZE,
        box_coder,
        options[f"FPN_POST_NMS_TOP_N_{stage}"],
        per_batch=is_train and options.FPN_POST_NMS_PER_BATCH,
        convention=box_convention(cfg),
    )


def clip_boxes(
    boxes: torch.Tensor,
    image_sizes: Sequence[tuple[int, int]],
    image: torch.Tensor | None,
    is_continuous: bool = False,
) -> torch.Tensor:
    """Boxes moved into their images, as a new tensor.

    Args:
        boxes: float [..., 4], xyxy, inclusive pixels.
        image_sizes: N pairs (height, width).
        image: int64 [...] or a shape that broadcasts with it, the image of each box; None: boxes are [N, K, 4].
        is_continuous: what is moved are edges: a box outside of its image becomes one without width or height, where
            it otherwise keeps the pixels on the border.
    """
    limits = sizes_on(image_sizes, boxes.device).flip(1).repeat(1, 2).to(boxes.dtype) - TO_REMOVE
    if is_continuous:
        first = boxes.new_tensor([0, 0, -TO_REMOVE, -TO_REMOVE])
        limits = limits + boxes.new_tensor([TO_REMOVE, TO_REMOVE, 0, 0])
        boxes = torch.maximum(boxes, first)
    else:
        boxes = boxes.clamp(min=0)
    return torch.minimum(boxes, limits[:, None] if image is None else limits[image])
