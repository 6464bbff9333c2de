"""Image classification: which classes does the image show?"""

from collections.abc import Sequence

from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import Task, register_task
from maskrcnn_benchmark.visualization.drawn_task import Legend
from maskrcnn_benchmark.visualization.palette import class_colours


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

    # Labels -----------------------------------------------------------------------------------------------------------

    # Network ----------------------------------------------------------------------------------------------------------

    # Evaluation -------------------------------------------------------------------------------------------------------

    # Files ------------------------------------------------------------------------------------------------------------

    # Pictures ---------------------------------------------------------------------------------------------------------

    layer = 80

    def value_names(self, vocabulary: Vocabulary) -> Sequence[str]:
        return vocabulary.image_label_names

    def legend(self, vocabulary: Vocabulary) -> Legend:
        return [("classes", list(class_colours(vocabulary).items()))]

    # Export -----------------------------------------------------------------------------------------------------------


CLASSIFICATION = register_task(Classification())
