"""From the RPN's predictions to proposals."""

import torch

from maskrcnn_benchmark.layers import grouped_nms
from maskrcnn_benchmark.modeling.utils import cat, without_crowds
from maskrcnn_benchmark.structures.bounding_box import TO_REMOVE, BoxList


class RPNPostProcessor:
    """Decodes the best anchors of each level, removes duplicates and keeps the best over all levels.

    Args:
        pre_nms_top_n, post_nms_top_n: boxes kept per image and level before and after non-maximum suppression.
        nms_thresh: its IoU; 0 or less leaves it out.
        min_size: boxes with a smaller side (pixels) are dropped.
        box_coder: `BoxCoder`.
        fpn_post_nms_top_n: boxes kept over all levels, where there are several.
        per_batch: the limit over all levels holds for the whole batch rather than for each image.
    """

    def __init__(
        self, pre_nms_top_n, post_nms_top_n, nms_thresh, min_size, box_coder, fpn_post_nms_top_n, per_batch=False
    ):
        self.pre_nms_top_n = pre_nms_top_n
        self.post_nms_top_n = post_nms_top_n
        self.nms_thresh = nms_thresh
        self.min_size = min_size
        self.box_coder = box_coder
        self.fpn_post_nms_top_n = fpn_post_nms_top_n
        self.per_batch = per_batch

    def __call__(self, anchors, objectness, box_regression, image_sizes, targets=None):
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
        boxes, scores = self._best_of_levels(anchors, objectness, box_regression)
        sizes = [scores_of_level.shape[1] for scores_of_level in scores]
        boxes, scores = cat(boxes, 1), cat(scores, 1)
        boxes = clip_boxes(boxes, image_sizes, torch.arange(len(boxes), device=boxes.device)[:, None])
        kept = self._without_duplicates(boxes, scores, sizes)
        chosen = self._choose(scores, kept, several_levels=len(sizes) > 1)
        proposals = []
        for image_boxes, image_scores, index, (height, width) in zip(boxes, scores, chosen, image_sizes):
            proposal = BoxList(image_boxes[index], (int(width), int(height)))
            proposal.add_field("objectness", image_scores[index])
            proposals.append(proposal)
        return proposals if targets is None else add_ground_truth(proposals, targets)

    def _best_of_levels(self, anchors, objectness, box_regression):
        """Each level's top boxes before suppression: boxes [N, K_l, 4] and probabilities [N, K_l], best first.

        Probabilities are ranked rather than logits, as in the original: those that round to 1 tie.
        """
        boxes, scores = [], []
        for level_anchors, logits, offsets in zip(anchors, objectness, box_regression):
            top, index = logits.sigmoid().topk(min(self.pre_nms_top_n, logits.shape[1]), dim=1)
            offsets = offsets.gather(1, index[:, :, None].expand(-1, -1, 4))
            boxes.append(self.box_coder.decode(offsets, level_anchors[index]))
            scores.append(top)
        return boxes, scores

    def _without_duplicates(self, boxes, scores, sizes):
        """bool [N, K]: which boxes are left by suppression within each image and level."""
        with torch.no_grad():
            # Written so that a box that is not a number is dropped too.
            kept = (boxes[..., 2:] - boxes[..., :2] + TO_REMOVE >= self.min_size).all(dim=2)
            if self.nms_thresh > 0:
                n, count = scores.shape
                level = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes), output_size=count)
                image = torch.arange(n, device=boxes.device)[:, None]
                group = (image * len(sizes) + level.to(boxes.device)).flatten()
                valid = torch.nonzero(kept.flatten()).squeeze(1)
                best = grouped_nms(boxes.flatten(0, 1)[valid], scores.flatten()[valid], group[valid], self.nms_thresh)
                kept = torch.zeros_like(kept).flatten().index_fill(0, valid[best], True).view(n, count)
            # Within a level boxes are in the order of their scores, so a running count is their rank.
            rank = torch.cat([level.cumsum(1) for level in kept.split(sizes, 1)], 1)
            return kept & (rank <= self.post_nms_top_n)

    def _choose(self, scores, kept, several_levels):
        """Indices of each image's proposals among its boxes: list of int64 tensors."""
        with torch.no_grad():
            if not several_levels:
                return [torch.nonzero(k).squeeze(1) for k in kept]
            if self.per_batch:
                best = self._best_of(torch.nonzero(kept.flatten()).squeeze(1), scores.flatten())
                chosen = torch.zeros_like(kept).flatten().index_fill(0, best, True)
                return [torch.nonzero(c).squeeze(1) for c in chosen.view_as(kept)]
            return [self._best_of(torch.nonzero(k).squeeze(1), s) for k, s in zip(kept, scores)]

    def _best_of(self, index, scores):
        """Those of `index` (int64 [K]) that the limit over all levels leaves, best first."""
        return index[scores[index].topk(min(self.fpn_post_nms_top_n, len(index))).indices]


def add_ground_truth(proposals, targets):
    """Append each image's annotated objects, crowds excepted, to its proposals, with objectness 1."""
    joined = []
    for proposal, target in zip(proposals, targets):
        if target.instances is not None:
            objects = without_crowds(target.instances).convert("xyxy").bbox.to(proposal.bbox)
            objectness = torch.cat((proposal.get_field("objectness"), objects.new_ones(len(objects))))
            proposal = BoxList(torch.cat((proposal.bbox, objects)), proposal.size)
            proposal.add_field("objectness", objectness)
        joined.append(proposal)
    return joined


def make_rpn_postprocessor(cfg, box_coder, is_train):
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
    )


def clip_boxes(boxes, image_sizes, image):
    """Boxes moved into their images, as a new tensor.

    Args:
        boxes: float [..., 4], xyxy, inclusive pixels.
        image_sizes: N pairs (height, width).
        image: int64 [...] or a shape that broadcasts with it, the image of each box.
    """
    limits = boxes.new_tensor([(int(w) - TO_REMOVE, int(h) - TO_REMOVE) * 2 for h, w in image_sizes])
    return torch.minimum(boxes.clamp(min=0), limits.view(-1, 4)[image])
