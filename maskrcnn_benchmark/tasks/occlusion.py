"""Occlusion recognition: where does one thing hide another, and which side is in front?"""

from yacs.config import CfgNode

from maskrcnn_benchmark.config.defaults import IMAGE_HEADS
from maskrcnn_benchmark.config.options import Option, section
from maskrcnn_benchmark.tasks.task import Task, register_task
from maskrcnn_benchmark.utils.ranges import Number


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

    def options(self) -> list[Option]:
        return section(
            IMAGE_HEADS,
            Option(
                "MODEL.OCCLUSION_HEAD.ATTENTION_BETA",
                4.0,
                Number(0, 1000, above=True),
                "Attention loss of DOOBNet (Wang et al. 2018): base of the focus on hard pixels",
            ),
            Option(
                "MODEL.OCCLUSION_HEAD.ATTENTION_GAMMA",
                0.5,
                Number(0, 100),
                "Attention loss of DOOBNet: exponent of the focus on hard pixels",
            ),
        )

    def dense_features(self, cfg: CfgNode) -> set[str]:
        return {"fine"}

    # Labels -----------------------------------------------------------------------------------------------------------

    # Network ----------------------------------------------------------------------------------------------------------

    # Evaluation -------------------------------------------------------------------------------------------------------

    # Files ------------------------------------------------------------------------------------------------------------

    # Pictures ---------------------------------------------------------------------------------------------------------

    # Export -----------------------------------------------------------------------------------------------------------


OCCLUSION = register_task(Occlusion())
