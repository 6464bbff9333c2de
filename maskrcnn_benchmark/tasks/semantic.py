"""Semantic segmentation: a class for every pixel."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import interpolate, one_hot
from yacs.config import CfgNode

from maskrcnn_benchmark.config.class_weights import class_weight_problems, class_weights_range
from maskrcnn_benchmark.config.defaults import CLASSES, IMAGE_HEADS
from maskrcnn_benchmark.config.options import ClassCount, Option, section
from maskrcnn_benchmark.data.cityscapes import CityScapesImage
from maskrcnn_benchmark.data.cityscapes_labels import SEMANTIC as CITYSCAPES_CLASSES
from maskrcnn_benchmark.data.coco_panoptic import COCOPanopticImage
from maskrcnn_benchmark.data.dataset import LabelReader
from maskrcnn_benchmark.data.datasets.voc import VOCImage
from maskrcnn_benchmark.data.detail.image import DetailImage
from maskrcnn_benchmark.data.image_file import read_labels
from maskrcnn_benchmark.data.nyud_mtl import NYUDMTLImage
from maskrcnn_benchmark.data.pascal_context_mtl import PascalContextMTLImage
from maskrcnn_benchmark.data.same_names import SAME_CLASS, match_names
from maskrcnn_benchmark.data.statistics import DatasetCounts
from maskrcnn_benchmark.evaluation.dense.confusion import (
    add_pairs,
    class_accuracy,
    count_pairs,
    intersection_over_union,
    mean_iou,
    mean_over_classes,
)
from maskrcnn_benchmark.evaluation.evaluator import Evaluator
from maskrcnn_benchmark.evaluation.protocols import ANNOTATED, Protocols
from maskrcnn_benchmark.evaluation.scores import Scores
from maskrcnn_benchmark.evaluation.trivial import MeanMap
from maskrcnn_benchmark.modeling.fpn_heads.dense_decoder import DENSE_STRIDE
from maskrcnn_benchmark.modeling.fpn_heads.semantic import PixelClassifier
from maskrcnn_benchmark.prediction_files.as_prediction import LabelMap
from maskrcnn_benchmark.prediction_files.layout import CLASSES as NAMES_FILE
from maskrcnn_benchmark.prediction_files.maps import LabelMaps, MapFile
from maskrcnn_benchmark.structures.dense_map import IGNORE_INDEX, SemanticMap
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction, ScoreMap, label_probability, logits_of
from maskrcnn_benchmark.structures.run_length import row_major
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.exported_output import ExportedOutput
from maskrcnn_benchmark.tasks.task import Task, Thresholds, register_task
from maskrcnn_benchmark.utils.ranges import Integer, Range
from maskrcnn_benchmark.visualization.canvas import Canvas, enlarge_labels
from maskrcnn_benchmark.visualization.dataset_page import shares_card
from maskrcnn_benchmark.visualization.drawn_task import Known, Legend
from maskrcnn_benchmark.visualization.maps import FILL
from maskrcnn_benchmark.visualization.palette import class_colours
from maskrcnn_benchmark.visualization.segments import region_middles


class DetailSemanticReader(LabelReader):
    """All regions of PASCAL in Detail, painted in file order.

    What is no class is ignored, but background under DATASETS.PROTOCOL: so is there what nobody labelled, since that is
    one of PASCAL-Context's rarer classes.
    """

    def __init__(self, dataset: Any) -> None:
        self._rest = 0 if dataset.protocol else IGNORE_INDEX
        self._values = {name: value for value, name in enumerate(dataset.vocabulary.semantic_names)}

    def read(self, image: DetailImage) -> SemanticMap | None:
        if not image.regions:
            return None
        width, height = image.size
        canvas = np.full((1, width, height), self._rest, np.uint8)
        # a region of no class is painted too: it may hide one that came before
        values = [self._values.get(name, self._rest) for name in image.names]
        image.runs.paint(canvas, range(len(values)), np.zeros(len(values)), values)
        return SemanticMap(torch.from_numpy(row_major(canvas)[0]))

    def has(self, image: DetailImage) -> bool:
        return image.has_objects


class COCOPanopticSemanticReader(LabelReader):
    """All categories of COCO panoptic, things included; what belongs to no segment is ignored."""

    def read(self, image: COCOPanopticImage) -> SemanticMap | None:
        return SemanticMap(torch.from_numpy(image.semantic)) if image.has_objects else None

    def has(self, image: COCOPanopticImage) -> bool:
        return image.has_objects


class VOCSemanticReader(LabelReader):
    """VOC's SegmentationClass."""

    def read(self, image: VOCImage) -> SemanticMap | None:
        return SemanticMap(torch.from_numpy(image.classes)) if image.is_segmented else None

    def has(self, image: VOCImage) -> bool:
        return image.is_segmented


class CityScapesSemanticReader(LabelReader):
    """The benchmark's 19 classes from *_labelIds.png, all else ignored."""

    def read(self, image: CityScapesImage) -> SemanticMap | None:
        if not self.has(image):
            return None
        labels = read_labels(image.label_path, image.size).clip(0, 255)
        table = np.full(256, IGNORE_INDEX, np.uint8)
        table[[number for number, _ in CITYSCAPES_CLASSES]] = np.arange(len(CITYSCAPES_CLASSES))
        return SemanticMap(torch.from_numpy(table[labels]))

    def has(self, image: CityScapesImage) -> bool:
        return image.label_path.is_file()


class PascalContextMTLSemanticReader(LabelReader):
    """VOC 2012's 21 classes where VOC labelled the image, else those derived from PASCAL-Context; 255 is ignored."""

    def read(self, image: PascalContextMTLImage) -> SemanticMap | None:
        path = image.semantic_path
        if path is None:
            return None
        return SemanticMap(torch.from_numpy(image.read_classes(path, len(image.dataset.CLASSES) + 1, "VOC")))

    def has(self, image: PascalContextMTLImage) -> bool:
        return image.semantic_path is not None


class NYUDMTLSemanticReader(LabelReader):
    """NYUD-v2's 40 classes; what is not labelled is ignored."""

    def read(self, image: NYUDMTLImage) -> SemanticMap | None:
        return image.semantic

    def has(self, image: NYUDMTLImage) -> bool:
        return image.semantic_path is not None


# Cells across the image, per side, of the trivial model
_TRIVIAL_GRID = 16


class ClassMaps(LabelMaps):
    """1 + the class of every pixel."""

    named = "semantic"

    def numbers(self, vocabulary: Vocabulary) -> tuple[int, int, str]:
        first = int(self.shift)
        last = first + len(vocabulary.semantic_names) - 1
        meaning = f"each pixel needs a class: {first} to {last}, {first} + the class's place in {NAMES_FILE}"
        return first, last, f"{meaning} (--first-class says what maps of others count from)"


class Semantic(Task):
    """A class for every pixel."""

    key = "semantic"
    title = "semantic segmentation"
    switch = "SEMANTIC_ON"
    comment = "Task: semantic segmentation, per image, on shared dense features over the feature pyramid"
    losses = ("loss_semantic",)
    headline = "mIoU"
    parameter_prefixes = ("fpn_heads.heads.semantic.",)
    weights_option = "MODEL.SEMANTIC_HEAD.CLASS_WEIGHTS"

    # Options ----------------------------------------------------------------------------------------------------------

    def options(self) -> list[Option]:
        return section(
            IMAGE_HEADS,
            Option(
                "MODEL.SEMANTIC_HEAD.NUM_CLASSES",
                59,
                CLASSES,
                "Classes; unlabelled pixels have no class and are ignored. Taken from the data set unless set",
            ),
            Option(
                self.weights_option,
                (),
                class_weights_range("inverse_sqrt", "median_frequency"),
                'Weights of the classes in the loss: (), "inverse_sqrt" or "median_frequency" of how frequent their '
                "pixels are, or by hand (docs/training.md)",
            ),
        )

    def check(self, cfg: CfgNode) -> Iterator[str]:
        yield from class_weight_problems(self.weights_option, cfg.MODEL.SEMANTIC_HEAD.CLASS_WEIGHTS)

    def class_counts(self, vocabulary: Vocabulary) -> list[ClassCount]:
        return [ClassCount("MODEL.SEMANTIC_HEAD.NUM_CLASSES", len(vocabulary.semantic_names), "semantic classes")]

    def planes(self, cfg: CfgNode) -> int:
        return cfg.MODEL.SEMANTIC_HEAD.NUM_CLASSES

    def bounds(self) -> dict[str, Range]:
        return {"MODEL.SEMANTIC_HEAD.NUM_CLASSES": Integer(1, 1024)}

    # Labels -----------------------------------------------------------------------------------------------------------

    label_readers = {
        "detail": DetailSemanticReader,
        "coco_panoptic": COCOPanopticSemanticReader,
        "voc": VOCSemanticReader,
        "cityscapes": CityScapesSemanticReader,
        "pascal_context_mtl": PascalContextMTLSemanticReader,
        "nyud_mtl": NYUDMTLSemanticReader,
    }
    can_be_pasted = is_pasted_by_class = True

    def has_names(self, vocabulary: Vocabulary) -> bool:
        return bool(vocabulary.semantic_names)

    def names(self, vocabulary: Vocabulary) -> dict[str, Any]:
        return {"semantic classes": vocabulary.semantic_names}

    def rename(self, source: Vocabulary, target: Vocabulary) -> Callable[[SemanticMap], SemanticMap] | None:
        """Pixels of classes that the target lacks are ignored."""
        values = torch.full((IGNORE_INDEX + 1,), IGNORE_INDEX, dtype=torch.uint8)
        for value, place in enumerate(match_names(source.semantic_names, target.semantic_names, SAME_CLASS)):
            values[value] = IGNORE_INDEX if place is None else place
        return partial(_rename_pixels, values) if (values != IGNORE_INDEX).any() else None

    def count(self, annotations: ImageAnnotations, vocabulary: Vocabulary) -> dict[str, Any]:
        """The pixels of each class and, last, of none: int64 [C + 1]."""
        pixels = np.bincount(annotations.semantic.labels.numpy().ravel(), minlength=IGNORE_INDEX + 1)
        pixels = np.append(pixels[: len(vocabulary.semantic_names)], pixels[IGNORE_INDEX])
        return {"classes": [vocabulary.semantic_names[k] for k in np.flatnonzero(pixels[:-1])], "pixels": pixels}

    def class_names(self, vocabulary: Vocabulary) -> Sequence[str]:
        return vocabulary.semantic_names

    def class_amounts(self, annotations: ImageAnnotations, vocabulary: Vocabulary) -> np.ndarray:
        """Pixels of each class: int64 [C]."""
        return self.count(annotations, vocabulary)["pixels"][:-1]

    def facts(self, count: dict[str, Any], vocabulary: Vocabulary) -> list[tuple[str, str]]:
        pixels = count["pixels"][:-1]
        names = [vocabulary.semantic_names[k] for k in np.argsort(-pixels, kind="stable")][: len(count["classes"])]
        share = 100 * pixels.sum() / count["pixels"].sum()
        return [("regions", f"{', '.join(names) or 'none'}; {share:.0f}% of the pixels labelled")]

    def cards(self, counts: DatasetCounts) -> list[str]:
        shares = np.array([pixels[:-1].sum() / pixels.sum() for pixels in counts.each(self.key, "pixels")])
        return [shares_card("Share of an image's pixels with a semantic label", shares, "share", "images")]

    # Network ----------------------------------------------------------------------------------------------------------

    def build_head(self, cfg: CfgNode, in_channels: int, vocabulary: Vocabulary | None) -> PixelClassifier:
        """Logits per class and cell of the dense features."""
        stride, count = cfg.MODEL.DENSE_TRUNK.LOSS_STRIDE, cfg.MODEL.SEMANTIC_HEAD.NUM_CLASSES
        weights = self.class_weights(cfg, vocabulary)
        return PixelClassifier(in_channels, count, "loss_semantic", _label_map, stride, weights)

    # Test-time augmentation -------------------------------------------------------------------------------------------

    def to_mean(self, output: torch.Tensor) -> torch.Tensor:
        """Probabilities."""
        return output.softmax(dim=0)

    def of_mean(self, mean: torch.Tensor) -> torch.Tensor:
        return logits_of(mean)

    # Evaluation -------------------------------------------------------------------------------------------------------

    def build_evaluator(self, vocabulary: Vocabulary, protocols: Protocols) -> Evaluator:
        return SemanticEvaluator(self, vocabulary, protocols.class_mean)

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

    threshold = 0.0  # pixels whose class is less probable are left unlabelled
    layer = 10
    backdrop = {"fade": 0.3, "grey": True}

    def paint(
        self, canvas: Canvas, known: Known, vocabulary: Vocabulary, threshold: float, strength: float = 0.72
    ) -> None:
        """The class of every pixel, with names on the larger regions; unlabelled pixels keep the image.

        So do predicted pixels whose class is less probable than the threshold.
        """
        if isinstance(known, ImagePrediction):
            labels = _confident_labels(known.semantic.resize(canvas.size), threshold).cpu().numpy()
        else:
            labels = enlarge_labels(known.semantic.labels.cpu().numpy(), canvas.size)
        colours = class_colours(vocabulary)
        present = [k for k in np.flatnonzero(np.bincount(labels.ravel())).tolist() if k != IGNORE_INDEX]
        named = {k: vocabulary.semantic_names[k] for k in present}
        canvas.tint_labels(labels, {k: colours[name] for k, name in named.items()}, strength)
        for k, name in named.items():
            for spot in region_middles(labels == k, canvas.text_size):
                canvas.label_centred(name, spot, colours[name])

    def overlay(self, canvas: Canvas, known: Known, vocabulary: Vocabulary, thresholds: Thresholds) -> None:
        self.paint(canvas, known, vocabulary, thresholds[self], FILL)

    def legend(self, vocabulary: Vocabulary) -> Legend:
        return [("classes", list(class_colours(vocabulary).items()))]

    def view(self, prediction: ImagePrediction, vocabulary: Vocabulary, threshold: float) -> torch.Tensor | None:
        """uint8 [H, W]: class 0..C-1 of each pixel, 255 where it is less probable than the threshold."""
        return None if prediction.semantic is None else _confident_labels(prediction.semantic, threshold)

    # Export -----------------------------------------------------------------------------------------------------------

    def exported_outputs(self, head: nn.Module) -> dict[str, ExportedOutput]:
        meaning = "logits of vocabulary.semantic_names"
        return {"semantic": ExportedOutput("float32 [C, height, width]", meaning, stride=DENSE_STRIDE)}


def _rename_pixels(value_of: torch.Tensor, label: SemanticMap) -> SemanticMap:
    return SemanticMap(value_of[label.labels.int()])


class SemanticEvaluator(Evaluator):
    """mIoU, pixel accuracy, mean class accuracy and frequency-weighted IoU (Long et al. 2015) over all images at once.

    Unlabelled pixels do not count, and means are over the classes that occur in the annotations or, with the class mean
    "all", over all classes, of which those that never occur count as 0.

    Args:
        task: the task that is scored.
        vocabulary: names each value of the semantic map.
        class_mean: one of `protocols.CLASS_MEANS`.
    """

    def __init__(self, task: Task, vocabulary: Vocabulary, class_mean: str = ANNOTATED) -> None:
        self.class_mean = class_mean
        self.class_names = tuple(vocabulary.semantic_names)
        self.num_classes = len(self.class_names)
        whole = "all classes, those that never occur as 0"
        means = "the classes that are annotated anywhere" if class_mean == ANNOTATED else whole
        self.protocol = (
            f"IoU and accuracy of {self.num_classes} classes from one confusion matrix of all images' labelled pixels, "
            f"means over {means} (Long et al. 2015)"
        )
        super().__init__(task, vocabulary)

    def record(self, stored: np.ndarray, target: ImageAnnotations) -> tuple[np.ndarray, np.ndarray]:
        """(cells, counts) of `count_pairs`."""
        annotated = target.semantic.labels.cpu().numpy()
        return count_pairs(annotated, stored, self.num_classes, f"{self.task.key}: image {target.image_id}")

    def summarize(self, records: list[tuple[np.ndarray, np.ndarray]]) -> Scores:
        confusion = add_pairs(records, self.num_classes)
        pixels = confusion.sum()
        iou, accuracy = intersection_over_union(confusion), class_accuracy(confusion)
        metrics = {
            "mIoU": mean_over_classes(iou, self.class_mean),
            "pixel-accuracy": float(np.trace(confusion) / pixels) if pixels else np.nan,
            "mean-accuracy": mean_over_classes(accuracy, self.class_mean),
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


def _label_map(annotations: ImageAnnotations) -> torch.Tensor | None:
    """The label map of an image, uint8 [H, W], or None."""
    return None if annotations.semantic is None else annotations.semantic.labels


def _confident_labels(scores: Any, threshold: float) -> torch.Tensor:
    """uint8 [h, w], the class of each pixel of a `ScoreMap` or a map of labels, 255 where it is not probable enough."""
    labels = scores.labels
    if threshold > 0 and isinstance(scores, ScoreMap):
        labels = torch.where(label_probability(scores) >= threshold, labels, IGNORE_INDEX)
    return labels


SEMANTIC = register_task(Semantic())
