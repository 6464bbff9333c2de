"""Boundary detection: is there a boundary at this pixel?"""

from maskrcnn_benchmark.prediction_files.maps import MapFile, StrengthMaps
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

    # Evaluation -------------------------------------------------------------------------------------------------------

    # Files ------------------------------------------------------------------------------------------------------------

    def files(self) -> tuple[MapFile, ...]:
        encodings = {self.key: "PNG of 8 bits: probability of a boundary times 255"}
        return (StrengthMaps(self.key, text="a grey PNG per image: strength", encodings=encodings),)

    # Pictures ---------------------------------------------------------------------------------------------------------

    # Export -----------------------------------------------------------------------------------------------------------


BOUNDARY = register_task(Boundary())
