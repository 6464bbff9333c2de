"""From RetinaNet's predictions to detections."""

from collections.abc import Sequence

import torch
from yacs.config import CfgNode

from maskrcnn_benchmark.layers import grouped_nms
from maskrcnn_benchmark.modeling.box_coder import BoxCoder
from maskrcnn_benchmark.modeling.box_convention import ORIGINAL, BoxConvention, box_convention
from maskrcnn_benchmark.modeling.rpn.inference import clip_boxes
from maskrcnn_benchmark.modeling.utils import cat
from maskrcnn_benchmark.structures.bounding_box import TO_REMOVE, BoxList
from maskrcnn_benchmark.structures.boxlist_ops import best_boxes


class RetinaNetPostProcessor:
    """Decodes the best anchors of each level, then class-wise non-maximum suppression and the best of each image.

    Args:
        score_thresh: an anchor is considered for a class when its score is above this.
        pre_nms_top_n: pairs of anchor and class decoded per image and level.
        nms_thresh: IoU above which the lower of two boxes of one class is dropped; 0 or less drops none.
        detections_per_img: detections kept per image, and those that tie with the last of them; 0 keeps all.
        box_coder: `BoxCoder`.
        convention: decides on the class of the detections and on how they are clipped.
    """

    def __init__(
        self,
        score_thresh: float,
        pre_nms_top_n: int,
        nms_thresh: float,
        detections_per_img: int,
        box_coder: BoxCoder,
        convention: BoxConvention = ORIGINAL,
    ) -> None:
        self.score_thresh = score_thresh
        self.pre_nms_top_n = pre_nms_top_n
        self.nms_thresh = nms_thresh
        self.detections_per_img = detections_per_img
        self.box_coder = box_coder
        self.convention = convention

    def __call__(
        self,
        anchors: Sequence[torch.Tensor],
        logits: Sequence[torch.Tensor],
        box_regression: Sequence[torch.Tensor],
        image_sizes: Sequence[tuple[int, int]],
    ) -> list[BoxList]:
        """Detect.

        Args:
            anchors: per level, float [A_l, 4].
            logits: per level, float [N, A_l, C], one column per class without background.
            box_regression: per level, offsets [N, A_l, 4].
            image_sizes: N pairs (height, width).

        Returns:
            N `BoxList`s, clipped to the image, with the fields scores float [D] and labels int64 [D] (1..C); ordered by
            label and, within a label, best first.
        """
        levels = [self._best_of_level(*level) for level in zip(anchors, logits, box_regression)]
        image, label, score, boxes = (cat(parts) for parts in zip(*levels))
        boxes = clip_boxes(boxes, image_sizes, image, self.convention.is_continuous)
        # Drops boxes that are not numbers, and those of anchors that some weights turn inside out.
        valid = torch.nonzero((boxes[:, 2:] - boxes[:, :2] + TO_REMOVE >= 0).all(dim=1)).squeeze(1)
        image, label, score, boxes = image[valid], label[valid], score[valid], boxes[valid]
        group = image * (logits[0].shape[2] + 1) + label
        keep = grouped_nms(boxes.detach(), score.detach(), group, self.nms_thresh)
        keep = keep[torch.argsort(group[keep], stable=True)]
        counts = torch.bincount(image[keep], minlength=len(image_sizes)).tolist()
        return [
            self._detections(boxes[index], score[index], label[index], (int(width), int(height)))
            for index, (height, width) in zip(keep.split(counts), image_sizes)
        ]

    def _best_of_level(self, anchors, logits, box_regression):
        """A level's candidates K: image int64 [K], label int64 [K], score float [K] and box float [K, 4]."""
        scores = logits.sigmoid()
        image, anchor, column = torch.nonzero(scores > self.score_thresh, as_tuple=True)
        score = scores[image, anchor, column]
        best = top_of_groups(score.detach(), image, self.pre_nms_top_n)
        image, anchor = image[best], anchor[best]
        boxes = self.box_coder.decode(box_regression[image, anchor], anchors[anchor])
        return image, column[best] + 1, score[best], boxes

    def _detections(
        self, boxes: torch.Tensor, score: torch.Tensor, label: torch.Tensor, size: tuple[int, int]
    ) -> BoxList:
        detections = BoxList(boxes, size, is_continuous=self.convention.is_continuous)
        detections.add_field("scores", score)
        detections.add_field("labels", label)
        return best_boxes(detections, self.detections_per_img)


def top_of_groups(scores: torch.Tensor, groups: torch.Tensor, count: int) -> torch.Tensor:
    """The `count` best of each group at most.

    Args:
        scores: float [K].
        groups: int64 [K], not negative.
        count: int.

    Returns:
        int64 [T]: indices, group by group, best first within a group.
    """
    order = torch.argsort(scores, descending=True, stable=True)
    order = order[torch.argsort(groups[order], stable=True)]
    sizes = torch.bincount(groups)
    first = (sizes.cumsum(0) - sizes)[groups[order]]
    rank = torch.arange(len(order), device=order.device) - first
    return order[rank < count]


def make_retinanet_postprocessor(cfg: CfgNode, box_coder: BoxCoder) -> RetinaNetPostProcessor:
    """The `RetinaNetPostProcessor` that MODEL.RETINANET and TEST describe."""
    options = cfg.MODEL.RETINANET
    return RetinaNetPostProcessor(
        options.INFERENCE_TH,
        options.PRE_NMS_TOP_N,
        options.NMS_TH,
        cfg.TEST.DETECTIONS_PER_IMG,
        box_coder,
        box_convention(cfg),
    )
