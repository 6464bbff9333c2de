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

    # Network ----------------------------------------------------------------------------------------------------------

    # Evaluation -------------------------------------------------------------------------------------------------------

    # Files ------------------------------------------------------------------------------------------------------------

    # Pictures ---------------------------------------------------------------------------------------------------------

    # Export -----------------------------------------------------------------------------------------------------------


CLASSIFICATION = register_task(Classification())
