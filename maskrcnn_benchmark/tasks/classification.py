"""Image classification: which classes does the image show?"""

from yacs.config import CfgNode

from maskrcnn_benchmark.modeling.fpn_heads.classification import ClassificationHead
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import Task, register_task


class Classification(Task):
    """The probability of every image label."""

    key = "classification"
    title = "image classification"
    switch = "CLASSIFICATION_ON"
    comment = "Task: image labels, per image"
    losses = ("loss_classification",)
    headline = "mAP"
    parameter_prefixes = ("fpn_heads.heads.classes.",)

    # Options ----------------------------------------------------------------------------------------------------------

    # Labels -----------------------------------------------------------------------------------------------------------

    # Network ----------------------------------------------------------------------------------------------------------

    def reads(self, cfg: CfgNode) -> str:
        """The levels P3 to P5."""
        return "pyramid"

    def head_name(self, cfg: CfgNode) -> str:
        """As checkpoints have it."""
        return "classes"

    def build_head(self, cfg: CfgNode, in_channels: int, vocabulary: Vocabulary | None) -> ClassificationHead:
        """A probability per image label."""
        return ClassificationHead(in_channels, cfg.MODEL.CLASSIFICATION_HEAD.NUM_CLASSES, self.label_of)

    # Evaluation -------------------------------------------------------------------------------------------------------

    # Files ------------------------------------------------------------------------------------------------------------

    # Pictures ---------------------------------------------------------------------------------------------------------

    # Export -----------------------------------------------------------------------------------------------------------


CLASSIFICATION = register_task(Classification())
