"""Semantic segmentation: a class for every pixel."""

from yacs.config import CfgNode

from maskrcnn_benchmark.config.defaults import CLASSES, IMAGE_HEADS
from maskrcnn_benchmark.config.options import ClassCount, Option, section
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import Task, register_task
from maskrcnn_benchmark.utils.ranges import Integer, Range


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

    def options(self) -> list[Option]:
        return section(
            IMAGE_HEADS,
            Option(
                "MODEL.SEMANTIC_HEAD.NUM_CLASSES",
                59,
                CLASSES,
                "Classes; unlabelled pixels have no class and are ignored. Taken from the data set unless set",
            ),
        )

    def class_counts(self, vocabulary: Vocabulary) -> list[ClassCount]:
        return [ClassCount("MODEL.SEMANTIC_HEAD.NUM_CLASSES", len(vocabulary.semantic_names), "semantic classes")]

    def planes(self, cfg: CfgNode) -> int:
        return cfg.MODEL.SEMANTIC_HEAD.NUM_CLASSES

    def bounds(self) -> dict[str, Range]:
        return {"MODEL.SEMANTIC_HEAD.NUM_CLASSES": Integer(1, 1024)}

    # Labels -----------------------------------------------------------------------------------------------------------

    # Network ----------------------------------------------------------------------------------------------------------

    # Evaluation -------------------------------------------------------------------------------------------------------

    # Files ------------------------------------------------------------------------------------------------------------

    # Pictures ---------------------------------------------------------------------------------------------------------

    # Export -----------------------------------------------------------------------------------------------------------


SEMANTIC = register_task(Semantic())
