"""Image classification: which classes does the image show?"""

from yacs.config import CfgNode

from maskrcnn_benchmark.config.defaults import CLASSES, IMAGE_HEADS
from maskrcnn_benchmark.config.options import ClassCount, Option, section
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
import torch

from maskrcnn_benchmark.data.dataset import AnnotatedDataset, LabelReader
from maskrcnn_benchmark.data.detail.image import DetailImage
from maskrcnn_benchmark.tasks.task import Task, register_task
from maskrcnn_benchmark.utils.ranges import Integer, Range


class DetailClassificationReader(LabelReader):
    """Which categories the regions of an image have: float [C] of 0 and 1."""

    def __init__(self, dataset: AnnotatedDataset) -> None:
        self._places = {name: place for place, name in enumerate(dataset.vocabulary.image_label_names)}

    def read(self, image: DetailImage) -> torch.Tensor | None:
        if not image.regions:
            return None
        classes = torch.zeros(len(self._places))
        classes[[self._places[name] for name in set(image.names) & set(self._places)]] = 1.0
        return classes

    def has(self, image: DetailImage) -> bool:
        return image.has_objects
from collections.abc import Callable
from operator import itemgetter
from typing import Any

import numpy as np
import torch

from maskrcnn_benchmark.data.same_names import SAME_CLASS, match_names
from maskrcnn_benchmark.data.statistics import DatasetCounts
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import Task, register_task
from maskrcnn_benchmark.visualization.dataset_page import numbers_card


class Classification(Task):
    """The probability of every image label."""

    key = "classification"
    title = "image classification"
    switch = "CLASSIFICATION_ON"
    comment = "Task: image labels, per image"
    losses = ("loss_classification",)
    headline = "mAP"
    parameter_prefixes = ("fpn_heads.heads.classes.",)

    # Options ----------------------------------------------------------------------------------------------------------

    def options(self) -> list[Option]:
        return section(
            IMAGE_HEADS,
            Option(
                "MODEL.CLASSIFICATION_HEAD.NUM_CLASSES", 59, CLASSES, "Image labels. Taken from the data set unless set"
            ),
        )

    def class_counts(self, vocabulary: Vocabulary) -> list[ClassCount]:
        count = len(vocabulary.image_label_names)
        return [ClassCount("MODEL.CLASSIFICATION_HEAD.NUM_CLASSES", count, "image labels")]

    def dense_features(self, cfg: CfgNode) -> set[str]:
        return {"pyramid"}

    def planes(self, cfg: CfgNode) -> int:
        return 0

    def bounds(self) -> dict[str, Range]:
        return {"MODEL.CLASSIFICATION_HEAD.NUM_CLASSES": Integer(1, 2**15)}

    # Labels -----------------------------------------------------------------------------------------------------------

    label_readers = {"detail": DetailClassificationReader}
    def has_names(self, vocabulary: Vocabulary) -> bool:
        return bool(vocabulary.image_label_names)

    def names(self, vocabulary: Vocabulary) -> dict[str, Any]:
        return {"image labels": vocabulary.image_label_names}

    def rename(self, source: Vocabulary, target: Vocabulary) -> Callable[[torch.Tensor], torch.Tensor] | None:
        """Labels say of each class whether it is there, so the source must know every one of the target's."""
        places = match_names(target.image_label_names, source.image_label_names, SAME_CLASS)
        return itemgetter(places) if places and None not in places else None

    def count(self, annotations: ImageAnnotations, vocabulary: Vocabulary) -> dict[str, Any]:
        return {"classes": [vocabulary.image_label_names[k] for k in np.flatnonzero(annotations.classes.numpy() > 0)]}

    def facts(self, count: dict[str, Any], vocabulary: Vocabulary) -> list[tuple[str, str]]:
        return [("labels", ", ".join(count["classes"]) or "none")]

    def cards(self, counts: DatasetCounts) -> list[str]:
        numbers = np.array([len(names) for names in counts.each(self.key, "classes")])
        return [numbers_card("Labels per image", numbers, "labels", "images")]

    # Network ----------------------------------------------------------------------------------------------------------

    # Evaluation -------------------------------------------------------------------------------------------------------

    # Files ------------------------------------------------------------------------------------------------------------

    # Pictures ---------------------------------------------------------------------------------------------------------

    # Export -----------------------------------------------------------------------------------------------------------


CLASSIFICATION = register_task(Classification())
