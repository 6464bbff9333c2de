"""Human keypoints: the joints of every person."""

from typing import Any

from maskrcnn_benchmark.evaluation.coco.keypoint import KeypointEvaluator, person_label
from maskrcnn_benchmark.evaluation.coco.rows import predicted_rows
from maskrcnn_benchmark.evaluation.evaluator import Evaluator
from maskrcnn_benchmark.evaluation.protocols import Protocols
from maskrcnn_benchmark.evaluation.trivial import ObjectMeans
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
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
    iou_type = "keypoints"
    requires = ("detection",)

    # Options ----------------------------------------------------------------------------------------------------------

    # Labels -----------------------------------------------------------------------------------------------------------

    # Network ----------------------------------------------------------------------------------------------------------

    # Evaluation -------------------------------------------------------------------------------------------------------

    def build_evaluator(self, vocabulary: Vocabulary, protocols: Protocols) -> Evaluator:
        return KeypointEvaluator(self, vocabulary)

    def trivial(self, vocabulary: Vocabulary) -> ObjectMeans:
        """The most frequent boxes with what lies in them."""
        return ObjectMeans(vocabulary)

    # Files ------------------------------------------------------------------------------------------------------------

    def encode(self, prediction: ImagePrediction, vocabulary: Vocabulary) -> list[dict[str, Any]]:
        """List of {"category_id": label of persons, "keypoints": [x, y, v] * J, "score": float}."""
        instances = self.output(prediction, "detection")
        persons = instances[instances.get_field("labels") == person_label(vocabulary)]
        if len(persons) == 0:
            return []
        keypoints = persons.get_field("keypoints").keypoints.cpu().double().numpy()
        return predicted_rows(persons, "keypoints", keypoints.reshape(len(persons), -1).tolist())

    # Pictures ---------------------------------------------------------------------------------------------------------

    # Export -----------------------------------------------------------------------------------------------------------


KEYPOINT = register_task(Keypoint())
