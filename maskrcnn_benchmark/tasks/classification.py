"""Image classification: which classes does the image show?"""

from maskrcnn_benchmark.prediction_files.lists import ListFile, VectorFile
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import Task, register_task


class LabelScores(VectorFile):
    """The score of every image label."""

    def length(self, vocabulary: Vocabulary) -> int:
        return len(vocabulary.image_label_names)


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

    def files(self) -> tuple[ListFile, ...]:
        text = 'image labels: {"pred": [{"image_id", "category_score"}]}'
        encodings = {"category_score": "a score for each of 'image_labels', in their order"}
        return (LabelScores(self.key, field="category_score", is_wrapped=True, text=text, encodings=encodings),)

    # Pictures ---------------------------------------------------------------------------------------------------------

    # Export -----------------------------------------------------------------------------------------------------------


CLASSIFICATION = register_task(Classification())
