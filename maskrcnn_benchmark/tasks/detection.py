"""Detection: a box, a class and a score for every object."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from maskrcnn_benchmark.data.same_names import match_objects
from maskrcnn_benchmark.structures.bounding_box import BoxList
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

    # Options ----------------------------------------------------------------------------------------------------------

    # Labels -----------------------------------------------------------------------------------------------------------

    label_field = None

    def has_names(self, vocabulary: Vocabulary) -> bool:
        return bool(vocabulary.thing_names)

    def names(self, vocabulary: Vocabulary) -> dict[str, Any]:
        return {"classes of objects": vocabulary.thing_names}

    def rename(self, source: Vocabulary, target: Vocabulary) -> Callable[[BoxList], BoxList] | None:
        """Objects of classes that the target lacks are dropped."""
        labels = match_objects(source, target)
        return partial(_rename_objects, torch.tensor(labels)) if any(labels) else None

    # Network ----------------------------------------------------------------------------------------------------------

    # Evaluation -------------------------------------------------------------------------------------------------------

    # Files ------------------------------------------------------------------------------------------------------------

    # Pictures ---------------------------------------------------------------------------------------------------------

    # Export -----------------------------------------------------------------------------------------------------------


def _rename_objects(label_of: torch.Tensor, objects: BoxList) -> BoxList:
    labels = label_of[objects.get_field("labels")]
    kept = objects[labels > 0]
    kept.add_field("labels", labels[labels > 0])
    return kept


DETECTION = register_task(Detection())
