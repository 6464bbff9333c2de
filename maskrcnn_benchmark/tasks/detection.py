"""Detection: a box, a class and a score for every object."""

from typing import Any

from maskrcnn_benchmark.evaluation.coco.rows import predicted_rows, xywh
from maskrcnn_benchmark.evaluation.coco.voc import DetectionAndVocEvaluator
from maskrcnn_benchmark.evaluation.evaluator import Evaluator
from maskrcnn_benchmark.evaluation.protocols import Protocols
from maskrcnn_benchmark.evaluation.trivial import ObjectMeans
from maskrcnn_benchmark.prediction_files.lists import Box, ListFile, ObjectFile
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
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
    iou_type = "bbox"

    # Options ----------------------------------------------------------------------------------------------------------

    # Labels -----------------------------------------------------------------------------------------------------------

    # Network ----------------------------------------------------------------------------------------------------------

    # Evaluation -------------------------------------------------------------------------------------------------------

    def build_evaluator(self, vocabulary: Vocabulary, protocols: Protocols) -> Evaluator:
        return DetectionAndVocEvaluator(self, vocabulary, protocols.detection)

    def trivial(self, vocabulary: Vocabulary) -> ObjectMeans:
        """The most frequent boxes with what lies in them."""
        return ObjectMeans(vocabulary)

    # Files ------------------------------------------------------------------------------------------------------------

    def encode(self, prediction: ImagePrediction, vocabulary: Vocabulary) -> list[dict[str, Any]]:
        """List of {"category_id": label 1..K, "bbox": [x, y, width, height] in pixels, "score": float}."""
        instances = self.output(prediction)
        return predicted_rows(instances, "bbox", xywh(instances).tolist())

    def files(self) -> tuple[ListFile, ...]:
        box = "[x, y, width, height] in pixels; x, y is the left upper corner of the first pixel, counted from 0"
        text, fields = "boxes, as COCO's results", {"bbox": Box()}
        return (ObjectFile(self.key, "bbox.json", option="--bbox", text=text, fields=fields, encodings={"bbox": box}),)

    # Pictures ---------------------------------------------------------------------------------------------------------

    # Export -----------------------------------------------------------------------------------------------------------


DETECTION = register_task(Detection())
