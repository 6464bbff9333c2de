"""Which regions the keypoint head trains on, and its loss (Mask R-CNN, He et al. 2017, section 5)."""

import torch
from torch.nn import functional as F

from maskrcnn_benchmark.modeling.matcher import Matcher
from maskrcnn_benchmark.modeling.roi_heads.matching import draw, match_proposals
from maskrcnn_benchmark.modeling.utils import cat
from maskrcnn_benchmark.structures.keypoint import keypoints_to_heat_map


class KeypointRCNNLossComputation:
    """Softmax cross-entropy over the cells of each visible joint's heat map.

    Args:
        proposal_matcher: `Matcher` of proposals to people.
        max_rois_per_image: regions trained per image at most, drawn at random; 0 trains every positive one.
    """

    def __init__(self, proposal_matcher, max_rois_per_image=0):
        self.proposal_matcher = proposal_matcher
        self.max_rois_per_image = max_rois_per_image

    @torch.no_grad()
    def select(self, proposals, targets):
        """The regions to train on: proposals matched to a person with a visible joint inside the person's box.

        Args:
            proposals: one `BoxList` per image.
            targets: one `ImageAnnotations` per image; where `people` is None no region is chosen.

        Returns:
            One `BoxList` per image with field keypoints float [R, K, 3], the joints of the matched person.
        """
        return [self._select(boxes, target.people) for boxes, target in zip(proposals, targets)]

    def _select(self, boxes, people):
        boxes = boxes.copy_with_fields("roi_features", skip_missing=True)
        if people is None or not len(people):
            return boxes[:0]
        people = people.convert("xyxy")
        joints = people.get_field("keypoints").keypoints
        matched = match_proposals(self.proposal_matcher, boxes, people)
        trainable = (matched >= 0) & _has_visible_joint(joints, people.bbox)[matched.clamp(min=0)]
        chosen = draw(torch.nonzero(trainable).squeeze(1), self.max_rois_per_image)
        boxes = boxes[chosen]
        boxes.add_field("keypoints", joints[matched[chosen]])
        return boxes

    def __call__(self, keypoint_logits, proposals):
        """The loss.

        Args:
            keypoint_logits: float [R, K, M, M].
            proposals: what `select` returned, R boxes in all.

        Returns:
            Mean over the visible joints inside their regions; None where there is none.
        """
        resolution = keypoint_logits.shape[-1]
        filled = [boxes for boxes in proposals if len(boxes)]
        joints = cat([boxes.get_field("keypoints") for boxes in filled])
        cells, valid = keypoints_to_heat_map(joints, cat([boxes.bbox for boxes in filled]), resolution)
        valid = torch.nonzero(valid.flatten()).squeeze(1)
        if not len(valid):
            return None
        logits = keypoint_logits.flatten(2).flatten(0, 1)[valid].float()
        return F.cross_entropy(logits, cells.flatten()[valid].to(torch.int64))


def _has_visible_joint(joints, boxes):
    """bool [N]: whether any labelled joint of [N, K, 3] lies within its own box of [N, 4] (xyxy)."""
    x, y, visibility = joints.unbind(-1)
    x1, y1, x2, y2 = boxes[:, :, None].unbind(1)
    return ((visibility > 0) & (x >= x1) & (x <= x2) & (y >= y1) & (y <= y2)).any(dim=1)


def make_roi_keypoint_loss_evaluator(cfg):
    """The loss that MODEL.ROI_HEADS and MODEL.ROI_KEYPOINT_HEAD describe."""
    node = cfg.MODEL.ROI_HEADS
    matcher = Matcher(node.FG_IOU_THRESHOLD, node.BG_IOU_THRESHOLD, allow_low_quality_matches=False)
    return KeypointRCNNLossComputation(matcher, cfg.MODEL.ROI_KEYPOINT_HEAD.MAX_ROIS_PER_IMAGE)
