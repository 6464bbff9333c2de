"""Image classification: which classes does the image show?"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from operator import itemgetter
from typing import Any

import numpy as np
import torch
from torch import nn
from yacs.config import CfgNode

from maskrcnn_benchmark.config.defaults import CLASSES, FRACTION, IMAGE_HEADS, TESTING
from maskrcnn_benchmark.config.options import ClassCount, Option, section
from maskrcnn_benchmark.data.dataset import AnnotatedDataset, LabelReader
from maskrcnn_benchmark.data.detail.image import DetailImage
from maskrcnn_benchmark.data.same_names import SAME_CLASS, match_names
from maskrcnn_benchmark.data.statistics import DatasetCounts
from maskrcnn_benchmark.evaluation.average_precision import average_precision, precision_at_recalls
from maskrcnn_benchmark.evaluation.dense.confusion import mean_or_nan
from maskrcnn_benchmark.evaluation.detail_toolkit import toolkit_average_precision
from maskrcnn_benchmark.evaluation.evaluator import Evaluator
from maskrcnn_benchmark.evaluation.protocols import DETAIL_TOOLKIT, Protocols
from maskrcnn_benchmark.evaluation.scores import Curve, Line, Scores
from maskrcnn_benchmark.evaluation.trivial import MeanVector
from maskrcnn_benchmark.modeling.fpn_heads.classification import ClassificationHead
from maskrcnn_benchmark.modeling.fpn_heads.dense_decoder import DenseFeatures
from maskrcnn_benchmark.modeling.roi_heads.regions import Detections
from maskrcnn_benchmark.prediction_files.lists import ListFile, VectorFile
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.completion import SCENE, scene_problem
from maskrcnn_benchmark.tasks.exported_output import ExportedOutput
from maskrcnn_benchmark.tasks.task import Task, register_task
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.ranges import Integer, Range
from maskrcnn_benchmark.visualization.dataset_page import numbers_card
from maskrcnn_benchmark.visualization.drawn_task import Legend
from maskrcnn_benchmark.visualization.palette import class_colours


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

    def options(self) -> list[Option]:
        return section(
            IMAGE_HEADS,
            Option(
                "MODEL.CLASSIFICATION_HEAD.NUM_CLASSES", 59, CLASSES, "Image labels. Taken from the data set unless set"
            ),
        ) + section(
            TESTING,
            Option(
                "TEST.JOINT.CLASSIFICATION",
                1.0,
                FRACTION,
                "Image labels: those of classes without a panoptic segment in the image are multiplied by it; 1 leaves "
                "them as predicted",
            ),
        )

    def check(self, cfg: CfgNode) -> Iterator[str]:
        """Segments to go by."""
        if cfg.TEST.JOINT.CLASSIFICATION != 1:
            yield from scene_problem("TEST.JOINT.CLASSIFICATION", cfg)

    def class_counts(self, vocabulary: Vocabulary) -> list[ClassCount]:
        count = len(vocabulary.image_label_names)
        return [ClassCount("MODEL.CLASSIFICATION_HEAD.NUM_CLASSES", count, "image labels")]

    def planes(self, cfg: CfgNode) -> int:
        return 0

    def bounds(self) -> dict[str, Range]:
        return {"MODEL.CLASSIFICATION_HEAD.NUM_CLASSES": Integer(1, 2**15)}

    # Labels -----------------------------------------------------------------------------------------------------------

    label_readers = {"detail": DetailClassificationReader}
    can_be_pasted = is_pasted_by_class = True

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

    def class_names(self, vocabulary: Vocabulary) -> Sequence[str]:
        return vocabulary.image_label_names

    def class_amounts(self, annotations: ImageAnnotations, vocabulary: Vocabulary) -> np.ndarray:
        """1 for each label that the image has: int64 [C]."""
        return (annotations.classes.numpy() > 0).astype(np.int64)

    def facts(self, count: dict[str, Any], vocabulary: Vocabulary) -> list[tuple[str, str]]:
        return [("labels", ", ".join(count["classes"]) or "none")]

    def cards(self, counts: DatasetCounts) -> list[str]:
        numbers = np.array([len(names) for names in counts.each(self.key, "classes")])
        return [numbers_card("Labels per image", numbers, "labels", "images")]

    # Network ----------------------------------------------------------------------------------------------------------

    def reads(self, cfg: CfgNode) -> str:
        """The levels P3 to P5."""
        return "pyramid"

    def head_name(self, cfg: CfgNode) -> str:
        """As checkpoints have it."""
        return "classes"

    def build_head(self, cfg: CfgNode, in_channels: int, vocabulary: Vocabulary | None) -> ClassificationHead:
        """A probability per image label."""
        return ClassificationHead(in_channels, cfg.MODEL.CLASSIFICATION_HEAD.NUM_CLASSES, self.label_of)

    def refiner(
        self, cfg: CfgNode | None
    ) -> Callable[[Mapping[str, Any], Vocabulary | None], Mapping[str, Any]] | None:
        """Less probable without a segment, by TEST.JOINT.CLASSIFICATION."""
        factor = 1.0 if cfg is None else cfg.TEST.JOINT.CLASSIFICATION
        return None if factor == 1 else partial(_weigh_by_segments, factor)

    # Evaluation -------------------------------------------------------------------------------------------------------

    def build_evaluator(self, vocabulary: Vocabulary, protocols: Protocols) -> Evaluator:
        kind = ToolkitClassificationEvaluator if protocols.detection == DETAIL_TOOLKIT else ClassificationEvaluator
        return kind(self, vocabulary)

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

    layer = 80

    def value_names(self, vocabulary: Vocabulary) -> Sequence[str]:
        return vocabulary.image_label_names

    def legend(self, vocabulary: Vocabulary) -> Legend:
        return [("classes", list(class_colours(vocabulary).items()))]

    # Export -----------------------------------------------------------------------------------------------------------

    def exported_outputs(self, head: nn.Module) -> dict[str, ExportedOutput]:
        return {"classes": ExportedOutput("float32 [L]", "probabilities of vocabulary.image_label_names")}

    def export_prediction(self, prediction: ImagePrediction) -> dict[str, torch.Tensor]:
        return {"classes": prediction.classes}

    def export_tensors(self, head: Any, features: DenseFeatures, regions: Detections | None) -> dict[str, torch.Tensor]:
        return {"classes": head.scores(features)[0]}


def _weigh_by_segments(
    factor: float, outputs: Mapping[str, Any], vocabulary: Vocabulary | None
) -> dict[str, torch.Tensor]:
    """Probabilities times `factor` of the labels that segments could have and none has; others stay."""
    probabilities = outputs[CLASSIFICATION.key]
    if vocabulary is None:
        return {}
    here, possible = outputs[SCENE].value.supports(vocabulary.image_label_names, vocabulary)
    without = torch.from_numpy(possible & ~here).to(probabilities.device)
    return {CLASSIFICATION.key: torch.where(without, probabilities * factor, probabilities)}


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
        self.protocol = (
            f"AP of {len(self.label_names)} labels ({self.is_thing.sum()} of them things) over all images, area under "
            f"the whole curve (VOC 2010), mean over the labels that occur"
        )
        super().__init__(task, vocabulary)

    def record(self, stored: np.ndarray, target: ImageAnnotations) -> tuple[np.ndarray, np.ndarray]:
        """(scores float64 [L], occurs bool [L])."""
        annotated = target.classes.cpu().numpy() > 0.5
        where = f"{self.task.key}: image {target.image_id}"
        if len(stored) != len(self.label_names) or len(annotated) != len(self.label_names):
            raise UserError(
                f"{where} has {len(stored)} scores and {len(annotated)} annotated labels, but there are "
                f"{len(self.label_names)} labels"
            )
        if np.isnan(stored).any():
            raise UserError(
                f"{where} has a score that is not a number (nan): {self.label_names[np.isnan(stored).argmax()]}"
            )
        return stored, annotated

    def summarize(self, records: list[tuple[np.ndarray, np.ndarray]]) -> Scores:
        shape = len(records), len(self.label_names)
        scores, annotated = (
            (np.array(column).reshape(shape) for column in zip(*records)) if records else np.zeros((2, *shape))
        )
        annotated = annotated > 0
        precision = np.array([self.average_precision(scores[:, k], annotated[:, k]) for k in range(shape[1])])
        occurs = annotated.any(axis=0)
        return Scores(
            {"mAP": mean_or_nan(precision), "mAP-things": mean_or_nan(precision[self.is_thing])},
            {"AP": dict(zip(self.label_names, precision.tolist()))},
            [self._curve(scores, annotated)] if occurs.any() else [],
            self._reason(occurs),
        )

    def average_precision(self, scores: np.ndarray, positive: np.ndarray) -> float:
        """AP of one label over the images: float64 [I], bool [I]."""
        return average_precision(scores, positive)

    def image_score(self, record: tuple[np.ndarray, np.ndarray]) -> float:
        """AP of the image's own ranking of all labels; nan where none of them occurs."""
        return average_precision(*record)

    def _reason(self, occurs):
        if not occurs.any():
            return "no image has an annotated label"
        return "" if occurs[self.is_thing].any() else "no image has a thing among its labels"

    def _curve(self, scores, annotated):
        """Mean over labels of the precision at each recall."""
        lines = []
        for name, chosen in (("all labels", np.ones_like(self.is_thing)), ("things", self.is_thing)):
            labels = np.flatnonzero(chosen & annotated.any(axis=0))
            if len(labels):
                levels = [precision_at_recalls(scores[:, k], annotated[:, k], _RECALLS) for k in labels]
                lines.append(Line(f"{name} ({len(labels)})", _RECALLS, np.mean(levels, axis=0)))
        return Curve("classification_pr", "Image labels: mean precision", "recall", "precision", lines)


class ToolkitClassificationEvaluator(ClassificationEvaluator):
    """Mean AP as `DetailEvalCls` of PASCAL in Detail's toolkit finds it.

    Over all labels, of which those that never occur count 0, and over all images, of which those that nobody annotated
    show nothing. An image without a prediction has a score of 0 for each label.
    """

    def __init__(self, task: Task, vocabulary: Vocabulary) -> None:
        super().__init__(task, vocabulary)
        self.protocol = (
            f"PASCAL in Detail's toolkit: AP of {len(self.label_names)} labels over all images, area under the whole "
            f"curve, equal scores in the order of numpy.argsort, mean over all labels, 0 for those that do not occur"
        )

    def is_annotated(self, target: ImageAnnotations) -> bool:
        """Every image counts."""
        return True

    def record(self, stored: np.ndarray | None, target: ImageAnnotations) -> tuple[np.ndarray, np.ndarray]:
        none = np.zeros(len(self.label_names))
        if target.classes is None:
            target = ImageAnnotations(target.size, classes=torch.from_numpy(none), image_id=target.image_id)
        return super().record(none if stored is None else stored, target)

    def average_precision(self, scores: np.ndarray, positive: np.ndarray) -> float:
        return toolkit_average_precision(scores, positive)


CLASSIFICATION = register_task(Classification())
