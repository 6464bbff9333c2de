"""Occlusion recognition: where does one thing hide another, and which side is in front?"""

import numpy as np
from torch import nn

from maskrcnn_benchmark.tasks.exported_output import ExportedOutput
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

    # Evaluation -------------------------------------------------------------------------------------------------------

    # Files ------------------------------------------------------------------------------------------------------------

    # Pictures ---------------------------------------------------------------------------------------------------------

    # Export -----------------------------------------------------------------------------------------------------------

    def exported_outputs(self, head: nn.Module) -> dict[str, ExportedOutput]:
        return {
            "occlusion": ExportedOutput(
                "float32 [3, height, width]",
                "probability of an edge, sine and cosine of its direction, which has the occluder on its left",
                comparable=_directions_by_edge,
            )
        }


def _directions_by_edge(scores: np.ndarray) -> np.ndarray:
    """A direction matters as much as its edge is probable, and is any where there is none."""
    return np.concatenate((scores[:1], scores[1:] * scores[:1]))


OCCLUSION = register_task(Occlusion())
