"""Image classification: which classes does the image show?"""

import numpy as np

from maskrcnn_benchmark.evaluation.average_precision import average_precision, precision_at_recalls
from maskrcnn_benchmark.evaluation.dense.confusion import mean_or_nan
from maskrcnn_benchmark.evaluation.evaluator import Evaluator
from maskrcnn_benchmark.evaluation.protocols import Protocols
from maskrcnn_benchmark.evaluation.scores import Curve, Line, Scores
from maskrcnn_benchmark.evaluation.trivial import MeanVector
from maskrcnn_benchmark.prediction_files.lists import ListFile, VectorFile
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import Task, register_task
from maskrcnn_benchmark.utils.errors import UserError

# Where precision is read off for the curve; the AP itself takes every recall
_RECALLS = np.linspace(0, 1, 101)


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

    def build_evaluator(self, vocabulary: Vocabulary, protocols: Protocols) -> Evaluator:
        return ClassificationEvaluator(self, vocabulary)

    def trivial(self, vocabulary: Vocabulary) -> MeanVector:
        """How often each label occurs."""
        return MeanVector(self.key)

    # Files ------------------------------------------------------------------------------------------------------------

    def encode(self, prediction: ImagePrediction, vocabulary: Vocabulary) -> np.ndarray:
        """float64 [L], score of each image label in the vocabulary's order."""
        return self.output(prediction).cpu().double().numpy()

    def files(self) -> tuple[ListFile, ...]:
        text = 'image labels: {"pred": [{"image_id", "category_score"}]}'
        encodings = {"category_score": "a score for each of 'image_labels', in their order"}
        return (LabelScores(self.key, field="category_score", is_wrapped=True, text=text, encodings=encodings),)

    # Pictures ---------------------------------------------------------------------------------------------------------

    # Export -----------------------------------------------------------------------------------------------------------


class ClassificationEvaluator(Evaluator):
    """Mean AP over the labels that occur on any image ("mAP"), and over those that are things ("mAP-things").

    Args:
        task: the task that is scored.
        vocabulary: names the image labels, in the order of `ImageAnnotations.classes`, and the things; labels of their
            names enter "mAP-things".
    """

    def __init__(self, task: Task, vocabulary: Vocabulary) -> None:
        self.label_names = tuple(vocabulary.image_label_names)
        self.is_thing = np.isin(np.array(self.label_names, dtype=object), list(vocabulary.thing_names))
        super().__init__(task, vocabulary)

    @property
    def protocol(self) -> str:
        return (
            f"AP of {len(self.label_names)} labels ({self.is_thing.sum()} of them things) over all images, area under "
            f"the whole curve (VOC 2010), mean over the labels that occur"
        )

    def record(self, stored: np.ndarray, target: ImageAnnotations) -> tuple[np.ndarray, np.ndarray]:
        """(scores float64 [L], occurs bool [L])."""
        truth = target.classes.cpu().numpy() > 0.5
        where = f"{self.task.key}: image {target.image_id}"
        if len(stored) != len(self.label_names) or len(truth) != len(self.label_names):
            raise UserError(
                f"{where} has {len(stored)} scores and {len(truth)} annotated labels, but there are "
                f"{len(self.label_names)} labels"
            )
        if np.isnan(stored).any():
            raise UserError(
                f"{where} has a score that is not a number (nan): {self.label_names[np.isnan(stored).argmax()]}"
            )
        return stored, truth

    def summarize(self, records: list[tuple[np.ndarray, np.ndarray]]) -> Scores:
        shape = len(records), len(self.label_names)
        scores, truth = (
            (np.array(column).reshape(shape) for column in zip(*records)) if records else np.zeros((2, *shape))
        )
        truth = truth > 0
        precision = np.array([average_precision(scores[:, k], truth[:, k]) for k in range(shape[1])])
        occurs = truth.any(axis=0)
        return Scores(
            {"mAP": mean_or_nan(precision), "mAP-things": mean_or_nan(precision[self.is_thing])},
            {"AP": dict(zip(self.label_names, precision.tolist()))},
            [self._curve(scores, truth)] if occurs.any() else [],
            self._reason(occurs),
        )

    def image_score(self, record: tuple[np.ndarray, np.ndarray]) -> float:
        """AP of the image's own ranking of all labels; nan where none of them occurs."""
        return average_precision(*record)

    def _reason(self, occurs):
        if not occurs.any():
            return "no image has an annotated label"
        return "" if occurs[self.is_thing].any() else "no image has a thing among its labels"

    def _curve(self, scores, truth):
        """Mean over labels of the precision at each recall."""
        lines = []
        for name, chosen in (("all labels", np.ones_like(self.is_thing)), ("things", self.is_thing)):
            labels = np.flatnonzero(chosen & truth.any(axis=0))
            if len(labels):
                levels = [precision_at_recalls(scores[:, k], truth[:, k], _RECALLS) for k in labels]
                lines.append(Line(f"{name} ({len(labels)})", _RECALLS, np.mean(levels, axis=0)))
        return Curve("classification_pr", "Image labels: mean precision", "recall", "precision", lines)


CLASSIFICATION = register_task(Classification())
