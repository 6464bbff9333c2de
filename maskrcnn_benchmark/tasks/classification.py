"""Image classification: which classes does the image show?"""

import torch
from torch import nn

from maskrcnn_benchmark.modeling.fpn_heads.dense_trunk import DenseFeatures
from maskrcnn_benchmark.modeling.roi_heads.regions import Detections
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.tasks.exported_output import ExportedOutput
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

    # Evaluation -------------------------------------------------------------------------------------------------------

    # Files ------------------------------------------------------------------------------------------------------------

    # Pictures ---------------------------------------------------------------------------------------------------------

    # Export -----------------------------------------------------------------------------------------------------------

    def exported_outputs(self, head: nn.Module) -> dict[str, ExportedOutput]:
        return {"classes": ExportedOutput("float32 [L]", "probabilities of vocabulary.image_label_names")}

    def export_prediction(self, prediction: ImagePrediction) -> dict[str, torch.Tensor]:
        return {"classes": prediction.classes}

    def export_tensors(
        self, head: nn.Module, features: DenseFeatures, regions: Detections | None
    ) -> dict[str, torch.Tensor]:
        return {"classes": head.scores(features)[0]}


CLASSIFICATION = register_task(Classification())
