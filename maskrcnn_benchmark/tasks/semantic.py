"""Semantic segmentation: a class for every pixel."""

from torch import nn

from maskrcnn_benchmark.modeling.fpn_heads.dense_trunk import TRUNK_STRIDE
from maskrcnn_benchmark.tasks.exported_output import ExportedOutput
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

    # Evaluation -------------------------------------------------------------------------------------------------------

    # Files ------------------------------------------------------------------------------------------------------------

    # Pictures ---------------------------------------------------------------------------------------------------------

    # Export -----------------------------------------------------------------------------------------------------------

    def exported_outputs(self, head: nn.Module) -> dict[str, ExportedOutput]:
        meaning = "logits of vocabulary.semantic_names"
        return {"semantic": ExportedOutput("float32 [C, height, width]", meaning, stride=TRUNK_STRIDE)}


SEMANTIC = register_task(Semantic())
