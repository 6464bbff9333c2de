"""Detection: a box, a class and a score for every object."""

from maskrcnn_benchmark.data.dataset import ObjectReader
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

    label_field = None  # the label is the objects themselves
    label_readers = dict.fromkeys(("detail", "coco", "voc", "cityscapes"), ObjectReader)

    # Network ----------------------------------------------------------------------------------------------------------

    # Evaluation -------------------------------------------------------------------------------------------------------

    # Files ------------------------------------------------------------------------------------------------------------

    # Pictures ---------------------------------------------------------------------------------------------------------

    # Export -----------------------------------------------------------------------------------------------------------


DETECTION = register_task(Detection())
