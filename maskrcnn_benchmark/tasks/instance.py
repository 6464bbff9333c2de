"""Instance segmentation: a mask for every object."""

from collections.abc import Sequence

import torch
from torch import nn
from yacs.config import CfgNode

from maskrcnn_benchmark.modeling.roi_heads.mask_head.mask_head import ROIMaskHead
from maskrcnn_benchmark.modeling.roi_heads.regions import Detections
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.tasks.exported_output import ExportedOutput, no_tensor_form
from maskrcnn_benchmark.tasks.task import Task, register_task


class Instance(Task):
    """The mask of every object."""

    key = "instance"
    title = "instance segmentation"
    switch = "MASK_ON"
    comment = "Task: instance masks, per detected box"
    losses = ("loss_mask",)
    headline = "AP"
    parameter_prefixes = ("roi_heads.mask.",)
    per = "region"
    requires = ("detection",)

    # Options ----------------------------------------------------------------------------------------------------------

    # Labels -----------------------------------------------------------------------------------------------------------

    def is_annotated(self, annotations: ImageAnnotations) -> bool:
        return annotations.instances is not None and annotations.instances.has_field("masks")

    # Network ----------------------------------------------------------------------------------------------------------

    # Evaluation -------------------------------------------------------------------------------------------------------

    # Files ------------------------------------------------------------------------------------------------------------

    # Pictures ---------------------------------------------------------------------------------------------------------

    # Export -----------------------------------------------------------------------------------------------------------

    def exported_outputs(self, head: nn.Module) -> dict[str, ExportedOutput]:
        return {"masks": ExportedOutput("float32 [objects, M, M]", "probability of the object in the cells of its box")}

    def export_refusal(self, cfg: CfgNode, head: nn.Module) -> str | None:
        if cfg.MODEL.ROI_MASK_HEAD.POSTPROCESS_MASKS:
            return (
                "MODEL.ROI_MASK_HEAD.POSTPROCESS_MASKS pastes masks into the image; set it to False to have small ones"
            )
        return no_tensor_form(head, ROIMaskHead)

    def export_prediction(self, prediction: ImagePrediction) -> dict[str, torch.Tensor]:
        return {"masks": prediction.instances.get_field("mask")[:, 0]}

    def export_tensors(
        self, head: nn.Module, features: Sequence[torch.Tensor], regions: Detections
    ) -> dict[str, torch.Tensor]:
        logits = head.own_logits(head.feature_extractor(features, regions.boxes), regions.labels)
        return {"masks": logits.float().sigmoid()}


INSTANCE = register_task(Instance())
