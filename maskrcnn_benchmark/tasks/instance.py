"""Instance segmentation: a mask for every object."""

from typing import Any

from maskrcnn_benchmark.evaluation.coco.rows import encode, predicted_rows
from maskrcnn_benchmark.evaluation.coco.style import InstanceEvaluator
from maskrcnn_benchmark.evaluation.evaluator import Evaluator
from maskrcnn_benchmark.evaluation.protocols import Protocols
from maskrcnn_benchmark.evaluation.trivial import ObjectMeans
from maskrcnn_benchmark.layers.mask_paste import paste_masks
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
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
    iou_type = "segm"
    requires = ("detection",)

    # Options ----------------------------------------------------------------------------------------------------------

    # Labels -----------------------------------------------------------------------------------------------------------

    def is_annotated(self, annotations: ImageAnnotations) -> bool:
        return annotations.instances is not None and annotations.instances.has_field("masks")

    # Network ----------------------------------------------------------------------------------------------------------

    # Evaluation -------------------------------------------------------------------------------------------------------

    def build_evaluator(self, vocabulary: Vocabulary, protocols: Protocols) -> Evaluator:
        return InstanceEvaluator(self, vocabulary, protocols.detection)

    def trivial(self, vocabulary: Vocabulary) -> ObjectMeans:
        """The most frequent boxes with what lies in them."""
        return ObjectMeans(vocabulary)

    # Files ------------------------------------------------------------------------------------------------------------

    def encode(self, prediction: ImagePrediction, vocabulary: Vocabulary) -> list[dict[str, Any]]:
        """List of {"category_id": label 1..K, "segmentation": {"size": [h, w], "counts": bytes}, "score": float}."""
        instances = self.output(prediction, "detection")
        if len(instances) == 0:
            return []
        masks, (width, height) = instances.get_field("mask"), instances.size
        if tuple(masks.shape[-2:]) == (height, width):
            pasted = masks[:, 0] > 0.5  # the network has pasted them itself (POSTPROCESS_MASKS)
        else:
            pasted = paste_masks(masks, instances.convert("xyxy").bbox, instances.size, threshold=0.5, padding=1)
        return predicted_rows(instances, "segmentation", encode(pasted.cpu().numpy()))

    # Pictures ---------------------------------------------------------------------------------------------------------

    # Export -----------------------------------------------------------------------------------------------------------


INSTANCE = register_task(Instance())
