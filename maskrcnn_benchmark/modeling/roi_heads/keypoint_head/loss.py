"""Which regions the keypoint head trains on, and its loss (Mask R-CNN, He et al. 2017, section 5)."""

from collections.abc import Sequence

import torch
from torch.nn import functional as F
from yacs.config import CfgNode

from maskrcnn_benchmark.modeling.matcher import Matcher
from maskrcnn_benchmark.modeling.roi_heads.matching import draw, match_proposals
from maskrcnn_benchmark.modeling.utils import cat, pad_rows
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.keypoint import keypoints_to_heat_map

# Marks a keypoint that a region does not train, among the cells of the others
NO_CELL = -100


class KeypointRCNNLossComputation:
    """Softmax cross-entropy over the cells of each visible keypoint's heat map.

    Args:
        proposal_matcher: `Matcher` of proposals to persons.
        max_rois_per_image: regions trained per image at most, drawn at random; 0 trains every positive one.
    """

    def __init__(self, proposal_matcher: Matcher, max_rois_per_image: int = 0) -> None:
        self.proposal_matcher = proposal_matcher
        self.max_rois_per_image = max_rois_per_image

    @torch.no_grad()
    def select(
        self, proposals: Sequence[BoxList], targets: Sequence[ImageAnnotations], resolution: int
    ) -> list[BoxList]:
        """The regions to train on: proposals matched to a person with a visible keypoint inside the person's box.

        Args:
            proposals: one `BoxList` per image.
            targets: one `ImageAnnotations` per image; where `people` is None no region is chosen.
            resolution: cells per side of the heat maps.

        Returns:
            One `BoxList` per image with field keypoint_cells int64 [R, K]: the cell of the region's heat map that each
            keypoint of the matched person falls in, or `NO_CELL`. No region at all where none has such a keypoint. The
            device is waited for once, for their numbers.
        """
        persons = [target.people if target.people is not None and len(target.people) else None for target in targets]
        if not any(persons):
            return [boxes[:0] for boxes in proposals]
        corners = pad_rows([boxes.bbox for boxes in proposals])
        keypoints = _padded_keypoints(persons, corners)
        boxes_of_persons = pad_rows([corners[0, :0] if p is None else p.convert("xyxy").bbox for p in persons])
        matched = match_proposals(self.proposal_matcher, corners, persons)
        trainable = (matched >= 0) & _has_visible_keypoint(keypoints, boxes_of_persons).gather(1, matched.clamp(min=0))
        for row, boxes in zip(trainable, proposals):
            row[len(boxes) :] = False
        index, chosen = draw(trainable, self.max_rois_per_image)
        corners = corners.gather(1, index[:, :, None].expand(-1, -1, 4))
        person = matched.gather(1, index).clamp(min=0)[:, :, None, None].expand(-1, -1, *keypoints.shape[2:])
        keypoints = keypoints.gather(1, person)
        cells, valid = keypoints_to_heat_map(keypoints.flatten(0, 1), corners.flatten(0, 1), resolution)
        valid = valid.bool().view(keypoints.shape[:3]) & chosen[:, :, None]
        cells = cells.view(valid.shape).masked_fill(~valid, NO_CELL)
        *counts, any_keypoint = torch.cat((chosen.sum(dim=1), valid.any()[None])).tolist()
        if not any_keypoint:
            return [boxes[:0] for boxes in proposals]
        regions = []
        for image, (boxes, count) in enumerate(zip(proposals, counts)):
            of_image = BoxList(corners[image, :count], boxes.size, is_continuous=boxes.is_continuous)
            if boxes.has_field("roi_features"):
                of_image.add_field("roi_features", boxes.get_field("roi_features")[index[image, :count]])
            of_image.add_field("keypoint_cells", cells[image, :count])
            regions.append(of_image)
        return regions

    def __call__(self, keypoint_logits: torch.Tensor, proposals: Sequence[BoxList]) -> torch.Tensor:
        """The loss.

        Args:
            keypoint_logits: float [R, K, M, M].
            proposals: what `select` returned, R boxes in all, R > 0.

        Returns:
            Mean over the visible keypoints inside their regions.
        """
        cells = cat([boxes.get_field("keypoint_cells") for boxes in proposals if len(boxes)])
        logits = keypoint_logits.flatten(2).flatten(0, 1).float()
        return F.cross_entropy(logits, cells.flatten(), ignore_index=NO_CELL)


def _padded_keypoints(persons: Sequence[BoxList | None], like: torch.Tensor) -> torch.Tensor:
    """The keypoints of the persons of each image, or None: float [N, G, K, 3], G the largest number of persons."""
    keypoints = [None if boxes is None else boxes.get_field("keypoints").keypoints for boxes in persons]
    none = next(k for k in keypoints if k is not None)[:0]
    return pad_rows([none if k is None else k for k in keypoints]).to(like.device)


def _has_visible_keypoint(keypoints: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
    """bool [...]: whether any labelled keypoint of [..., K, 3] lies within its own box of [..., 4] (xyxy)."""
    place, visibility = keypoints[..., :2], keypoints[..., 2]
    inside = (place >= boxes[..., None, :2]) & (place <= boxes[..., None, 2:])
    return (inside.all(dim=-1) & (visibility > 0)).any(dim=-1)


def make_roi_keypoint_loss_evaluator(cfg: CfgNode) -> KeypointRCNNLossComputation:
    """The loss that MODEL.ROI_HEADS and MODEL.ROI_KEYPOINT_HEAD describe."""
    node = cfg.MODEL.ROI_HEADS
    matcher = Matcher(node.FG_IOU_THRESHOLD, node.BG_IOU_THRESHOLD, allow_low_quality_matches=False)
    return KeypointRCNNLossComputation(matcher, cfg.MODEL.ROI_KEYPOINT_HEAD.MAX_ROIS_PER_IMAGE)
