"""Boundary detection: is there a boundary at this pixel?"""

from yacs.config import CfgNode

from maskrcnn_benchmark.modeling.fpn_heads.boundary import BoundaryHead
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import Task, register_task


class Boundary(Task):
    """The probability of a boundary at every pixel."""

    key = "boundary"
    title = "boundary detection"
    switch = "BOUNDARY_ON"
    comment = "Task: boundaries, per image, on the dense features and a fine decoder"
    losses = ("loss_boundary",)
    headline = "ODS-F"
    parameter_prefixes = ("fpn_heads.heads.boundary.",)

    # Options ----------------------------------------------------------------------------------------------------------

    # Labels -----------------------------------------------------------------------------------------------------------

    # Network ----------------------------------------------------------------------------------------------------------

    def reads(self, cfg: CfgNode) -> str:
        """The edge decoder's features."""
        return "fine"

    def build_head(self, cfg: CfgNode, in_channels: int, vocabulary: Vocabulary | None) -> BoundaryHead:
        """One edge probability per pixel."""
        stride, weight = cfg.MODEL.EDGE_DECODER.STRIDE, cfg.MODEL.BOUNDARY_HEAD.POSITIVE_WEIGHT
        return BoundaryHead(in_channels, stride, self.label_of, weight)

    # Evaluation -------------------------------------------------------------------------------------------------------

    # Files ------------------------------------------------------------------------------------------------------------

    # Pictures ---------------------------------------------------------------------------------------------------------

    # Export -----------------------------------------------------------------------------------------------------------


BOUNDARY = register_task(Boundary())
