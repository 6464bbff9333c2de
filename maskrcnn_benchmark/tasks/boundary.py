"""Boundary detection: is there a boundary at this pixel?"""

import torch
from torch import nn

from maskrcnn_benchmark.modeling.fpn_heads.dense_trunk import DenseFeatures
from maskrcnn_benchmark.modeling.roi_heads.regions import Detections
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.tasks.exported_output import ExportedOutput
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

    # Pictures ---------------------------------------------------------------------------------------------------------

    # Export -----------------------------------------------------------------------------------------------------------

    def exported_outputs(self, head: nn.Module) -> dict[str, ExportedOutput]:
        return {"boundary": ExportedOutput("float32 [height, width]", "probability of a boundary")}

    def export_prediction(self, prediction: ImagePrediction) -> dict[str, torch.Tensor]:
        return {"boundary": prediction.boundary.resize(prediction.size).scores[0]}

    def export_tensors(
        self, head: nn.Module, features: DenseFeatures, regions: Detections | None
    ) -> dict[str, torch.Tensor]:
        return {"boundary": head.scores(features)[0, 0]}


BOUNDARY = register_task(Boundary())
