"""All heads with one output per region, run one after the other."""

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from yacs.config import CfgNode

from maskrcnn_benchmark.layers.roi_align import maps_to_pool
from maskrcnn_benchmark.modeling.poolers import Pooler
from maskrcnn_benchmark.modeling.roi_heads.regions import ROI_FEATURES
from maskrcnn_benchmark.modeling.utils import build_heads
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.vocabulary import Vocabulary

# The head whose regions and detections the others describe
BOX = "box"


class CombinedROIHeads(nn.ModuleDict):
    """Box head, then the heads that describe its boxes further.

    A head is (feature maps, boxes, targets or None) -> (boxes, losses). In training its boxes are those that the box
    head sampled (fields labels, matched_idxs, see `FastRCNNLossComputation.subsample`), or what its method
    `training_regions(sampled, proposals, targets)` makes of them if it has one. In testing they are the detections,
    which it gives a field.

    Args:
        heads: {name: head} with "box".
        shared: names of the heads that get the box head's region features: as the boxes' field "roi_features", and
            those with a module `feature_extractor` have it replaced by the box head's.
    """

    def __init__(self, heads: Mapping[str, Any], shared: Iterable[str] = ()) -> None:
        super().__init__(heads)
        self.shared = frozenset(shared)
        # In testing, a head that has an extractor runs it on the boxes that it is to describe
        self._fed = set()
        for name in self.shared:
            if getattr(self[name], "feature_extractor", None) is None:
                self._fed.add(name)
            else:
                self[name].feature_extractor = self[BOX].feature_extractor
        heads[BOX].keep_roi_features = bool(self.shared)
        scales = [len(module.scales) for module in self.modules() if isinstance(module, Pooler)]
        self._num_pooled = max(scales, default=0)

    def forward(
        self,
        features: Sequence[torch.Tensor],
        proposals: Sequence[BoxList],
        targets: Sequence[ImageAnnotations] | None = None,
    ) -> tuple[list[BoxList], dict[str, torch.Tensor]]:
        """Detections, or losses.

        Args:
            features: list of feature maps [N, C, H, W], finest first.
            proposals: N `BoxList`s.
            targets: N `ImageAnnotations` in training, else None.

        Returns:
            Without targets: N `BoxList`s with fields scores, labels and those of the other heads, such as mask,
            keypoints, parts; and {}. With targets: the proposals sampled by the box head, and {loss name: scalar} of
            what is annotated.
        """
        features = self._to_pool(features)
        boxes, losses = self[BOX](features, proposals, targets)
        if targets is None:
            return self._described(features, boxes), losses
        plain = [_without_features(of_image) for of_image in boxes] if self.shared else boxes
        for name, head in self.items():
            if name == BOX:
                continue
            regions = boxes if name in self.shared else plain
            if hasattr(head, "training_regions"):
                regions = head.training_regions(regions, proposals, targets)  # type: ignore[operator]
            _, head_losses = head(features, regions, targets)
            losses.update(head_losses)
        return boxes, losses

    def describe(self, features: Sequence[torch.Tensor], detections: Sequence[BoxList]) -> list[BoxList]:
        """Given detections, wherever they come from, with the fields of all heads but "box".

        Args:
            features: list of feature maps [N, C, H, W], finest first.
            detections: N `BoxList`s with field labels, in pixels of the images that the features are of.
        """
        return self._described(self._to_pool(features), detections)

    def _described(self, features, detections):
        shared = None
        for name, head in self.items():
            if name == BOX:
                continue
            if name in self._fed:
                if shared is None:
                    shared = self[BOX].feature_extractor(features, detections).split([len(b) for b in detections])
                for boxes, of_image in zip(detections, shared):
                    boxes.add_field(ROI_FEATURES, of_image)
            detections, _ = head(features, detections)
            for boxes in detections if name in self._fed else ():
                boxes.extra_fields.pop(ROI_FEATURES, None)
        return detections

    def _to_pool(self, features: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        """The maps that poolers read, in the form in which they do; coarser ones, which anchors need, as they are."""
        return maps_to_pool(features, self._num_pooled)


def _without_features(boxes: BoxList) -> BoxList:
    """The same boxes without the box head's region features, for heads that pool their own."""
    boxes = copy.copy(boxes)
    boxes.extra_fields = {name: field for name, field in boxes.extra_fields.items() if name != ROI_FEATURES}
    return boxes


def build_roi_heads(
    cfg: CfgNode, in_channels: int, vocabulary: Vocabulary | None = None, tasks: Iterable[Any] | None = None
) -> CombinedROIHeads:
    """The box head and the heads of the other tasks that describe regions.

    Args:
        cfg: the config.
        in_channels: channels of the feature maps.
        vocabulary: `Vocabulary` of the training data, which says which classes have keypoints and which own which
            parts; without it every detection is given both.
        tasks: `Task`s that are on, in the registry's order; None: those that the config turns on.
    """
    if tasks is None:
        from maskrcnn_benchmark.tasks.task import enabled_tasks

        tasks = enabled_tasks(cfg)
    tasks = [task for task in tasks if task.per != "derived"]
    boxes = [task for task in tasks if task.head_name(cfg) == BOX]
    built: dict[str, Any] = build_heads(cfg, boxes, {"maps": in_channels}, vocabulary)
    channels = {"maps": in_channels, "box": built[BOX][1].feature_extractor.out_channels}
    built.update(build_heads(cfg, [task for task in tasks if task not in boxes], channels, vocabulary))
    shared = [name for name, (task, _) in built.items() if task.shares_box_features(cfg)]
    return CombinedROIHeads({name: head for name, (_, head) in built.items()}, shared)
