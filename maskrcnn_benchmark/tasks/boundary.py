"""Boundary detection: is there a boundary at this pixel?"""

from yacs.config import CfgNode

from maskrcnn_benchmark.config.defaults import IMAGE_HEADS, INSIDE_FRACTION
from maskrcnn_benchmark.config.options import Option, section
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

    def options(self) -> list[Option]:
        return section(
            IMAGE_HEADS,
            Option(
                "MODEL.BOUNDARY_HEAD.POSITIVE_WEIGHT",
                0.95,
                INSIDE_FRACTION,
                "Weight of edge pixels in the cross-entropy, 1 - it for the others (0.95: the field's value on "
                "PASCAL-Context)",
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


BOUNDARY = register_task(Boundary())
