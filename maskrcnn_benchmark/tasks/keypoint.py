"""Human keypoints: the joints of every person."""

from collections.abc import Sequence

import torch
from torch import nn
from yacs.config import CfgNode

from maskrcnn_benchmark.modeling.roi_heads.keypoint_head.keypoint_head import ROIKeypointHead
from maskrcnn_benchmark.modeling.roi_heads.regions import Detections, rows_with_labels
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.tasks.exported_output import ExportedOutput, no_tensor_form
from maskrcnn_benchmark.tasks.task import Task, register_task


class Keypoint(Task):
    """Keypoints of persons. The label is a `BoxList` of its own, since joint records are not linked to objects."""

    key = "keypoint"
    title = "human keypoints"
    switch = "KEYPOINT_ON"
    comment = "Task: human keypoints, per detected box"
    losses = ("loss_kp",)
    headline = "AP"
    parameter_prefixes = ("roi_heads.keypoint.",)
    per = "region"
    requires = ("detection",)

    # Options ----------------------------------------------------------------------------------------------------------

    # Labels -----------------------------------------------------------------------------------------------------------

    # Network ----------------------------------------------------------------------------------------------------------

    # Evaluation -------------------------------------------------------------------------------------------------------

    # Files ------------------------------------------------------------------------------------------------------------

    # Pictures ---------------------------------------------------------------------------------------------------------

    # Export -----------------------------------------------------------------------------------------------------------

    def exported_outputs(self, head: nn.Module) -> dict[str, ExportedOutput]:
        return {
            "keypoints": ExportedOutput(
                "float32 [objects, K, 3]",
                "x, y in pixels of the input and 1; 0, 0, 0: no person",
                tolerance=1.0,
                outliers=0.01,  # each is the greatest cell of a map: of two as great, rounding may choose either
            ),
            "keypoint_scores": ExportedOutput("float32 [objects, K]", "the heat map's logit there; 0: no person"),
        }

    def export_refusal(self, cfg: CfgNode, head: nn.Module) -> str | None:
        return no_tensor_form(head, ROIKeypointHead)

    def export_prediction(self, prediction: ImagePrediction) -> dict[str, torch.Tensor]:
        found = prediction.instances.get_field("keypoints")
        return {"keypoints": found.keypoints, "keypoint_scores": found.get_field("logits")}

    def export_tensors(
        self, head: nn.Module, features: Sequence[torch.Tensor], regions: Detections
    ) -> dict[str, torch.Tensor]:
        from maskrcnn_benchmark.modeling.roi_heads.keypoint_head.traceable import keypoints_of_heatmaps  # uses a loop

        index = rows_with_labels(regions.labels, head.keypoint_labels)
        boxes = regions.boxes.index_select(0, index)
        maps = head.predictor(head.feature_extractor(features, boxes)).float()
        count = regions.labels.shape[0]
        return {
            name: rows.new_zeros(count, *rows.shape[1:]).index_put((index,), rows)
            for name, rows in zip(("keypoints", "keypoint_scores"), keypoints_of_heatmaps(maps, boxes))
        }


KEYPOINT = register_task(Keypoint())
