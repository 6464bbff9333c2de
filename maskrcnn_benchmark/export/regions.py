"""Detection on plain tensors of one image, with shapes that an exported graph can follow.

What `modeling.rpn` and `modeling.roi_heads` do with a `BoxList` for each image of a batch is done here for one image:
the same modules, coders and limits, but no Python that depends on a number. A row is added to the regions that a head
reads, and taken from its outputs, so that a head never runs on nothing.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torchvision import ops

from maskrcnn_benchmark.export.suppression import Suppression
from maskrcnn_benchmark.layers.nms import inclusive_to_exclusive
from maskrcnn_benchmark.modeling.poolers import Pooler
from maskrcnn_benchmark.modeling.roi_heads.regions import Detections
from maskrcnn_benchmark.modeling.rpn.anchor_generator import grid_anchors
from maskrcnn_benchmark.modeling.rpn.utils import rows_of_levels
from maskrcnn_benchmark.structures.bounding_box import TO_REMOVE

Maps = Sequence[torch.Tensor]
# Takes the place of a score where there is no box; scores are not negative
NOTHING = -1.0


class TensorPooler(nn.Module):
    """`modeling.poolers.Pooler` for the boxes of one image as a tensor.

    Args:
        pooler: the `Pooler` whose settings it takes.
    """

    def __init__(self, pooler: Pooler) -> None:
        super().__init__()
        self.output_size, self.scales = pooler.output_size, pooler.scales
        self.sampling_ratio, self.map_levels = pooler.sampling_ratio, pooler.map_levels

    def forward(self, x: Maps, boxes: torch.Tensor) -> torch.Tensor:
        """Feature maps [1, C, H_l, W_l], finest first, and boxes float [R, 4] -> [R, C, *output_size]."""
        rois = torch.cat((boxes.new_zeros(boxes.shape[0], 1), boxes), dim=1)
        if len(self.scales) == 1:
            return self._pool(x[0], rois, self.scales[0])
        sides = inclusive_to_exclusive(boxes)
        levels = self.map_levels.of_areas((sides[:, 2] - sides[:, 0]) * (sides[:, 3] - sides[:, 1]))
        pooled = x[0].new_zeros(boxes.shape[0], x[0].shape[1], *self.output_size)
        for level, scale in enumerate(self.scales):
            index = torch.nonzero(levels == level).squeeze(1)
            pooled = pooled.index_put((index,), self._pool(x[level], rois.index_select(0, index), scale))
        return pooled

    def _pool(self, features, rois, scale):
        return ops.roi_align(features, rois, self.output_size, scale, self.sampling_ratio, aligned=False)


def clip(boxes: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Boxes float [N, 4] moved into an image of size = (height, width)."""
    height, width = size
    x = boxes[:, 0::2].clamp(min=0, max=width - TO_REMOVE)
    y = boxes[:, 1::2].clamp(min=0, max=height - TO_REMOVE)
    return torch.stack((x, y), dim=2).flatten(1)


def best(scores: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The `count` best of float [N] scores, however many there are: values [count], and indices [count] below N.

    Where N is less, the rest of the values is `NOTHING`.
    """
    padded = torch.cat((scores, scores.new_full((count,), NOTHING)))
    values, index = padded.topk(count)
    return values, torch.where(values > NOTHING, index, 0)


def propose(rpn: Any, features: Maps, size: Sequence[int], nms: Suppression) -> torch.Tensor:
    """What `RPNModule` proposes in testing.

    Args:
        rpn: the `RPNModule`.
        features: maps [1, C, H_l, W_l], finest first.
        size: (height, width) of the image, padding excluded.
        nms: `suppression.apart_nms` or `suppression.onnx_nms`.

    Returns:
        float [R, 4], best first.
    """
    selector, generator = rpn.box_selector_test, rpn.anchor_generator
    logits, offsets = (rows_of_levels(maps, generator.num_anchors_per_location()) for maps in rpn.head(features))
    decoded, best_scores = [], []
    for maps, cell, stride, level_logits, level_offsets in zip(
        features, generator.cell_anchors, generator.strides, logits, offsets
    ):
        top, index = best(level_logits[0, :, 0].sigmoid(), selector.pre_nms_top_n)
        anchors = grid_anchors(cell, stride, *maps.shape[-2:])
        decoded.append(selector.box_coder.decode(level_offsets[0][index], anchors[index]))
        best_scores.append(top)
    level = torch.arange(len(best_scores)).repeat_interleave(selector.pre_nms_top_n)
    boxes, scores = clip(torch.cat(decoded), size), torch.cat(best_scores)
    kept = (boxes[:, 2:] - boxes[:, :2] + TO_REMOVE >= selector.min_size).all(dim=1) & (scores > NOTHING)
    if selector.nms_thresh > 0:
        valid = torch.nonzero(kept).squeeze(1)
        chosen = nms(boxes[valid], scores[valid], level[valid], len(logits), selector.nms_thresh, sum(size))
        kept = (
            torch.zeros(len(scores), dtype=torch.int64).index_put((valid[chosen],), torch.ones(()).to(torch.int64)) > 0
        )
    rank = kept.to(torch.int64).view(len(logits), -1).cumsum(1).flatten()
    kept = kept & (rank <= selector.post_nms_top_n)
    if len(logits) == 1:
        return boxes[torch.nonzero(kept).squeeze(1)]
    ranked, index = torch.where(kept, scores, NOTHING).topk(min(selector.fpn_post_nms_top_n, len(scores)))
    return boxes[index[torch.nonzero(ranked > NOTHING).squeeze(1)]]


def detect(head: Any, features: Maps, proposals: torch.Tensor, size: Sequence[int], nms: Suppression) -> Detections:
    """What `ROIBoxHead` or `CascadeROIBoxHead` detects in testing.

    Args:
        head: either of them.
        features, size, nms: as of `propose`.
        proposals: float [R, 4].

    Returns:
        `Detections`, by label.
    """
    selector = head.post_processor
    probabilities = []
    for stage in head.stages:
        logits, codes = stage.predict(features, with_spare(proposals))
        probabilities.append(logits.float().softmax(dim=1)[:-1])
        if stage is not head.stages[-1]:
            moved = stage.post_processor.box_coder.decode(codes.unflatten(1, (-1, 4))[:-1, 1], proposals)
            proposals = clip(moved, size)
    scores = torch.stack(probabilities).mean(dim=0)
    label, roi = torch.nonzero(scores.t()[1:] > selector.score_thresh).unbind(1)
    label = label + 1
    column = torch.ones_like(label) if selector.cls_agnostic_bbox_reg else label
    boxes = selector.box_coder.decode(codes.unflatten(1, (-1, 4))[roi, column], proposals[roi])
    found = Detections(clip(boxes, size), scores[roi, label], label)
    if selector.nms > 0:
        keep = nms(*found, logits.shape[1], selector.nms, sum(size)).sort().values
        found = pick(found, keep)
    return best_detections(found, selector.detections_per_img)


def detect_in_one_stage(module: Any, features: Maps, size: Sequence[int], nms: Suppression) -> Detections:
    """What `RetinaNetModule` detects in testing: `Detections`, by label. The arguments are those of `propose`."""
    selector, generator = module.box_selector_test, module.anchor_generator
    logits, offsets = (rows_of_levels(maps, generator.num_anchors_per_location()) for maps in module.head(features))
    num_classes = logits[0].shape[2]
    levels = []
    for maps, cell, stride, level_logits, level_offsets in zip(
        features, generator.cell_anchors, generator.strides, logits, offsets
    ):
        scores = level_logits[0].sigmoid()
        anchor, column = torch.nonzero(scores > selector.score_thresh).unbind(1)
        top, index = best(scores[anchor, column], selector.pre_nms_top_n)
        index = index[torch.nonzero(top > NOTHING).squeeze(1)]
        anchor, column = anchor[index], column[index]
        anchors = grid_anchors(cell, stride, *maps.shape[-2:])
        boxes = selector.box_coder.decode(level_offsets[0][anchor], anchors[anchor])
        levels.append(Detections(clip(boxes, size), scores[anchor, column], column + 1))
    found = Detections(*(torch.cat(parts) for parts in zip(*levels)))
    valid = (found.boxes[:, 2:] - found.boxes[:, :2] + TO_REMOVE >= 0).all(dim=1)
    found = pick(found, torch.nonzero(valid).squeeze(1))
    if selector.nms_thresh > 0:
        found = pick(found, nms(*found, num_classes + 1, selector.nms_thresh, sum(size)))
    else:
        found = pick(found, found.scores.argsort(descending=True, stable=True))
    found = pick(found, found.labels.argsort(stable=True))
    return best_detections(found, selector.detections_per_img)


def best_detections(found: Detections, count: int) -> Detections:
    """As `boxlist_ops.best_boxes`: the `count` best and those that tie with the last of them; 0 or less keeps all."""
    if count <= 0:
        return found
    least = best(found.scores, count)[0][-1]
    return pick(found, torch.nonzero(found.scores >= least).squeeze(1))


def pick(found: Detections, index: torch.Tensor) -> Detections:
    """The `Detections` at int64 [K] indices."""
    return Detections(*(part.index_select(0, index) for part in found))


def with_spare(rows: torch.Tensor) -> torch.Tensor:
    """[N, ...] rows and one more of 0."""
    return torch.cat((rows, rows.new_zeros(1, *rows.shape[1:])))
