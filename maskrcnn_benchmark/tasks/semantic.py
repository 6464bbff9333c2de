"""Semantic segmentation: a class for every pixel."""

from functools import partial

import numpy as np
import torch
from torch.nn.functional import interpolate, one_hot

from maskrcnn_benchmark.evaluation.dense.confusion import (
    add_pairs,
    class_accuracy,
    count_pairs,
    intersection_over_union,
    mean_iou,
    mean_or_nan,
)
from maskrcnn_benchmark.evaluation.evaluator import Evaluator
from maskrcnn_benchmark.evaluation.protocols import Protocols
from maskrcnn_benchmark.evaluation.scores import Scores
from maskrcnn_benchmark.evaluation.trivial import MeanMap
from maskrcnn_benchmark.prediction_files.as_prediction import LabelMap
from maskrcnn_benchmark.prediction_files.layout import CLASSES
from maskrcnn_benchmark.prediction_files.maps import LabelMaps, MapFile
from maskrcnn_benchmark.structures.dense_map import IGNORE_INDEX, SemanticMap
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import Task, register_task

# Cells across the image, per side, of the trivial model
_TRIVIAL_GRID = 16


class ClassMaps(LabelMaps):
    """1 + the class of every pixel."""

    named = "semantic"

    def numbers(self, vocabulary: Vocabulary) -> tuple[int, int, str]:
        count = len(vocabulary.semantic_names)
        return 1, count, f"each pixel needs a class: 1 to {count}, 1 + the class's place in {CLASSES}"


class Semantic(Task):
    """A class for every pixel."""

    key = "semantic"
    title = "semantic segmentation"
    switch = "SEMANTIC_ON"
    comment = "Task: semantic segmentation, per image, on shared dense features over the feature pyramid"
    losses = ("loss_semantic",)
    headline = "mIoU"
    parameter_prefixes = ("fpn_heads.heads.semantic.",)

    # Options ----------------------------------------------------------------------------------------------------------

    # Labels -----------------------------------------------------------------------------------------------------------

    # Network ----------------------------------------------------------------------------------------------------------

    # Evaluation -------------------------------------------------------------------------------------------------------

    def build_evaluator(self, vocabulary: Vocabulary, protocols: Protocols) -> Evaluator:
        return SemanticEvaluator(self, vocabulary)

    def trivial(self, vocabulary: Vocabulary) -> MeanMap:
        """The majority class at each place."""
        shares = partial(_class_planes, num_classes=len(vocabulary.semantic_names))
        return MeanMap(self.key, shares, _TRIVIAL_GRID, finish=_sums)

    # Files ------------------------------------------------------------------------------------------------------------

    def files(self) -> tuple[MapFile, ...]:
        text = "a PNG per image: 1 + class, see classes.json"
        encoding = "PNG of 8 bits: a value of 'semantic', 0 unlabelled"
        return (ClassMaps(self.key, shift=1, text=text, encodings={self.key: encoding}),)

    def decode(self, stored: np.ndarray, size: tuple[int, int], vocabulary: Vocabulary) -> LabelMap:
        """The labels; 255 stands for no class, which drawings leave blank."""
        channels = IGNORE_INDEX + 1 if (stored == IGNORE_INDEX).any() else len(vocabulary.semantic_names)
        return LabelMap(torch.from_numpy(stored), channels)

    # Pictures ---------------------------------------------------------------------------------------------------------

    # Export -----------------------------------------------------------------------------------------------------------


class SemanticEvaluator(Evaluator):
    """mIoU, pixel accuracy, mean class accuracy and frequency-weighted IoU (Long et al. 2015) over all images at once.

    Unlabelled pixels do not count, and means are over the classes that occur in the annotations.

    Args:
        task: the task that is scored.
        vocabulary: names each value of the semantic map.
    """

    def __init__(self, task: Task, vocabulary: Vocabulary) -> None:
        self.class_names = tuple(vocabulary.semantic_names)
        self.num_classes = len(self.class_names)
        super().__init__(task, vocabulary)

    @property
    def protocol(self) -> str:
        return (
            f"IoU and accuracy of {self.num_classes} classes from one confusion matrix of all images' labelled pixels, "
            f"means over the classes that are annotated anywhere (Long et al. 2015)"
        )

    def record(self, stored: np.ndarray, target: ImageAnnotations) -> tuple[np.ndarray, np.ndarray]:
        """(cells, counts) of `count_pairs`."""
        truth = target.semantic.labels.cpu().numpy()
        return count_pairs(truth, stored, self.num_classes, f"{self.task.key}: image {target.image_id}")

    def summarize(self, records: list[tuple[np.ndarray, np.ndarray]]) -> Scores:
        confusion = add_pairs(records, self.num_classes)
        pixels = confusion.sum()
        iou, accuracy = intersection_over_union(confusion), class_accuracy(confusion)
        metrics = {
            "mIoU": mean_or_nan(iou),
            "pixel-accuracy": float(np.trace(confusion) / pixels) if pixels else np.nan,
            "mean-accuracy": mean_or_nan(accuracy),
            "fwIoU": float(np.nansum(iou * confusion.sum(axis=1)) / pixels) if pixels else np.nan,
        }
        per_class = {
            "IoU": dict(zip(self.class_names, iou.tolist())),
            "accuracy": dict(zip(self.class_names, accuracy.tolist())),
        }
        return Scores(metrics, per_class, reason="" if pixels else "no image has a pixel with a semantic label")

    def image_score(self, record: tuple[np.ndarray, np.ndarray]) -> float:
        """mIoU of the image over the classes that occur in it; nan where no pixel is labelled."""
        return mean_iou(add_pairs([record], self.num_classes))


def _class_planes(label: SemanticMap, num_classes: int) -> torch.Tensor:
    """1 where a class is, at four points per side of a cell of the trivial model: float [C, h, w]."""
    fine = 4 * _TRIVIAL_GRID
    labels = interpolate(label.labels[None, None].float(), size=(fine, fine), mode="nearest")[0, 0].long()
    labels[labels == IGNORE_INDEX] = num_classes
    return one_hot(labels, num_classes + 1).permute(2, 0, 1)[:-1].float()


def _sums(sums: torch.Tensor, count: int) -> torch.Tensor:
    return sums  # the largest is that of the means


SEMANTIC = register_task(Semantic())
