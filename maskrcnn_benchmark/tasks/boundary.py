"""Boundary detection: is there a boundary at this pixel?"""

import numpy as np

from maskrcnn_benchmark.data.statistics import DatasetCounts
from maskrcnn_benchmark.tasks.task import Task, register_task
from maskrcnn_benchmark.visualization.dataset_page import numbers_card


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

    def cards(self, counts: DatasetCounts) -> list[str]:
        pixels = np.array(counts.each(self.key, "edge pixels"))
        return [numbers_card("Boundary pixels per image", pixels, "edge pixels", "images")]

    # Network ----------------------------------------------------------------------------------------------------------

    # Evaluation -------------------------------------------------------------------------------------------------------

    # Files ------------------------------------------------------------------------------------------------------------

    # Pictures ---------------------------------------------------------------------------------------------------------

    # Export -----------------------------------------------------------------------------------------------------------


BOUNDARY = register_task(Boundary())
