"""From class scores and box codes to detections."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F
from yacs.config import CfgNode

from maskrcnn_benchmark.layers import grouped_nms
from maskrcnn_benchmark.modeling.box_coder import BoxCoder
from maskrcnn_benchmark.modeling.box_convention import ORIGINAL, BoxConvention, box_convention
from maskrcnn_benchmark.modeling.rpn.inference import clip_boxes
from maskrcnn_benchmark.modeling.utils import cat
from maskrcnn_benchmark.structures.bounding_box import TO_REMOVE, BoxList
from maskrcnn_benchmark.structures.boxlist_ops import best_boxes


class PostProcessor(nn.Module):
    """Score threshold, class-wise non-maximum suppression and the best detections of each image.

    Args:
        score_thresh: a class is considered for a proposal when its score is above this.
        nms: IoU above which the lower of two boxes of one class is dropped.
        detections_per_img: detections kept per image, and those that tie with the last of them.
        box_coder: `BoxCoder`.
        cls_agnostic_bbox_reg: the codes are one refinement for all classes.
        convention: decides on the class of the detections and on what is clipped and dropped.
    """

    def __init__(
        self,
        score_thresh: float = 0.05,
        nms: float = 0.5,
        detections_per_img: int = 100,
        box_coder: BoxCoder | None = None,
        cls_agnostic_bbox_reg: bool = False,
        convention: BoxConvention = ORIGINAL,
    ) -> None:
        super().__init__()
        self.score_thresh = score_thresh
        self.nms = nms
        self.detections_per_img = detections_per_img
        self.box_coder = box_coder or BoxCoder(weights=(10.0, 10.0, 5.0, 5.0))
        self.cls_agnostic_bbox_reg = cls_agnostic_bbox_reg
        self.convention = convention

    def forward(self, x: tuple[torch.Tensor, torch.Tensor], boxes: Sequence[BoxList]) -> list[BoxList]:
        """Detect.

        Args:
            x: class logits [R, num_classes] and box codes [R, 4 * num_classes] (or 8 when class-agnostic).
            boxes: one `BoxList` of proposals per image, R boxes in all.

        Returns:
            One `BoxList` per image with fields scores float [D] and labels int64 [D], ordered by label and, within a
            label, as the proposals were. Boxes are clipped to the image.
        """
        return self.select(self.candidates(x, boxes))

    def candidates(self, x: tuple[torch.Tensor, torch.Tensor], boxes: Sequence[BoxList]) -> list[BoxList]:
        """As `forward`, but all boxes above the score threshold, duplicates included."""
        class_logits, box_regression = x
        return self.above_threshold(F.softmax(class_logits.float(), dim=-1), box_regression, boxes)

    def above_threshold(
        self, scores: torch.Tensor, box_regression: torch.Tensor, boxes: Sequence[BoxList]
    ) -> list[BoxList]:
        """As `candidates`, of probabilities float [R, num_classes] in place of logits."""
        image = _image_of_each_box(boxes)
        # class-major, so that a stable sort by image leaves class after class with the proposals in order
        label, roi = torch.nonzero(scores.t()[1:] > self.score_thresh, as_tuple=True)
        label = label + 1
        order = torch.argsort(image[roi], stable=True)
        label, roi = label[order], roi[order]
        score, image = scores[roi, label], image[roi]
        found = self._decode(box_regression, boxes, roi, label, image)
        if self.convention.least_detection is not None:
            sides = found[:, 2:] - found[:, :2] + TO_REMOVE
            large = torch.nonzero((sides >= self.convention.least_detection).all(dim=1)).squeeze(1)
            found, score, label, image = found[large], score[large], label[large], image[large]
        counts = torch.bincount(image, minlength=len(boxes)).tolist()
        sizes = (proposals.size for proposals in boxes)
        parts = zip(found.split(counts), score.split(counts), label.split(counts), sizes)
        return [self._detections(*of_image) for of_image in parts]

    def refined(
        self, box_regression: torch.Tensor, boxes: Sequence[BoxList], without_empty: bool = False
    ) -> list[BoxList]:
        """Boxes as class-agnostic codes move them, clipped to the image: the regions of the next stage of a cascade.

        Args:
            box_regression: box codes [R, 8]. They get no gradient.
            boxes: one `BoxList` per image, R boxes in all.
            without_empty: leave out those without width or height. The device is waited for, for their numbers.

        Returns:
            One `BoxList` per image without fields, in the order of `boxes`.
        """
        image, counts = _image_of_each_box(boxes), [len(b) for b in boxes]
        every = torch.arange(len(image), device=image.device)
        found = self._decode(box_regression.detach(), boxes, every, every, image)
        if without_empty:
            has_area = (found[:, 2:] - found[:, :2] + TO_REMOVE > 0).all(dim=1)
            kept = torch.nonzero(has_area).squeeze(1)
            found, counts = found[kept], torch.bincount(image[kept], minlength=len(boxes)).tolist()
        return [
            BoxList(part, of_image.size, "xyxy", self.convention.is_continuous)
            for part, of_image in zip(found.split(counts), boxes)
        ]

    def select(self, candidates: Sequence[BoxList]) -> list[BoxList]:
        """The best candidates of each image without duplicates, in the order that they came in.

        Args:
            candidates: one `BoxList` per image with fields scores and labels, xyxy.
        """
        found = cat([c.bbox for c in candidates])
        score, label = _joined(candidates, "scores"), _joined(candidates, "labels")
        image = _image_of_each_box(candidates)
        groups = image * (int(label.max()) + 1 if len(label) else 1) + label
        keep = grouped_nms(found.detach(), score.detach(), groups, self.nms).sort().values
        counts = torch.bincount(image[keep], minlength=len(candidates)).tolist()
        return [
            best_boxes(self._detections(found[index], score[index], label[index], boxes.size), self.detections_per_img)
            for index, boxes in zip(keep.split(counts), candidates)
        ]

    def _decode(self, box_regression, boxes, roi, label, image):
        """float [C, 4]: the box of each candidate (proposal, class), clipped to its image."""
        column = torch.ones_like(label) if self.cls_agnostic_bbox_reg else label
        codes = box_regression.float().unflatten(1, (-1, 4))[roi, column]
        found = self.box_coder.decode(codes, cat([b.bbox for b in boxes])[roi])
        sizes = [(height, width) for width, height in (b.size for b in boxes)]
        return clip_boxes(found, sizes, image, self.convention.is_continuous)

    def _detections(
        self, found: torch.Tensor, score: torch.Tensor, label: torch.Tensor, size: tuple[int, int]
    ) -> BoxList:
        detections = BoxList(found, size, "xyxy", self.convention.is_continuous)
        detections.add_field("scores", score)
        detections.add_field("labels", label)
        return detections


def _joined(boxlists: Sequence[BoxList], field: str) -> torch.Tensor:
    return cat([boxes.get_field(field) for boxes in boxlists])


def _image_of_each_box(boxes: Sequence[BoxList]) -> torch.Tensor:
    device = boxes[0].bbox.device
    counts = torch.tensor([len(b) for b in boxes], device=device)
    total = sum(len(b) for b in boxes)  # which the device would be asked for
    return torch.repeat_interleave(torch.arange(len(boxes), device=device), counts, output_size=total)


def make_roi_box_post_processor(cfg: CfgNode, stage: int | None = None) -> PostProcessor:
    """The post-processor that MODEL.ROI_HEADS and TEST describe; of a stage, from 0, of MODEL.ROI_BOX_HEAD.CASCADE."""
    node, cascade = cfg.MODEL.ROI_HEADS, cfg.MODEL.ROI_BOX_HEAD.CASCADE
    return PostProcessor(
        node.SCORE_THRESH,
        node.NMS,
        node.DETECTIONS_PER_IMG,
        BoxCoder(weights=node.BBOX_REG_WEIGHTS if stage is None else cascade.BBOX_REG_WEIGHTS[stage]),
        cfg.MODEL.CLS_AGNOSTIC_BBOX_REG,
        box_convention(cfg),
    )
