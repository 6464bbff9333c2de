"""Detection: a box, a class and a score for every object."""

import torch
from torch import nn
from yacs.config import CfgNode

from maskrcnn_benchmark.modeling.roi_heads.box_head.box_head import ROIBoxHead
from maskrcnn_benchmark.modeling.rpn.retinanet.retinanet import RetinaNetModule
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.tasks.exported_output import ExportedOutput, no_tensor_form
from maskrcnn_benchmark.tasks.task import Task, register_task


class Detection(Task):
    """Boxes of objects. Their `BoxList` carries the labels and outputs of all tasks per region."""

    key = "detection"
    title = "detection"
    switch = "DETECTION_ON"
    comment = "Task: detection. Instance masks, keypoints and ROI parts are predicted per detected box, so they need it"
    losses = (
        "loss_objectness",
        "loss_rpn_box_reg",
        "loss_classifier",
        "loss_box_reg",
        "loss_retina_cls",
        "loss_retina_reg",
    )
    headline = "AP"
    parameter_prefixes = ("rpn.", "roi_heads.box.")
    per = "region"

    # Options ----------------------------------------------------------------------------------------------------------

    # Labels -----------------------------------------------------------------------------------------------------------

    # Network ----------------------------------------------------------------------------------------------------------

    # Evaluation -------------------------------------------------------------------------------------------------------

    # Files ------------------------------------------------------------------------------------------------------------

    # Pictures ---------------------------------------------------------------------------------------------------------

    # Export -----------------------------------------------------------------------------------------------------------

    def exported_outputs(self, head: nn.Module) -> dict[str, ExportedOutput]:
        return {
            "boxes": ExportedOutput(
                "float32 [objects, 4]",
                "x1, y1, x2, y2 in pixels of the input; the last pixel is inside, so that a width is x2 - x1 + 1",
                tolerance=0.1,
            ),
            "scores": ExportedOutput("float32 [objects]", "probability of the label"),
            "labels": ExportedOutput(
                "int64 [objects]", "label k is vocabulary.thing_names[k - 1]; objects stand by label"
            ),
        }

    def export_refusal(self, cfg: CfgNode, head: nn.Module) -> str | None:
        return no_tensor_form(head, ROIBoxHead, RetinaNetModule)

    def export_prediction(self, prediction: ImagePrediction) -> dict[str, torch.Tensor]:
        objects = prediction.instances
        return {"boxes": objects.bbox, **{name: objects.get_field(name) for name in ("scores", "labels")}}


DETECTION = register_task(Detection())
