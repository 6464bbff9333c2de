"""Part segmentation: a part label for every pixel of the objects that have parts."""

from collections.abc import Sequence

import torch
from torch import nn
from yacs.config import CfgNode

from maskrcnn_benchmark.modeling.fpn_heads.dense_trunk import TRUNK_STRIDE, DenseFeatures
from maskrcnn_benchmark.modeling.fpn_heads.semantic import PixelClassifier
from maskrcnn_benchmark.modeling.roi_heads.part_head.part_head import ROIPartHead
from maskrcnn_benchmark.modeling.roi_heads.regions import Detections, rows_with_labels
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.tasks.exported_output import ExportedOutput, no_tensor_form
from maskrcnn_benchmark.tasks.task import Task, register_task


class Part(Task):
    """Parts, predicted per region or, with MODEL.PART_HEAD "fpn", once per image."""

    key = "part"
    title = "part segmentation"
    switch = "PART_ON"
    comment = "Task: parts, per detected box or once per image (MODEL.PART_HEAD)"
    losses = ("loss_part",)
    headline = "mIoU"
    parameter_prefixes = ("roi_heads.part.", "fpn_heads.heads.part_map.")
    per = "region"

    # Options ----------------------------------------------------------------------------------------------------------

    def requirements(self, cfg: CfgNode) -> tuple[str, ...]:
        """Parts per region are predicted for detected boxes."""
        return ("detection",) if cfg.MODEL.PART_HEAD == "roi" else ()

    # Labels -----------------------------------------------------------------------------------------------------------

    def is_annotated(self, annotations: ImageAnnotations) -> bool:
        instances = annotations.instances
        has_field = instances is not None and instances.has_field("parts")
        return has_field and bool(instances.get_field("parts").annotated.any())

    # Network ----------------------------------------------------------------------------------------------------------

    # Evaluation -------------------------------------------------------------------------------------------------------

    # Files ------------------------------------------------------------------------------------------------------------

    # Pictures ---------------------------------------------------------------------------------------------------------

    # Export -----------------------------------------------------------------------------------------------------------

    def exported_outputs(self, head: nn.Module) -> dict[str, ExportedOutput]:
        if isinstance(head, ROIPartHead):
            shape = "float32 [objects, P + 1, R, R]"
            return {"parts": ExportedOutput(shape, "probabilities in the cells of the box; 0 is background")}
        meaning = "logits of the part labels; 0 is background"
        return {"part_map": ExportedOutput("float32 [P + 1, height, width]", meaning, stride=TRUNK_STRIDE)}

    def export_refusal(self, cfg: CfgNode, head: nn.Module) -> str | None:
        return no_tensor_form(head, ROIPartHead, PixelClassifier)

    def export_prediction(self, prediction: ImagePrediction) -> dict[str, torch.Tensor]:
        if prediction.part_map is not None:
            return {"part_map": prediction.part_map.resize(prediction.size).scores}
        return {"parts": prediction.instances.get_field("parts")}

    def export_tensors(
        self, head: nn.Module, features: DenseFeatures | Sequence[torch.Tensor], regions: Detections | None
    ) -> dict[str, torch.Tensor]:
        if regions is None:
            return {"part_map": head.scores(features)[0]}
        index = rows_with_labels(regions.labels, head.part_labels)
        logits = head.predictor(head.feature_extractor(features, regions.boxes.index_select(0, index))).float()
        owned = head.post_processor.owned
        if owned is not None:
            labels = regions.labels.index_select(0, index)
            logits = logits.masked_fill(~owned[labels][:, :, None, None], -torch.inf)
        background = (torch.arange(logits.shape[1]) == 0).to(logits.dtype)[None, :, None, None]
        everywhere = background.expand(regions.labels.shape[0], *logits.shape[1:]).clone()
        return {"parts": everywhere.index_put((index,), logits.softmax(dim=1))}


PART = register_task(Part())
