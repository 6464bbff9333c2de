"""Detection: a box, a class and a score for every object."""

from yacs.config import CfgNode

from maskrcnn_benchmark.config.options import ClassCount
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.data.dataset import ObjectReader
from maskrcnn_benchmark.tasks.task import Task, register_task
from maskrcnn_benchmark.utils.ranges import Integer, Range


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
    on_by_default = True
    headline = "AP"
    parameter_prefixes = ("rpn.", "roi_heads.box.")
    per = "region"
    scored_with = ("instance",)  # an object is as large as its mask

    # Options ----------------------------------------------------------------------------------------------------------

    def class_counts(self, vocabulary: Vocabulary) -> list[ClassCount]:
        things = len(vocabulary.thing_names)
        what = f"{things} classes of objects and background" if things else "classes of objects"
        count = things and things + 1
        return [
            ClassCount("MODEL.ROI_BOX_HEAD.NUM_CLASSES", count, what),
            ClassCount("MODEL.RETINANET.NUM_CLASSES", count, what, where="RETINANET_ON"),
        ]

    def region_options(self, cfg: CfgNode) -> CfgNode:
        return cfg.MODEL.ROI_BOX_HEAD

    def planes(self, cfg: CfgNode) -> int:
        return 0

    def bounds(self) -> dict[str, Range]:
        classes = Integer(2, 4096)
        return {"MODEL.ROI_BOX_HEAD.NUM_CLASSES": classes, "MODEL.RETINANET.NUM_CLASSES": classes}

    # Labels -----------------------------------------------------------------------------------------------------------

    label_field = None  # the label is the objects themselves
    label_readers = dict.fromkeys(("detail", "coco", "voc", "cityscapes"), ObjectReader)

    # Network ----------------------------------------------------------------------------------------------------------

    # Evaluation -------------------------------------------------------------------------------------------------------

    # Files ------------------------------------------------------------------------------------------------------------

    # Pictures ---------------------------------------------------------------------------------------------------------

    # Export -----------------------------------------------------------------------------------------------------------


DETECTION = register_task(Detection())
