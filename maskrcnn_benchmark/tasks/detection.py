"""Detection: a box, a class and a score for every object."""

from maskrcnn_benchmark.prediction_files.lists import Box, ListFile, ObjectFile
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

    def files(self) -> tuple[ListFile, ...]:
        box = "[x, y, width, height] in pixels; x, y is the left upper corner of the first pixel, counted from 0"
        text, fields = "boxes, as COCO's results", {"bbox": Box()}
        return (ObjectFile(self.key, "bbox.json", option="--bbox", text=text, fields=fields, encodings={"bbox": box}),)

    # Pictures ---------------------------------------------------------------------------------------------------------

    # Export -----------------------------------------------------------------------------------------------------------


DETECTION = register_task(Detection())
