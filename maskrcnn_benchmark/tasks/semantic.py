"""Semantic segmentation: a class for every pixel."""

import torch
from yacs.config import CfgNode

from maskrcnn_benchmark.modeling.fpn_heads.semantic import PixelClassifier
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import Task, register_task


class Semantic(Task):
    """A class for every pixel."""

    key = "semantic"
    title = "semantic segmentation"
    switch = "SEMANTIC_ON"
    comment = "Task: semantic segmentation, per image, on shared dense features over the feature pyramid"
    losses = ("loss_semantic",)
    headline = "mIoU"
    parameter_prefixes = ("fpn_heads.heads.semantic.",)

    # Options ----------------------------------------------------------------------------------------------------------

    # Labels -----------------------------------------------------------------------------------------------------------

    # Network ----------------------------------------------------------------------------------------------------------

    def build_head(self, cfg: CfgNode, in_channels: int, vocabulary: Vocabulary | None) -> PixelClassifier:
        """Logits per class and cell of the dense features."""
        stride, count = cfg.MODEL.DENSE_TRUNK.LOSS_STRIDE, cfg.MODEL.SEMANTIC_HEAD.NUM_CLASSES
        return PixelClassifier(in_channels, count, "loss_semantic", _label_map, stride)

    # Evaluation -------------------------------------------------------------------------------------------------------

    # Files ------------------------------------------------------------------------------------------------------------

    # Pictures ---------------------------------------------------------------------------------------------------------

    # Export -----------------------------------------------------------------------------------------------------------


def _label_map(annotations: ImageAnnotations) -> torch.Tensor | None:
    """The label map of an image, uint8 [H, W], or None."""
    return None if annotations.semantic is None else annotations.semantic.labels


SEMANTIC = register_task(Semantic())
