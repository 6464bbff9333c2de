"""Detection: a box, a class and a score for every object."""

from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.structures.objects import Objects, best_first
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import Task, Thresholds, register_task
from maskrcnn_benchmark.visualization.canvas import Canvas
from maskrcnn_benchmark.visualization.drawn_task import Known, Legend
from maskrcnn_benchmark.visualization.objects import names_and_colours, paint_boxes, shown_objects
from maskrcnn_benchmark.visualization.palette import class_colours


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

    on_photograph = True
    names_objects = True
    layer = 70

    def content(self, known: Known) -> BoxList | None:
        return known.instances

    def paint(self, canvas: Canvas, known: Known, vocabulary: Vocabulary, threshold: float) -> int:
        """Boxes with class names and, of predictions, scores."""
        objects = shown_objects(known.instances, threshold)
        return paint_boxes(canvas, objects, names_and_colours(objects, vocabulary)[0], vocabulary)

    def overlay(self, canvas: Canvas, known: Known, vocabulary: Vocabulary, thresholds: Thresholds) -> int:
        """Boxes of the objects that no other task shows and names."""
        objects = shown_objects(known.instances, thresholds[self])
        named_from = [score for task, score in thresholds.items() if task.names_objects and task is not self]
        if named_from and objects.has_field("scores"):
            objects = objects[objects.get_field("scores") < min(named_from)]
        return paint_boxes(canvas, objects, names_and_colours(objects, vocabulary)[0], vocabulary)

    def legend(self, vocabulary: Vocabulary) -> Legend:
        return [("classes", list(class_colours(vocabulary).items()))]

    def view(self, prediction: ImagePrediction, vocabulary: Vocabulary, threshold: float) -> Objects | None:
        """The objects that reach the threshold."""
        if prediction.instances is None:
            return None
        return Objects.of(best_first(prediction.instances, threshold), vocabulary)

    # Export -----------------------------------------------------------------------------------------------------------


DETECTION = register_task(Detection())
