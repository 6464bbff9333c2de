"""Which regions the keypoint head trains on, and its loss (Mask R-CNN, He et al. 2017, section 5)."""

import torch
from torch.nn import functional as F

from maskrcnn_benchmark.modeling.matcher import Matcher
from maskrcnn_benchmark.modeling.roi_heads.matching import draw, match_proposals
from maskrcnn_benchmark.modeling.utils import cat, pad_rows
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.keypoint import keypoints_to_heat_map

# Marks a joint that a region does not train, among the cells of the others
NO_CELL = -100


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
    def select(self, proposals, targets, resolution):
        """The regions to train on: proposals matched to a person with a visible joint inside the person's box.

        Args:
            proposals: one `BoxList` per image.
            targets: one `ImageAnnotations` per image; where `people` is None no region is chosen.
            resolution: cells per side of the heat maps.

        Returns:
            One `BoxList` per image with field keypoint_cells int64 [R, K]: the cell of the region's heat map that each
            joint of the matched person falls in, or `NO_CELL`. No region at all where none has any such joint. The
            device is waited for once, for their numbers.
        """
        people = [target.people if target.people is not None and len(target.people) else None for target in targets]
        if not any(people):
            return [boxes[:0] for boxes in proposals]
        corners = pad_rows([boxes.bbox for boxes in proposals])
        joints = _padded_joints(people, corners)
        persons = pad_rows([corners[0, :0] if p is None else p.convert("xyxy").bbox for p in people])
        matched = match_proposals(self.proposal_matcher, corners, people)
        trainable = (matched >= 0) & _has_visible_joint(joints, persons).gather(1, matched.clamp(min=0))
        for row, boxes in zip(trainable, proposals):
            row[len(boxes) :] = False
        index, chosen = draw(trainable, self.max_rois_per_image)
        corners = corners.gather(1, index[:, :, None].expand(-1, -1, 4))
        person = matched.gather(1, index).clamp(min=0)[:, :, None, None].expand(-1, -1, *joints.shape[2:])
        joints = joints.gather(1, person)
        cells, valid = keypoints_to_heat_map(joints.flatten(0, 1), corners.flatten(0, 1), resolution)
        valid = valid.bool().view(joints.shape[:3]) & chosen[:, :, None]
        cells = cells.view(valid.shape).masked_fill(~valid, NO_CELL)
        *counts, any_joint = torch.cat((chosen.sum(dim=1), valid.any()[None])).tolist()
        if not any_joint:
            return [boxes[:0] for boxes in proposals]
        regions = []
        for image, (boxes, count) in enumerate(zip(proposals, counts)):
            of_image = BoxList(corners[image, :count], boxes.size)
            if boxes.has_field("roi_features"):
                of_image.add_field("roi_features", boxes.get_field("roi_features")[index[image, :count]])
            of_image.add_field("keypoint_cells", cells[image, :count])
            regions.append(of_image)
        return regions

    def __call__(self, keypoint_logits, proposals):
        """The loss.

        Args:
            keypoint_logits: float [R, K, M, M].
            proposals: what `select` returned, R boxes in all, R > 0.

        Returns:
            Mean over the visible joints inside their regions.
        """
        cells = cat([boxes.get_field("keypoint_cells") for boxes in proposals if len(boxes)])
        logits = keypoint_logits.flatten(2).flatten(0, 1).float()
        return F.cross_entropy(logits, cells.flatten(), ignore_index=NO_CELL)


def _padded_joints(people, like):
    """The joints of all images' people, or None: float [N, G, K, 3], G the largest number of people."""
    joints = [None if persons is None else persons.get_field("keypoints").keypoints for persons in people]
    none = next(j for j in joints if j is not None)[:0]
    return pad_rows([none if j is None else j for j in joints]).to(like.device)


def _has_visible_joint(joints, boxes):
    """bool [...]: whether any labelled joint of [..., K, 3] lies within its own box of [..., 4] (xyxy)."""
    place, visibility = joints[..., :2], joints[..., 2]
    inside = (place >= boxes[..., None, :2]) & (place <= boxes[..., None, 2:])
    return (inside.all(dim=-1) & (visibility > 0)).any(dim=-1)


def make_roi_keypoint_loss_evaluator(cfg):
    """The loss that MODEL.ROI_HEADS and MODEL.ROI_KEYPOINT_HEAD describe."""
    node = cfg.MODEL.ROI_HEADS
    matcher = Matcher(node.FG_IOU_THRESHOLD, node.BG_IOU_THRESHOLD, allow_low_quality_matches=False)
    return KeypointRCNNLossComputation(matcher, cfg.MODEL.ROI_KEYPOINT_HEAD.MAX_ROIS_PER_IMAGE)
