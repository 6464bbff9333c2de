"""Part segmentation: a part label for every pixel of the objects that have parts."""

import torch
from torch import nn
from yacs.config import CfgNode

from maskrcnn_benchmark.modeling.fpn_heads.semantic import PixelClassifier
from maskrcnn_benchmark.modeling.roi_heads.part_head.part_head import build_roi_part_head
from maskrcnn_benchmark.structures.dense_map import IGNORE_INDEX
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import Task, register_task


class Part(Task):
    """Parts, predicted per region or, with MODEL.PART_HEAD "fpn", once per image."""

    key = "part"
    title = "part segmentation"
    switch = "PART_ON"
    comment = "Task: parts, per detected box or once per image (MODEL.PART_HEAD)"
    losses = ("loss_part",)
    headline = "mIoU"
    parameter_prefixes = ("roi_heads.part.", "fpn_heads.heads.part_map.")
    per = "region"

    # Options ----------------------------------------------------------------------------------------------------------

    def requirements(self, cfg: CfgNode) -> tuple[str, ...]:
        """Parts per region are predicted for detected boxes."""
        return ("detection",) if cfg.MODEL.PART_HEAD == "roi" else ()

    # Labels -----------------------------------------------------------------------------------------------------------

    def is_annotated(self, annotations: ImageAnnotations) -> bool:
        instances = annotations.instances
        has_field = instances is not None and instances.has_field("parts")
        return has_field and bool(instances.get_field("parts").annotated.any())

    # Network ----------------------------------------------------------------------------------------------------------

    label_field = "parts"
    # Of its head for the whole image
    head_after = "semantic"

    def reads(self, cfg: CfgNode) -> str:
        """Feature maps, or the dense features."""
        return "maps" if cfg.MODEL.PART_HEAD == "roi" else "dense"

    def head_name(self, cfg: CfgNode) -> str:
        """As checkpoints have it."""
        return "part" if cfg.MODEL.PART_HEAD == "roi" else "part_map"

    def build_head(self, cfg: CfgNode, in_channels: int, vocabulary: Vocabulary | None) -> nn.Module:
        """A small map of parts per region, or one map for the whole image."""
        if cfg.MODEL.PART_HEAD == "roi":
            return build_roi_part_head(cfg, in_channels, owners_of_parts(vocabulary))
        stride, count = cfg.MODEL.DENSE_TRUNK.LOSS_STRIDE, cfg.MODEL.ROI_PART_HEAD.NUM_CLASSES
        return PixelClassifier(in_channels, count, "loss_part", part_labels, stride)

    # Evaluation -------------------------------------------------------------------------------------------------------

    # Files ------------------------------------------------------------------------------------------------------------

    # Pictures ---------------------------------------------------------------------------------------------------------

    # Export -----------------------------------------------------------------------------------------------------------


def owners_of_parts(vocabulary: Vocabulary | None) -> tuple[tuple[int, ...], ...] | None:
    """For each part label 1..P the labels of the classes that own it, or None where the vocabulary does not say."""
    if vocabulary is None or vocabulary.parts is None:
        return None
    label = {name: index for index, name in enumerate(vocabulary.thing_names, 1)}
    return tuple(tuple(label[name] for name in names if name in label) for names in vocabulary.parts.owners)


def part_labels(annotations: ImageAnnotations) -> torch.Tensor | None:
    """One part map of the whole image, uint8 [H, W], 0 background; None where no instance has parts.

    Pixels of instances whose parts nobody drew are ignored.
    """
    instances = annotations.instances
    if instances is None or not instances.has_field("parts"):
        return None
    parts = instances.get_field("parts")
    if not bool(parts.annotated.any()):
        return None
    flat = parts.labels.amax(dim=0)  # instance masks do not overlap, so at most one map speaks at a pixel
    if instances.has_field("masks") and not bool(parts.annotated.all()):
        masks = instances.get_field("masks").get_mask_tensor().reshape(len(instances), *flat.shape)
        flat = torch.where(masks[~parts.annotated].amax(dim=0).bool(), torch.full_like(flat, IGNORE_INDEX), flat)
    return flat


PART = register_task(Part())
