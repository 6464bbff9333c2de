"""Occlusion recognition: where does one thing hide another, and which side is in front?"""

from yacs.config import CfgNode

from maskrcnn_benchmark.modeling.fpn_heads.occlusion import OcclusionHead
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import Task, register_task


class Occlusion(Task):
    """Occlusion edges and their direction, which has the occluder on its left."""

    key = "occlusion"
    title = "occlusion recognition"
    switch = "OCCLUSION_ON"
    comment = "Task: occlusion edges, per image, on the dense features and a fine decoder"
    losses = ("loss_occlusion_edge", "loss_occlusion_direction")
    headline = "OPR-ODS-F"
    parameter_prefixes = ("fpn_heads.heads.occlusion.",)

    # Options ----------------------------------------------------------------------------------------------------------

    # Labels -----------------------------------------------------------------------------------------------------------

    # Network ----------------------------------------------------------------------------------------------------------

    def reads(self, cfg: CfgNode) -> str:
        """The edge decoder's features."""
        return "fine"

    def build_head(self, cfg: CfgNode, in_channels: int, vocabulary: Vocabulary | None) -> OcclusionHead:
        """An edge probability and a direction per pixel."""
        stride, node = cfg.MODEL.EDGE_DECODER.STRIDE, cfg.MODEL.OCCLUSION_HEAD
        return OcclusionHead(in_channels, stride, self.label_of, node.ATTENTION_BETA, node.ATTENTION_GAMMA)

    # Evaluation -------------------------------------------------------------------------------------------------------

    # Files ------------------------------------------------------------------------------------------------------------

    # Pictures ---------------------------------------------------------------------------------------------------------

    # Export -----------------------------------------------------------------------------------------------------------


OCCLUSION = register_task(Occlusion())
