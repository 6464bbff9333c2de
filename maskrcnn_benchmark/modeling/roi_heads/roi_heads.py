"""All heads with one answer per region, run one after the other."""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import nn

from maskrcnn_benchmark.layers.roi_align import maps_to_pool
from maskrcnn_benchmark.modeling.poolers import Pooler
from maskrcnn_benchmark.modeling.roi_heads.box_head.box_head import build_roi_box_head
from maskrcnn_benchmark.modeling.roi_heads.keypoint_head.keypoint_head import build_roi_keypoint_head
from maskrcnn_benchmark.modeling.roi_heads.mask_head.mask_head import build_roi_mask_head
from maskrcnn_benchmark.modeling.roi_heads.part_head.part_head import build_roi_part_head
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.boxlist_ops import cat_boxlist
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations

# The class that joints belong to
PERSON = "person"


class CombinedROIHeads(nn.ModuleDict):
    """Box head, then the heads that describe its boxes further.

    Args:
        heads: {name: head} with "box" and any of "mask", "keypoint" and "part".
        shared: names of the heads that read the box head's region features instead of their own.
    """

    def __init__(self, heads: Mapping[str, nn.Module], shared: Iterable[str] = ()) -> None:
        super().__init__(heads)
        for name in shared:
            self[name].feature_extractor = self["box"].feature_extractor
        self["box"].keep_roi_features = bool(shared)
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
            Without targets: N `BoxList`s with fields scores, labels and those of the heads: mask, keypoints, parts; and
            {}. With targets: the proposals sampled by the box head, and {loss name: scalar} of what is annotated.
        """
        features = self._to_pool(features)
        boxes, losses = self["box"](features, proposals, targets)
        for name, head in self.items():
            if name == "box":
                continue
            regions = boxes
            if name == "keypoint" and targets is not None:
                regions = _regions_of_people(boxes, proposals, targets)
            _, head_losses = head(features, regions, targets)
            losses.update(head_losses)
        return boxes, losses

    def describe(self, features: Sequence[torch.Tensor], detections: Sequence[BoxList]) -> list[BoxList]:
        """Given detections, wherever they come from, with the fields of all heads but "box": mask, keypoints, parts.

        Args:
            features: list of feature maps [N, C, H, W], finest first.
            detections: N `BoxList`s with field labels, in pixels of the images that the features are of.
        """
        features = self._to_pool(features)
        for name, head in self.items():
            if name != "box":
                detections, _ = head(features, detections)
        return detections

    def _to_pool(self, features):
        """The maps that poolers read, in the form in which they do; coarser ones, which anchors need, as they are."""
        return maps_to_pool(features, self._num_pooled)


def _regions_of_people(sampled, proposals, targets):
    """The sampled proposals; where objects were not annotated but people were, all proposals and the people's boxes.

    On such an image the box head samples nothing, yet its people are there to learn joints from.
    """
    return [
        cat_boxlist([proposal.copy_with_fields([]), target.people.convert("xyxy").copy_with_fields([])])
        if target.instances is None and target.people is not None
        else boxes
        for boxes, proposal, target in zip(sampled, proposals, targets)
    ]


def build_roi_heads(cfg, in_channels, vocabulary=None):
    """The region heads that a config turns on.

    Args:
        cfg: the config.
        in_channels: channels of the feature maps.
        vocabulary: `Vocabulary` of the training data, which says which classes have joints and which own which parts;
            without it every detection is given both.
    """
    model = cfg.MODEL
    heads = {"box": build_roi_box_head(cfg, in_channels)}
    shared = []
    if model.MASK_ON:
        heads["mask"] = build_roi_mask_head(cfg, in_channels)
        if model.ROI_MASK_HEAD.SHARE_BOX_FEATURE_EXTRACTOR:
            shared.append("mask")
    if model.KEYPOINT_ON:
        joints = None if vocabulary is None else vocabulary.joints
        heads["keypoint"] = build_roi_keypoint_head(cfg, in_channels, joints, labels_with_joints(vocabulary))
        if model.ROI_KEYPOINT_HEAD.SHARE_BOX_FEATURE_EXTRACTOR:
            shared.append("keypoint")
    if model.PART_ON and model.PART_HEAD == "roi":
        heads["part"] = build_roi_part_head(cfg, in_channels, owners_of_parts(vocabulary))
    return CombinedROIHeads(heads, shared)


def labels_with_joints(vocabulary):
    """{label of people}, or None where the vocabulary does not say."""
    if vocabulary is None or PERSON not in vocabulary.thing_names:
        return None
    return frozenset({vocabulary.thing_names.index(PERSON) + 1})


def owners_of_parts(vocabulary):
    """For each part label 1..P the labels of the classes that own it, or None where the vocabulary does not say."""
    if vocabulary is None or vocabulary.parts is None:
        return None
    label = {name: index for index, name in enumerate(vocabulary.thing_names, 1)}
    return tuple(tuple(label[name] for name in names if name in label) for names in vocabulary.parts.owners)
